/**
 * Card tokens, and the detector that keeps card numbers out of them.
 *
 * It prevents that a card number (PAN) travels through this toolkit: requests to a gateway carry a {@link CardToken}, and
 * its decoder refuses every text in which the detector finds a card, also one written with separators or with digits of
 * another script. Neither the error nor its message holds the text that was refused.
 *
 * The detector knows brands by their leading digits and lengths, the check digit, and how cards are written. It takes no
 * time stamps, UUIDs or digests for cards. An id that has the leading digits and the length of a brand and passes the
 * check (one in ten does) cannot be told from a card and is taken for one. It does not decode: base64, percent-encoding
 * and numbers split over fields are the business of redaction, which builds on it.
 *
 * Read `PaymentGateway` next.
 *
 * @since 0.1.0
 */
import type * as Brands from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { brands } from "./internal/card/brands.ts"
import * as detect from "./internal/card/detect.ts"
import * as hidden from "./internal/card/hidden.ts"

/**
 * A brand that the leading digits tell.
 *
 * @category models
 * @since 0.1.0
 */
export const Brand = Schema.Literals(brands)

/**
 * See {@link Brand}.
 *
 * @category models
 * @since 0.1.0
 */
export type Brand = typeof Brand.Type

/**
 * Where a card number stands in a text: from `start` to before `end`, in UTF-16 units, separators within included.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly brand: Brand
}

/**
 * Finds the card numbers of a text, in order and without overlap.
 *
 * **Details**
 *
 * A card number has 12 to 19 digits, the leading digits and the length of a brand, and a valid check digit (Luhn, ISO/IEC
 * 7812-1). It may be written in one piece, in equal groups with a shorter last one, as 4-6-5 and 4-6-4, in two groups
 * (6-10, 8-8) that stand alone, or digit by digit; between groups stand at most four spaces, dashes, points, slashes,
 * underscores or line breaks of any kind, and behind a line break an indentation. Characters that show nothing do not
 * count. Where several readings fit, the longest is taken. An IBAN with valid check digits holds no card.
 *
 * The time is linear in the length of the text: each group of digits starts at most 19 looks ahead.
 *
 * **Example**
 *
 * ```ts
 * import { Card } from "effect-payments"
 *
 * const text = "paid with 4111-1111-1111-1111, ref 1760000000123"
 *
 * Card.findPans(text) // => [{ start: 10, end: 29, brand: "visa" }]
 * ```
 *
 * @category detection
 * @since 0.1.0
 */
export const findPans = (text: string): ReadonlyArray<Finding> => detect.find(text, Number.POSITIVE_INFINITY)

/**
 * Whether a text holds a card number. Stops at the first.
 *
 * **Example**
 *
 * ```ts
 * import { Card } from "effect-payments"
 *
 * Card.containsPan("4111 1111 1111 1111") // => true
 * Card.containsPan("4111 1111 1111 1112") // => false
 * ```
 *
 * @see {@link findPans} for what counts as one
 * @category detection
 * @since 0.1.0
 */
export const containsPan = (text: string): boolean => detect.find(text, 1).length > 0

/**
 * Whether digits have a valid check digit (Luhn, ISO/IEC 7812-1 annex B). False for a text that holds anything but the
 * digits 0 to 9, and for none.
 *
 * **Example**
 *
 * ```ts
 * import { Card } from "effect-payments"
 *
 * Card.luhn("79927398713") // => true
 * Card.luhn("79927398710") // => false
 * ```
 *
 * @category detection
 * @since 0.1.0
 */
export const luhn = (digits: string): boolean =>
  /^[0-9]+$/.test(digits) && detect.luhn(Array.from(digits, Number), digits.length)

/**
 * The brand of a bare card number: 12 to 19 digits 0 to 9 and nothing else.
 *
 * **Example**
 *
 * ```ts
 * import { Option } from "effect"
 * import { Card } from "effect-payments"
 *
 * Card.brandOf("378282246310005") // => Option.some("amex")
 * Card.brandOf("1760000000123") // => Option.none()
 * ```
 *
 * @category detection
 * @since 0.1.0
 */
export const brandOf = (digits: string): Option.Option<Brand> =>
  /^[0-9]{12,19}$/.test(digits)
    ? Option.fromUndefinedOr(detect.brandOfDigits(Array.from(digits, Number), digits.length))
    : Option.none()

/**
 * A card number in the hands of the program: bare digits, redacted. Only a vault (`Tokenizer`) has a use for one.
 *
 * **Details**
 *
 * It is decoded from text that is one card number and nothing else, written as {@link findPans} knows it. It has no
 * encoder: a schema with a card number in it decodes a request, and can neither be sent, stored nor fingerprinted. That
 * is so by type, and at run time where types are cast away. A refusal holds nothing of the text, not even when the input
 * is reported.
 *
 * **Example**
 *
 * ```ts
 * import { Redacted, Schema } from "effect"
 * import { Card } from "effect-payments"
 *
 * const pan = Schema.decodeUnknownSync(Card.Pan)("4111 1111 1111 1111")
 *
 * String(pan) // => "<redacted:Pan>"
 * Redacted.value(pan) // => "4111111111111111"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const Pan: Schema.Decoder<Pan> = decoder<Pan>("Pan", (text) => {
  const trimmed = text.trim()
  const [found] = trimmed.length <= panTextMax ? detect.find(trimmed, 1) : []
  return found !== undefined && found.start === 0 && found.end === trimmed.length
    ? detect.digitsOf(trimmed)
    : undefined
}, "a card number and nothing else")

/**
 * See {@link Pan}.
 *
 * @category models
 * @since 0.1.0
 */
