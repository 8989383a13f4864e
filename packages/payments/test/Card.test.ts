import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result, Schema } from "effect"
import { Card } from "effect-payments"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"

/** Prefixes and lengths of the brands, and how their cards are grouped in print. Kept apart from the detector's table. */
const issued: ReadonlyArray<
  readonly [brand: Card.Brand, prefix: string, length: number, groups: ReadonlyArray<number>]
> = [
  ["visa", "41", 16, [4, 4, 4, 4]],
  ["visa", "4", 13, [4, 4, 4, 1]],
  ["visa", "4", 19, [4, 4, 4, 4, 3]],
  ["mastercard", "51", 16, [4, 4, 4, 4]],
  ["mastercard", "55", 16, [4, 4, 4, 4]],
  ["mastercard", "2221", 16, [4, 4, 4, 4]],
  ["mastercard", "2720", 16, [4, 4, 4, 4]],
  ["amex", "34", 15, [4, 6, 5]],
  ["amex", "37", 15, [4, 6, 5]],
  ["discover", "6011", 16, [4, 4, 4, 4]],
  ["discover", "644", 16, [4, 4, 4, 4]],
  ["discover", "659", 19, [4, 4, 4, 4, 3]],
  ["diners", "300", 14, [4, 6, 4]],
  ["diners", "3095", 14, [4, 6, 4]],
  ["diners", "36", 14, [4, 6, 4]],
  ["diners", "38", 16, [4, 4, 4, 4]],
  ["jcb", "3528", 16, [4, 4, 4, 4]],
  ["jcb", "3589", 16, [4, 4, 4, 4]],
  ["jcb", "2131", 15, [4, 6, 5]],
  ["unionpay", "620", 16, [4, 4, 4, 4]],
  ["unionpay", "62", 19, [4, 4, 4, 4, 3]],
  ["unionpay", "8100", 17, [4, 4, 4, 4, 1]],
  ["maestro", "5018", 12, [4, 4, 4]],
  ["maestro", "6304", 13, [4, 4, 4, 1]],
  ["maestro", "6759", 16, [4, 4, 4, 4]],
  ["maestro", "6763", 19, [4, 4, 4, 4, 3]],
  ["mir", "2200", 16, [4, 4, 4, 4]],
  ["mir", "2204", 19, [4, 4, 4, 4, 3]],
  ["rupay", "6522", 16, [4, 4, 4, 4]],
  ["rupay", "5085", 16, [4, 4, 4, 4]],
  ["elo", "438935", 16, [4, 4, 4, 4]],
  ["elo", "636368", 16, [4, 4, 4, 4]],
  ["hipercard", "606282", 16, [4, 4, 4, 4]],
  ["verve", "506100", 16, [4, 4, 4, 4]],
  ["verve", "506100", 19, [4, 4, 4, 4, 3]],
  ["troy", "9792", 16, [4, 4, 4, 4]],
  ["dankort", "5019", 16, [4, 4, 4, 4]]
]

/** The digit that makes digits valid, by the textbook: from the right, double every first, third … digit. */
const checkDigit = (digits: string): string => {
  const sum = [...digits].toReversed().reduce((total, character, index) => {
    const doubled = Number(character) * (index % 2 === 0 ? 2 : 1)
    return total + Math.floor(doubled / 10) + doubled % 10
  }, 0)
  return String((10 - sum % 10) % 10)
}

const Digits = Schema.String.check(Schema.isPattern(/^[0-9]{19}$/))
const Issued = Schema.Literals(issued.map((_, index) => index))
const pan = (index: number, digits: string) => {
  const [brand, prefix, length, groups] = issued[index]!
  const body = (prefix + digits).slice(0, length - 1)
  return { brand, groups, number: body + checkDigit(body) }
}

const group = (number: string, sizes: ReadonlyArray<number>, separators: ReadonlyArray<string>): string => {
  let at = 0
  return sizes.map((size, index) => {
    const part = number.slice(at, at + size)
    at += size
    return index === 0 ? part : separators[index % separators.length]! + part
  }).join("")
}

