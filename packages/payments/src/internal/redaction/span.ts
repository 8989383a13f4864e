/**
 * What was found in a text, and what stands there instead.
 *
 * @internal
 */

// The marks end in a bracket, which separates digits for the detector: nothing before or after a mark can join the last
// four digits to a new number, and a text scrubbed twice is the text scrubbed once.
/** @internal */
export const marks = { track: "[TRACK]", cvv: "[CVV]", pinBlock: "[PIN]", pan: "[PAN]", secret: "[SECRET]" } as const

/** @internal From `start` to before `end`, in UTF-16 units. */
export interface Span {
  readonly start: number
  readonly end: number
  readonly mark: string
}

/** @internal Finds what one rule is about, in order and without overlap. */
export type Rule = (text: string) => ReadonlyArray<Span>

/** @internal */
export const none: ReadonlyArray<Span> = []

/** @internal */
export const replace = (text: string, spans: ReadonlyArray<Span>): string => {
  if (spans.length === 0) return text
  let out = ""
  let end = 0
  for (const span of spans) {
    out += text.slice(end, span.start) + span.mark
    end = span.end
  }
  return out + text.slice(end)
}

/** @internal All spans in order; where two overlap, that of the earlier list stays. */
export const merge = (lists: ReadonlyArray<ReadonlyArray<Span>>): ReadonlyArray<Span> => {
  const filled = lists.filter((list) => list.length > 0)
  return filled.length < 2 ? filled[0] ?? none : filled.reduce(mergeTwo)
}

const mergeTwo = (first: ReadonlyArray<Span>, second: ReadonlyArray<Span>): ReadonlyArray<Span> => {
  const out: Array<Span> = []
  let at = 0
  for (const span of second) {
    while (at < first.length && first[at]!.end <= span.start) out.push(first[at++]!)
    if (at === first.length || first[at]!.start >= span.end) out.push(span)
  }
  return out.concat(first.slice(at))
}

/** @internal The last four digits as they were written, whatever the script. */
export const maskPan = (text: string): string =>
  `[PAN ****${(text.match(/[\p{Nd}\p{No}]/gu) ?? []).slice(-4).join("")}]`

/** @internal What stands for a text that holds all this: the card if there is one, since its last digits help to find it. */
export const summary = (spans: ReadonlyArray<Span>): string =>
  (spans.find(({ mark }) => mark.startsWith("[PAN *")) ?? spans[0])?.mark ?? marks.pan
