/**
 * Whether a recorded history is linearizable: whether each operation can be taken to have happened at one moment between
 * its invocation and its response, so that a sequential model gives the same answers (Wing and Gong, with Lowe's memory of
 * configurations that were tried before).
 */

/** One operation of a history. */
export interface Entry<Op> {
  readonly op: Op
  /** Undefined when none came: it may have happened at any time from then on, or never. */
  readonly answer: { readonly value: unknown } | undefined
  readonly invoked: number
  readonly responded: number
}

/** A sequential model: immutable states, and texts that are equal where states or answers are. */
export interface Sequential<State, Op> {
  readonly start: State
  readonly apply: (state: State, op: Op) => { readonly state: State; readonly answer: unknown }
  readonly stateKey: (state: State) => string
  readonly answerKey: (answer: unknown) => string
}

export interface Verdict {
  readonly linearizable: boolean
  /** How many configurations were tried. */
  readonly steps: number
  /** How many operations the longest order found so far has. */
  readonly longest: number
}

const stepsMax = 2_000_000

/** The operations of one object. More steps than the bound are an error, not a verdict. */
export const check = <State, Op>(model: Sequential<State, Op>, history: ReadonlyArray<Entry<Op>>): Verdict => {
  const entries = [...history].sort((a, b) => a.invoked - b.invoked)
  const required = entries.filter(({ answer }) => answer !== undefined).length
  const tried = new Set<string>()
  let steps = 0
  let longest = 0
  const stack = [{ state: model.start, done: 0n, count: 0, total: 0 }]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    longest = Math.max(longest, node.total)
    if (node.count === required) return { linearizable: true, steps, longest }
    for (const [next, index] of minimal(entries, node.done)) {
      if (++steps > stepsMax) throw new Error(`gave up after ${stepsMax} configurations`)
      const { answer, state } = model.apply(node.state, next.op)
      if (next.answer !== undefined && model.answerKey(answer) !== model.answerKey(next.answer.value)) continue
      const done = node.done | (1n << BigInt(index))
      const key = `${done.toString(36)} ${model.stateKey(state)}`
      if (tried.has(key)) continue
      tried.add(key)
      stack.push({ state, done, count: node.count + (next.answer === undefined ? 0 : 1), total: node.total + 1 })
    }
  }
  return { linearizable: false, steps, longest }
}

/** Those that may come next: none of the others has ended before they began. The last comes first, for the stack. */
const minimal = <Op>(
  entries: ReadonlyArray<Entry<Op>>,
  done: bigint
): ReadonlyArray<readonly [Entry<Op>, number]> => {
  const found: Array<readonly [Entry<Op>, number]> = []
  let end = Number.POSITIVE_INFINITY
  for (const [index, entry] of entries.entries()) {
    if (entry.invoked > end) break
    if ((done >> BigInt(index)) & 1n) continue
    end = Math.min(end, entry.responded)
    found.push([entry, index])
  }
  return found.filter(([entry]) => entry.invoked <= end).toReversed()
}