const separators = [
  " ",
  "  ",
  "    ",
  "-",
  " - ",
  ".",
  "/",
  "_",
  "+",
  "\t",
  "\n",
  "\r\n",
  "\u00a0",
  "\u2009",
  "\u202f",
  "\u2007",
  "\u2011",
  "\u2013",
  "\u2014",
  "\u2212",
  "\u3000",
  "\u00b7",
  "\u200b \u200b",
  "\f",
  "\u058a",
  "\u2063\u2800",
  "\u30fb",
  "~",
  "\n        ",
  "\r\n> "
]
const invisible = [
  "\u202c",
  "\u3164",
  "\ufe00",
  "\u061c",
  "\u200b",
  "\u2060",
  "\u00ad",
  "\ufeff",
  "=\r\n",
  "=\n",
  "\u200d\u200d"
]
const Separators = Schema.NonEmptyArray(Schema.Literals(separators))
const Invisible = Schema.NonEmptyArray(Schema.Literals(invisible))

/** Anything but digits, and letters that could make a digest of it. */
const Around = Schema.String
const around = (text: string) =>
  text.replace(/[\p{Nd}\p{M}a-fA-F\ud800-\udfff]/gu, "").replace(/[\s\-._/+=\p{P}\p{Z}]+$/u, "")
const edges = ["", " ", ":", "\"", "x", "_", "=", ",", "#", "(", "\n"]
const Edge = Schema.Literals(edges)

const runs = { arbitrary: { runs: 500 } }

