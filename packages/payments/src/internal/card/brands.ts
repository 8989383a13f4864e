/**
 * Which leading digits (IIN, ISO/IEC 7812) and lengths belong to which brand.
 *
 * Facts from the networks' public BIN tables. Lengths are those in use, not those that a standard would allow: a wide
 * prefix gets few lengths (Visa, one number in ten), since each further length is a further chance to take an order id for
 * a card; a narrow prefix gets all. Narrow ranges stand before the wide ones that hold them.
 */

/** Brands whose cards are told by their number, in alphabetical order. */
export const brands = [
  "amex",
  "dankort",
  "diners",
  "discover",
  "elo",
  "hipercard",
  "jcb",
  "maestro",
  "mastercard",
  "mir",
  "rupay",
  "troy",
  "unionpay",
  "verve",
  "visa"
] as const

export type Brand = (typeof brands)[number]

type Range = readonly [low: number, high: number]

interface Rule {
  readonly brand: Brand
  readonly lengths: ReadonlyArray<number>
  /** First and last prefix of each range, both of the same number of digits, at most six. */
  readonly ranges: ReadonlyArray<Range>
}

const one = (...prefixes: ReadonlyArray<number>): ReadonlyArray<Range> => prefixes.map((prefix) => [prefix, prefix])

const rules: ReadonlyArray<Rule> = [
  {
    brand: "elo",
    lengths: [16],
    ranges: [
      ...one(401178, 401179, 431274, 438935, 451416, 457393, 504175, 627780),
      [457631, 457632],
      [506699, 506799],
      [509000, 509999],
      [636297, 636399],
      [650031, 650033],
      [650035, 650051],
      [650405, 650439],
      [650485, 650538],
      [650541, 650598],
      [650700, 650718],
      [650720, 650727],
      [650901, 650978],
      [651652, 651679],
      [655000, 655019],
      [655021, 655058]
    ]
  },
  {
    brand: "hipercard",
    lengths: [16],
    ranges: one(384100, 384140, 384160, 606282, 637095, 637568, 637599, 637609, 637612)
  },
  { brand: "verve", lengths: [16, 18, 19], ranges: [[506099, 506198], [507865, 507964], [650002, 650027]] },
  {
    brand: "rupay",
    lengths: [16],
    ranges: [[508500, 508999], [606985, 607984], [608001, 608500], [652150, 653149], [817200, 819899]]
  },
  { brand: "troy", lengths: [16], ranges: one(9792) },
  { brand: "dankort", lengths: [16], ranges: one(5019) },
  {
    brand: "maestro",
    lengths: [12, 13, 14, 15, 16, 17, 18, 19],
    ranges: one(5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763)
  },
  { brand: "mir", lengths: [16, 17, 18, 19], ranges: [[2200, 2204]] },
  { brand: "mastercard", lengths: [16], ranges: [[51, 55], [2221, 2720]] },
  { brand: "amex", lengths: [15], ranges: one(34, 37) },
  { brand: "diners", lengths: [14, 16], ranges: [[300, 305], [3095, 3095], [36, 36], [38, 39]] },
  { brand: "jcb", lengths: [16, 17, 18, 19], ranges: [[3528, 3589]] },
  { brand: "jcb", lengths: [15], ranges: one(1800, 2131) },
  { brand: "discover", lengths: [16, 19], ranges: [[6011, 6011], [644, 649], [65, 65]] },
  { brand: "unionpay", lengths: [16, 17, 18, 19], ranges: [[62, 62], [8100, 8171]] },
  { brand: "visa", lengths: [13, 16, 19], ranges: one(4) }
]

/** Fewest and most digits of a card number here. */
export const lengthMin = 12
export const lengthMax = 19

interface Entry {
  readonly brand: Brand
  readonly low: number
  readonly high: number
  readonly lengths: number
}

/** The rules by first digit, with prefixes widened to six digits and lengths as a bit set. */
const byFirstDigit: ReadonlyArray<ReadonlyArray<Entry>> = Array.from(
  { length: 10 },
  (_, digit) =>
    rules.flatMap(({ brand, lengths, ranges }) =>
      ranges
        .filter(([low]) => String(low).startsWith(String(digit)))
        .map(([low, high]) => {
          const unit = 10 ** (6 - String(low).length)
          return {
            brand,
            low: low * unit,
            high: (high + 1) * unit - 1,
            lengths: lengths.reduce((set, length) => set | (1 << length), 0)
          }
        })
    )
)

/** The brand of a number of this length that starts with these six digits. */
export const brandOf = (prefix: number, length: number): Brand | undefined => {
  for (const { brand, high, lengths, low } of byFirstDigit[Math.floor(prefix / 100_000)] ?? []) {
    if (prefix >= low && prefix <= high && (lengths & (1 << length)) !== 0) return brand
  }
  return undefined
}
