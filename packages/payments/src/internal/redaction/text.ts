/**
 * Takes out of a text what may not be read in it.
 *
 * @internal
 */
import { inDumps } from "./dumps.ts"
import { quoteNumbers } from "./json.ts"
import { cvvs, pinBlocks } from "./labels.ts"
import { behindLength, inElements, inFields } from "./parts.ts"
import { pans, tags, tracks } from "./rules.ts"
import { merge, none, replace, type Rule, type Span } from "./span.ts"
import { behindEscapes } from "./view.ts"

// A digit of any script, the label of a PIN block, which may be all letters, and base64 of digits that has none.
const suspicious = /[0-9]|[^\0-\x7f]|block|BLOCK|Block|[MNO][DTjz][AEIMQUYcgk][wxyz]/

const plain: ReadonlyArray<Rule> = [tracks, pinBlocks, tags, behindLength, inElements, inFields, pans, cvvs]

const all = (rules: ReadonlyArray<Rule>): Rule => (text) => {
  // Hardly any text holds anything: nothing is allocated for one that does not.
  let found: Array<ReadonlyArray<Span>> | undefined
  for (const rule of rules) {
    const spans = rule(text)
    if (spans.length === 0) continue
    if (found === undefined) found = [spans]
    else found.push(spans)
  }
  return found === undefined ? none : merge(found)
}

// What is encoded may itself be encoded, once more, where digits show through: each level is shorter than the one around
// it.
const inner = all([...inDumps(all([behindEscapes(plain), ...plain])), behindEscapes(plain), ...plain])

/** @internal Numbers as digits or codes of characters, as a list in memory has them. */
export const inList: Rule = inner

const rules = all([...inDumps(inner), behindEscapes(plain), ...plain])

/** @internal Where in the text what stands that may not be read. */
export const find: Rule = (text) => (suspicious.test(text) ? quoteNumbers(text, rules(text)) : none)

// What is left may read anew once its neighbours are gone. Each round finds less, and the second hardly ever anything.
const roundsMax = 4

/** @internal */
export const scrub = (text: string): string => {
  let scrubbed = text
  for (let round = 0, spans = find(scrubbed); spans.length > 0 && round < roundsMax; round++) {
    scrubbed = replace(scrubbed, spans)
    spans = find(scrubbed)
  }
  return scrubbed
}

// Longer than any way of writing a card, a track or a labelled value, so that none is cut in two and then overlooked.
const margin = 512

/** @internal Scrubs at most about `limit` characters and says that it left the rest out. */
export const scrubUpTo = (text: string, limit: number): string => {
  if (text.length <= limit) return scrub(text)
  const scrubbed = scrub(text.slice(0, limit + margin))
  return `${scrubbed.slice(0, Math.max(0, Math.min(limit, scrubbed.length - margin)))}…`
}