describe("Card.findPans", () => {
  it.effect.prop("finds every brand, written in any way, in any surroundings", [
    Issued,
    Digits,
    Separators,
    Invisible,
    Around,
    Edge,
    Edge,
    Around
  ], ([index, digits, between, hidden, before, left, right, after]) =>
    Effect.sync(() => {
      const { brand, groups, number } = pan(index, digits)
      const eachDigit = [...number].map(() => 1)
      const forms = [[groups, between], [eachDigit, [between[0]]], [groups, hidden], [eachDigit, hidden]] as const
      for (const written of [number, ...forms.map(([sizes, marks]) => group(number, sizes, marks))]) {
        const prefix = around(before) + left
        const text = prefix + written + right + around(after)
        const finding = { start: prefix.length, end: prefix.length + written.length, brand }
        assert.deepStrictEqual(Card.findPans(text), [finding], JSON.stringify(text))
        assert.isTrue(Card.containsPan(text))
      }
      assert.deepStrictEqual(Card.brandOf(number), Option.some(brand))
      assert.isTrue(Card.luhn(number))
    }), runs)

  it.effect.prop("finds two groups that stand alone", [
    Issued,
    Digits,
    Schema.Literals([4, 6, 8, 12]),
    Schema.Literals([" ", "-", "\u00a0", "\u2013"])
  ], ([index, digits, first, separator]) =>
    Effect.sync(() => {
      const { brand, number } = pan(index, digits)
      if (
        number.length < 15 || (first === 4 || first === 12) !== (number.length === 16 && first !== 6 && first !== 8)
      ) return
      const written = `${number.slice(0, first)}${separator}${number.slice(first)}`
      const isClock = /^(?:1[4-9]|19|20)/.test(number.slice(first))
      for (const [before, after] of [["card ", "."], ["", " 12/29"], ["(", ")"]] as const) {
        const found = [{ start: before.length, end: before.length + written.length, brand }]
        if (!isClock) assert.deepStrictEqual(Card.findPans(before + written + after), found)
      }
      // The first of them may be a number of its own.
      for (const text of [`12 ${written}`, `${written}/0800`]) {
        const asOne = Card.findPans(text).filter(({ end, start }) => end - start === written.length)
        assert.deepStrictEqual(asOne, [])
      }
    }))

  it.effect.prop("takes no account of a bank for a card", [
    Schema.Literals(["NO15", "BE16", "DK18", "AT20", "CH21", "DE22", "GB22", "ES24", "FR27", "MT31"]),
    Schema.String.check(Schema.isPattern(/^[0-9]{27}$/)),
    Schema.Literals(["", " ", "-", "\u00a0"]),
    Schema.Boolean
  ], ([country, digits, separator, isCard]) =>
    Effect.sync(() => {
      const length = Number(country.slice(2)) - 4
      const bank = country.startsWith("GB") ? "NWBK" : ""
      const account = `${bank}${isCard ? "4111111111111111" : ""}${digits}`.slice(0, length)
      const values = [...`${account}${country.slice(0, 2)}00`].map((character) => parseInt(character, 36)).join("")
      const check = String(98n - BigInt(values) % 97n).padStart(2, "0")
      const iban = `${country.slice(0, 2)}${check}${account}`
      const written = separator === "" ? iban : (iban.match(/.{1,4}/g) ?? []).join(separator)
      for (const text of [written, `pay to ${written} BIC 12`, `{"iban":"${written.toLowerCase()}"}`]) {
        assert.deepStrictEqual(Card.findPans(text), [], text)
      }
    }))

  it("takes a card behind letters and two digits that are no account", () => {
    assert.lengthOf(Card.findPans("DE53 4111 1111 1111 1111 12"), 1)
    assert.lengthOf(Card.findPans("XX99 4111 1111 1111 1111"), 1)
  })

  it.each([
    "1ZA1D4900823151250",
    "223.122.194.190 144.8.56.182 237.178.138.113",
    "412345 1760000009",
    "20241009 20241010",
    "+49 4626 2140031"
  ])("leaves %s", (text) => {
    assert.deepStrictEqual(Card.findPans(text), [])
  })

  it.effect.prop("finds digits of other scripts", [
    Issued,
    Digits,
    Schema.Literals([0x660, 0x6f0, 0x966, 0xe50, 0xff10, 0x104a0, 0x11066, 0x1d7ce, 0x1d7f6, 0x1e950, 0x1fbf0])
  ], ([index, digits, zero]) =>
    Effect.sync(() => {
      const { brand, groups, number } = pan(index, digits)
      const foreign = (text: string) => text.replace(/[0-9]/g, (digit) => String.fromCodePoint(zero + Number(digit)))
      for (const written of [foreign(number), foreign(group(number, groups, [" "]))]) {
        assert.deepStrictEqual(Card.findPans(`pan ${written}.`), [{ start: 4, end: 4 + written.length, brand }])
      }
    }), runs)

  it.effect.prop("does not take a number with a wrong check digit", [
    Issued,
    Digits,
    Schema.Literals([1, 2, 3, 4, 5, 6, 7, 8, 9])
  ], ([index, digits, off]) =>
    Effect.sync(() => {
      const { number } = pan(index, digits)
      const broken = number.slice(0, -1) + String((Number(number.at(-1)) + off) % 10)
      assert.deepStrictEqual(Card.findPans(`card ${broken} declined`), [])
      assert.deepStrictEqual(Card.brandOf(broken), Option.none())
      assert.isFalse(Card.luhn(broken))
    }), runs)

  it.effect.prop(
    "finds each of several, in order",
    [Issued, Digits, Issued, Digits],
    ([a, x, b, y]) =>
      Effect.sync(() => {
        const [first, second] = [pan(a, x), pan(b, y)]
        const text = `${first.number},${second.number} 1760000000123`
        assert.deepStrictEqual(Card.findPans(text), [
          { start: 0, end: first.number.length, brand: first.brand },
          { start: first.number.length + 1, end: first.number.length + 1 + second.number.length, brand: second.brand }
        ])
      }),
    runs
  )

  it("finds the numbers that networks publish for tests", () => {
    const published: Record<string, Card.Brand> = {
      "4111111111111111": "visa",
      "4012888888881881": "visa",
      "4222222222222": "visa",
      "5555555555554444": "mastercard",
      "2223003122003222": "mastercard",
      "378282246310005": "amex",
      "371449635398431": "amex",
      "30569309025904": "diners",
      "36227206271667": "diners",
      "6011111111111117": "discover",
      "3530111333300000": "jcb",
      "6200000000000005": "unionpay",
      "6304000000000000": "maestro",
      "5019717010103742": "dankort"
    }
    for (const [number, brand] of Object.entries(published)) {
      assert.deepStrictEqual(Card.findPans(number), [{ start: 0, end: number.length, brand }])
    }
  })

  it("finds a number that is padded with zeros or glued to letters", () => {
    for (
      const text of [
        "id=000000004111111111111111",
        "cc4111111111111111x",
        "pan_4111111111111111_v2",
        "+4111111111111111"
      ]
    ) {
      assert.strictEqual(Card.findPans(text).length, 1, text)
    }
  })

  it("takes the longest reading, so that no part of a number stays", () => {
    const longer = pan(2, "1111111111111111111").number
    const written = group(longer, [4, 4, 4, 4, 3], [" "])
    assert.deepStrictEqual(Card.findPans(written), [{ start: 0, end: written.length, brand: "visa" }])
  })
})