export type Pan = Redacted.Redacted<string> & Brands.Brand<"Pan">

/**
 * A security code, three or four digits, redacted. It may be used for one authorization and kept nowhere (PCI DSS
 * 3.3.1.2): like {@link Pan} it has no encoder, and there is no vault for it.
 *
 * **Example**
 *
 * ```ts
 * import { Exit, Schema } from "effect"
 * import { Card } from "effect-payments"
 *
 * const request = Schema.Struct({ token: Card.CardToken, cvv: Card.Cvv })
 * const decoded = Schema.decodeUnknownExit(request)({ token: "tok_1QxZ7b", cvv: "123" })
 *
 * Exit.isSuccess(decoded) // => true
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const Cvv: Schema.Decoder<Cvv> = decoder<Cvv>(
  "Cvv",
  (text) => /^[0-9]{3,4}$/.test(text) ? text : undefined,
  "a security code of three or four digits"
)

/**
 * See {@link Cvv}.
 *
 * @category models
 * @since 0.1.0
 */
export type Cvv = Redacted.Redacted<string> & Brands.Brand<"Cvv">

/**
 * What stands for a card at a gateway: 1 to 255 characters of printable ASCII with no space at either end, and no card
 * number within, whatever signs separate its digits, and neither percent-encoded nor in base64 or hexadecimal.
 *
 * **Details**
 *
 * A refusal says which of these rules was broken and holds nothing of the text, not even when the input is reported
 * (`reportInput`).
 *
 * **Example**
 *
 * ```ts
 * import { Result, Schema } from "effect"
 * import { Card } from "effect-payments"
 *
 * const decode = Schema.decodeUnknownResult(Card.CardToken)
 *
 * Result.isSuccess(decode("tok_1QxZ7b")) // => true
 * Result.isSuccess(decode("tok_4111-1111-1111-1111")) // => false
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const CardToken = Schema.declareConstructor<string>()(
  [],
  () => (input) => {
    const fault = faultOf(input)
    return fault === undefined
      ? Effect.succeed(input as string)
      : Effect.fail(new SchemaIssue.InvalidValue({ message: `a card token ${fault}` }))
  },
  {
    identifier: "CardToken",
    expected: "a card token",
    toCodecJson: () => undefined,
    toCodecStringTree: () => undefined,
    toFormatter: () => () => "CardToken(...)",
    toCodecArbitrary: () =>
      Schema.link<string>()(
        Schema.String.check(Schema.isPattern(/^[A-Za-z]{1,8}_[A-Za-z]{1,24}$/)),
        SchemaTransformation.passthrough()
      )
  }
).pipe(Schema.brand("CardToken"))

/**
 * See {@link CardToken}.
 *
 * @category models
 * @since 0.1.0
 */
export type CardToken = typeof CardToken.Type

const tokenLengthMax = 255

/** What is wrong with a token, without a word of it. */
const faultOf = (input: unknown): string | undefined => {
  if (typeof input !== "string") return "must be a string"
  if (input.length === 0 || input.length > tokenLengthMax) return `has 1 to ${tokenLengthMax} characters`
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(input)) {
    return "is printable ASCII without spaces at its ends"
  }
  return readings(input).some(containsPan) ? "must not hold a card number" : undefined
}

/**
 * How else a token can be read. A point before digits makes them the fraction of a number elsewhere; in a token it is but a
 * separator, as are signs of any kind.
 */
const readings = (token: string): ReadonlyArray<string> => {
  const decoded = hidden.decodings(token)
  return [token, ...decoded, token.replace(/[^A-Za-z0-9_ /-]+/g, " ")]
}

// More than any way to write a card takes.
const panTextMax = 128

/** Decodes text to something redacted that nothing encodes. Of what is refused, the issue shows nothing. */
function decoder<A extends Redacted.Redacted<string>>(
  label: string,
  parse: (text: string) => string | undefined,
  expected: string
): Schema.Decoder<A> {
  return Schema.Unknown.pipe(Schema.decodeTo(
    Schema.Redacted(Schema.String, { label, disallowJsonEncode: true }),
    {
      decode: SchemaGetter.transformEffect((input) => {
        const parsed = typeof input === "string" ? parse(input) : undefined
        return parsed === undefined
          ? Effect.fail(new SchemaIssue.InvalidValue({ message: `expected ${expected}` }))
          : Effect.succeed(Redacted.make(parsed, { label }))
      }),
      encode: SchemaGetter.forbidden(() => `a ${label} is not encoded`)
    }
  )) as Schema.Constraint as Schema.Decoder<A>
}
