/**
 * Takes out of a text what may not be read in it.
 *
 * @internal
 */
import { inBase64, inByteDumps, inHex, inNumberLists } from "./dumps.ts"
import { quoteNumbers } from "./json.ts"
import { cvvs, pinBlocks } from "./labels.ts"
import { inElements, inFields } from "./parts.ts"
import { lengths, pans, tracks } from "./rules.ts"
import { merge, none, replace, type Rule, type Span } from "./span.ts"
import { seen, survey } from "./survey.ts"
import { behindEscapes, inQuotedPrintable } from "./view.ts"

// A digit of any script, the label of a PIN block, which may be all letters, and base64 of digits that has none.
const suspicious = /[0-9]|[^\0-\x7f]|block|BLOCK|Block|[MNO](?:[DTjz][AEIMQUYcgk]|[AQgw]A)[wxyz]/

/** A rule, and what there has to be in a text for it to find anything; none of it if it looks for itself. */
interface Asked {
  readonly rule: Rule
  readonly needs: number
}

const asked = (needs: number, rule: Rule): Asked => ({ rule, needs })

const plain: ReadonlyArray<Asked> = [
  asked(seen.number | seen.hat | seen.card, tracks),
  asked(0, pinBlocks),
  asked(seen.number, lengths),
  asked(seen.comma, inElements),
  asked(0, inFields),
  asked(seen.card, pans),
  asked(0, cvvs)
]

const all = (rules: ReadonlyArray<Asked>): Rule => (text) => {
  // Hardly any text holds anything: nothing is allocated for one that does not.
  let found: Array<ReadonlyArray<Span>> | undefined
  const there = survey(text)
  for (const { needs, rule } of rules) {
    if (needs !== 0 && (needs & there) === 0) continue
    const spans = rule(text)
    if (spans.length === 0) continue
    if (found === undefined) found = [spans]
    else found.push(spans)
  }
  return found === undefined ? none : merge(found)
}

// What is encoded may itself be encoded, once more, where digits show through: each level is shorter than the one around
// it.
const once: ReadonlyArray<Asked> = [
  asked(seen.escape, behindEscapes(all(plain))),
  ...plain,
  asked(seen.equals, inQuotedPrintable(all(plain)))
]

const dumps = (inner: Rule): ReadonlyArray<Asked> => [
  asked(0, inBase64(inner)),
  asked(seen.run, inHex(inner)),
  asked(0, inByteDumps(inner)),
  asked(seen.comma, inNumberLists(inner))
]

const inner = all([...dumps(all(once)), ...once])

/** @internal Numbers as digits or codes of characters, as a list in memory has them. */
export const inList: Rule = inner

const rules = all([...dumps(inner), ...once])

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