describe("Card.findPans, what is no card", () => {
  const none = (text: string) => assert.deepStrictEqual(Card.findPans(text), [], text)

  it.effect.prop("is a time stamp in milliseconds, microseconds or nanoseconds", [
    Schema.Int.check(Schema.isBetween({ minimum: 1_000_000_000_000, maximum: 1_999_999_999_999 })),
    Digits
  ], ([millis, rest]) =>
    Effect.sync(() => {
      for (const more of [0, 3, 6]) none(`{"time":${millis}${rest.slice(0, more)},"level":30}`)
      none(`ts=${millis} ok`)
    }), runs)

  it.effect.prop("is a UUID of whatever digits", [Digits, Digits], ([a, b]) =>
    Effect.sync(() => {
      const digits = `4${a}${b}`.slice(0, 32)
      const at = [0, 8, 12, 16, 20]
      const uuid = at.map((from, index) => digits.slice(from, at[index + 1] ?? 32)).join("-")
      none(`id ${uuid}`)
      none(`tok_${uuid}`)
      none(`aaaaaaaa-bbbb-4ccc-${digits.slice(0, 4)}-${digits.slice(4, 16)}`)
    }), runs)

  it.effect.prop("is a UUID with a short card number in it", [Digits], ([digits]) =>
    Effect.sync(() => {
      const { groups, number } = pan(issued.findIndex(([, , length]) => length === 12), digits)
      assert.isTrue(Card.containsPan(number))
      none(`id aaaaaaaa-bbbb-4ccc-8ddd-${number}`)
      none(`id 12345678-${group(number, groups, ["-"])}-123456789012`)
      none(`id ${number.slice(4)}-${group(number, groups, ["-"])}-abcdefabcdef`)
    }), runs)

  it.effect.prop("is a digest that happens to hold one", [Issued, Digits], ([index, digits]) =>
    Effect.sync(() => {
      const { number } = pan(index, digits)
      for (const length of [32, 40, 64, 128]) {
        const digest = `abcdef${number}`.padEnd(length, "fedcba")
        none(`sha ${digest}`)
      }
    }), runs)

  it("is a date, a phone number, an IBAN, an address, a fraction or a tracking number", () => {
    const texts = [
      "migration 20241009222221_add_table.sql",
      "2024-10-09 22:22:21.123456",
      "+49 4626 2140031",
      "tel +44 20 5109 0910",
      "phone (459) 560-8564",
      "iban DE73764764784101109195",
      "pay to GB10 NWBK 0299 0398 6549 11",
      "from 112.76.132.30 to 7.180.100.125",
      "score: 0.4111111111111111",
      "usps 9494762094218427854082",
      "tracking 1ZB310923793938495",
      "imei 495412716675276",
      "isbn 9783404491062",
      "iccid 8917546346647807788",
      "ref 5702585526648043",
      "card 411111******1111",
      "seq 9006740370610533",
      "",
      "4111",
      "4 1 1 1"
    ]
    for (const text of texts) assert.deepStrictEqual(Card.findPans(text), [], text)
  })

  it("is two unrelated numbers side by side", () => {
    const time = `169755432109${checkDigit("512169755432109")}`
    assert.isTrue(Card.containsPan(`512${time}`))
    assert.isFalse(Card.containsPan(`pid 512 ${time}`))
  })

  it("is a table of short numbers that goes on", () => {
    const number = "4111111111111111"
    assert.isTrue(Card.containsPan([...number].join(" ")))
    none(["1", ...number].join(" "))
    none([...number, "1"].join(" "))
    none(`12 ${number.match(/../g)!.join(" ")}`)
  })

  it("is a number with five separators in a row, or more", () => {
    assert.isTrue(Card.containsPan("4111    1111    1111    1111"))
    none("4111     1111     1111     1111")
  })
})

