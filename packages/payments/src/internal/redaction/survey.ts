/**
 * What a text holds at all, seen in one pass over its characters, so that rules with nothing to find in it are not asked.
 * A rule may be asked in vain; it is never left out where it could find something.
 *
 * @internal
 */

/** @internal What there may be in a text, as a set of bits. */
export const seen = {
  /** Twelve digits near to each other, of which the first may begin a card; or a character that is not ASCII. */
  card: 256,
  /** Eleven digits side by side. */
  number: 512,
  /** Eight digits side by side. */
  run: 1024,
  comma: 8,
  /** The begin of an escape. */
  escape: 16,
  /** The sign of quoted-printable. */
  equals: 32,
  /** The sign between the fields of a track. */
  hat: 64
} as const

const digit = 1
// Of the digits that begin a brand only 1 is left out, which stands before 8 and before every time in milliseconds.
const starter = 2
const separator = 4
const foreign = 128

const kinds = new Uint8Array(0x10000).fill(foreign | separator, 0x80)
for (
  const [kind, characters] of [
    [digit, "017"],
    [digit | starter, "2345689"],
    [separator, "\0\t\n\v\f\r\u001c\u001d\u001e\u001f -./_+~>"],
    [separator | seen.equals, "="],
    [seen.comma, ","],
    [seen.escape, "%&<\\\u001b"],
    [seen.hat, "^"]
  ] as const
) for (const character of characters) kinds[character.charCodeAt(0)] = kind

const runMin = 8
const numberMin = 11
const cardMin = 12

/** @internal */
export const survey = (text: string): number => {
  const { length } = text
  let found = 0
  for (let at = 0, run = 0, digits = 0; at < length; at++) {
    const kind = kinds[text.charCodeAt(at)]!
    found |= kind
    if ((kind & digit) !== 0) {
      run++
      if (run === runMin) found |= seen.run
      else if (run === numberMin) found |= seen.number
      if ((digits > 0 || (kind & starter) !== 0) && ++digits === cardMin) found |= seen.card
    } else {
      run = 0
      if ((kind & separator) === 0) digits = 0
    }
  }
  return (found & foreign) === 0 ? found : found | seen.card
}
