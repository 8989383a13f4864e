/**
 * Takes out of texts and values what may not be kept or shown.
 *
 * Logs, audit entries and error reports count as storage. PCI DSS 3.3.1 forbids to store security codes, magnetic
 * stripes and PIN blocks after authorization in any form, and 3.5.1 to store card numbers in the clear; this is the last
 * line that keeps them out. Security codes, tracks and PIN blocks go whole; a card number keeps its last four digits;
 * secrets go whole.
 *
 * It guarantees to be total: it never throws, takes time linear in what it reads, reads a bounded amount of a value and
 * never changes its input. Scrubbing twice is scrubbing once. It does not guarantee that nothing is missed: a card
 * number split over fields or hidden in base64 is not found, and an id that has the leading digits, the length and the
 * check digit of a card is taken for one. The first line is not to have them: use `Card.CardToken`.
 *
 * | | bound |
 * |---|---|
 * | depth of a value | 8 levels |
 * | parts of a value | 1000 |
 * | characters of a text in a value, of all together | 8192, 65,536 |
 *
 * Read `Observe` next, which passes through here whatever it writes.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as text from "./internal/redaction/text.ts"
import * as value from "./internal/redaction/value.ts"

/**
 * Scrubs a text.
 *
 * **Details**
 *
 * | found | left |
 * |---|---|
 * | a card number (see `Card.findPans`) | `[PAN ****1111]` |
 * | a security code behind its label (`cvv: 123`) | `[CVV]` |
 * | track 1 or track 2 of a magnetic stripe | `[TRACK]` |
 * | a PIN block behind its label | `[PIN]` |
 *
 * **Example**
 *
 * ```ts
 * import { Redaction } from "effect-payments"
 *
 * Redaction.scrub("card 4111 1111 1111 1111, cvv=123, order 20261124") // => "card [PAN ****1111], cvv=[CVV], order 20261124"
 * ```
 *
 * @category scrubbing
 * @since 0.1.0
 */
export const scrub: (text: string) => string = text.scrub

/**
 * Scrubs any value in memory and answers plain JSON.
 *
 * **Details**
 *
 * Texts are scrubbed as by {@link scrub}, keys and numbers too. Under a key that says what it holds (`cvv`,
 * `security_code`, `cardNumber`, `pan`, `track2`, `pin`, `password`, `token` and their like, in any case and with any
 * separator) the value goes whatever it looks like. `Redacted` values stay redacted and `Redactable` ones show what they
 * choose to. Bytes show their length, errors their name, message, fields and cause but no stack, maps and sets their
 * entries. What is beyond the bounds, circular or cannot be read is named as such: `[too deep]`, `[too large]`,
 * `[circular]`, `[unreadable]`.
 *
 * **Example**
 *
 * ```ts
 * import { Redacted } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * Redaction.scrubUnknown({ cardNumber: 4111111111111111, security_code: "123", key: Redacted.make("k"), cents: 500 })
 * // => { cardNumber: "[PAN ****1111]", security_code: "[CVV]", key: "<redacted>", cents: 500 }
 * ```
 *
 * @category scrubbing
 * @since 0.1.0
 */
export const scrubUnknown: (value: unknown) => Schema.Json = value.scrub