describe("Card.findPans, work", () => {
  const adversarial = [
    "4111111111111111",
    "4 ",
    "41 ",
    "4111 ",
    "4111 1111 1111 1111,",
    "4111 111111 11111 ",
    "0",
    "4\u200b",
    "4=\r\n",
    "4----",
    "4     ",
    "44575278-2209-4762-8312-074858976975 ",
    "4111111111111111abcdef",
    "\u0664",
    "\ud835",
    "e",
    "=",
    "\u200b"
  ]
  /** A text that counts how often one of its characters is read. */
  class Counted extends String {
    reads = 0
    override charCodeAt(at: number): number {
      this.reads++
      return super.charCodeAt(at)
    }
  }

  const readsOf = (text: string): number => {
    const counted = new Counted(text)
    Card.findPans(counted as unknown as string)
    return counted.reads
  }

  it.each(adversarial)("reads characters in proportion to the text, made of %j", (piece) => {
    const text = piece.repeat(Math.ceil(10_000 / piece.length))
    const reads = readsOf(text)
    assert.isAtLeast(reads, 10)
    assert.isAtMost(readsOf(text.repeat(4)), 4.1 * reads + 1000)
  })
})

describe("Card.luhn", () => {
  it("is false for what is no text of digits", () => {
    for (const text of ["", " ", "7992739871x", "７９９２７３９８７１３", "79927398713 ", "-0"]) {
      assert.isFalse(Card.luhn(text))
    }
    assert.isTrue(Card.luhn("0"))
    assert.isTrue(Card.luhn("79927398713"))
  })

  it.effect.prop("notices every single wrong digit", [
    Digits,
    Schema.Literals([0, 5, 11, 18]),
    Schema.Literals([1, 5, 9])
  ], ([
    digits,
    place,
    off
  ]) =>
    Effect.sync(() => {
      const valid = digits + checkDigit(digits)
      const wrong = valid.slice(0, place) + String((Number(valid[place]) + off) % 10) + valid.slice(place + 1)
      assert.isTrue(Card.luhn(valid))
      assert.isFalse(Card.luhn(wrong))
    }), runs)
})

describe("Card.CardToken", () => {
  const decode = Schema.decodeUnknownResult(Card.CardToken)
  const refused = (input: unknown, message: string) => {
    for (const options of [{}, { reportInput: true }]) {
      const error = Result.getOrThrow(Result.flip(decode(input, options)))
      assert.strictEqual(error.message, `a card token ${message}`)
      const shown = `${String(error)} ${JSON.stringify(error)} ${JSON.stringify(error.issue)} ${error.stack}`
      if (typeof input === "string" && input.length > 8) assert.notInclude(shown, input)
      assert.notInclude(shown, "4111")
    }
  }

  it("takes the tokens of gateways", () => {
    const tokens = [
      "tok_1QxZ7bAAbbCCdd",
      "pm_1N77478598xYz",
      "tok_183525994972821ab",
      "card_visa",
      "a",
      "x".repeat(255),
      "44575278-2209-4762-8312-074858976975",
      "5f2d9a6c4111111111111111bbccddee",
      "cus_1760000000123",
      "with space",
      "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"
    ]
    for (const token of tokens) assert.deepStrictEqual<unknown>(decode(token), Result.succeed(token))
  })

  it.effect.prop("refuses every card number, also with separators, and shows nothing of it", [Issued, Digits], ([
    index,
    digits
  ]) =>
    Effect.sync(() => {
      const { groups, number } = pan(index, digits)
      const written = [number, group(number, groups, [" "]), group(number, groups, ["-"]), group(number, groups, ["."])]
      for (const text of [...written, `tok_${number}`, `1.${number}`, `${number}.0`, `card:${written[2]}:exp`]) {
        const error = Result.getOrThrow(Result.flip(decode(text, { reportInput: true })))
        assert.strictEqual(error.message, "a card token must not hold a card number")
        assert.notInclude(`${String(error)} ${JSON.stringify(error)} ${error.stack}`, number)
      }
    }), runs)

  it.effect.prop(
    "refuses a card number in any encoding and behind any separator",
    [Issued, Digits],
    ([index, digits]) =>
      Effect.sync(() => {
        const { groups, number } = pan(index, digits)
        const hex = Buffer.from(number).toString("hex")
        const written = [
          ...["|", ":", ",", ";", "*", "~", "=", "&", "+", " | ", "', '"].map((sign) => group(number, groups, [sign])),
          `tok_${Buffer.from(number).toString("base64")}`,
          `x.${Buffer.from(`{"n":"${number}"}`).toString("base64url")}.y`,
          `tok-${Buffer.from(` ${number}`).toString("base64url")}`,
          `tok_${hex}`,
          `a${hex.toUpperCase()}`,
          hex.replace(/../g, "%$&"),
          hex.replace(/../g, "%25$&"),
          encodeURIComponent(group(number, groups, [" "]))
        ]
        for (const text of written) {
          const error = Result.getOrThrow(Result.flip(decode(text, { reportInput: true })))
          assert.strictEqual(error.message, "a card token must not hold a card number", text)
        }
      }),
    runs
  )

  it.effect.prop("takes the tokens that programs draw", [Schema.Natural], ([seed]) =>
    Effect.sync(() => {
      const bytes = createHash("sha512").update(String(seed)).digest()
      const uuid = bytes.toString("hex", 0, 16).replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
      for (
        const token of [uuid, `tok_${bytes.toString("base64url")}`, `sha.${bytes.toString("hex", 0, 32)}`]
      ) {
        assert.isTrue(Result.isSuccess(decode(token)), token)
      }
    }), runs)

  it("refuses what is no token, by rule, and shows nothing of it", () => {
    assert.isTrue(Result.isFailure(decode("")))
    refused("", "has 1 to 255 characters")
    refused("x".repeat(256), "has 1 to 255 characters")
    refused("4111111111111111".repeat(100_000), "has 1 to 255 characters")
    for (
      const text of [
        " tok_12345",
        "tok_12345 ",
        " ",
        "tok\n12345",
        "tok\u0000_12345",
        "tök_12345",
        "\u00a0",
        "4111\u00a0"
      ]
    ) {
      refused(text, "is printable ASCII without spaces at its ends")
    }
    for (
      const input of [4111111111111111, 4111111111111111n, null, undefined, {}, ["4111111111111111"], new String("tok")]
    ) {
      refused(input, "must be a string")
    }
  })

  it("refuses in make as well, without the value", () => {
    assert.strictEqual<string>(Card.CardToken.make("tok_a"), "tok_a")
    try {
      Card.CardToken.make("4111 1111 1111 1111")
      assert.fail("it is a card")
    } catch (error) {
      assert.notInclude(`${String(error)} ${(error as Error).stack} ${JSON.stringify(error)}`, "4111")
    }
  })

  it.effect.prop(
    "is a string on the wire, and its generated values decode",
    [Card.CardToken],
    ([token]) =>
      Effect.gen(function*() {
        const json = Schema.fromJsonString(Schema.toCodecJson(Schema.Struct({ token: Card.CardToken })))
        const text = yield* Schema.encodeEffect(json)({ token })
        assert.strictEqual(text, JSON.stringify({ token }))
        assert.deepStrictEqual(yield* Schema.decodeEffect(json)(text), { token })
      })
  )
})
