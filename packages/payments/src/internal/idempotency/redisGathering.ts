/**
 * Transitions of one tick that go to Redis together: a script takes the records of many callers, so that they share the
 * round trip, its parsing and the writes to the index. Nothing waits for a script that is under way, and a caller that is
 * alone waits for the end of its tick only.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

/** @internal One kind of transition; what is submitted to it may go together. */
export interface Gathering<Member, Answer, E> {
  readonly submit: (member: Member) => Effect.Effect<Answer, E>
}

interface Entry<Member, Answer, E> {
  readonly member: Member
  readonly resume: (answer: Effect.Effect<Answer, E>) => void
  /** Nobody waits for the answer any more. */
  abandoned: boolean
}

/** @internal `run` answers in the order of the members; only those with the same `sharedOf` go together. */
export const make = <Member, Answer, E, E2>(
  batchMax: number,
  sharedOf: (member: Member) => string,
  run: (members: ReadonlyArray<Member>) => Effect.Effect<(index: number) => Effect.Effect<Answer, E>, E2>
): Gathering<Member, Answer, E | E2> => {
  const open = new Map<string, Array<Entry<Member, Answer, E | E2>>>()

  const flush = (): void => {
    const batches = Array.from(open.values())
    open.clear()
    for (const batch of batches) send(batch)
  }

  const send = (batch: ReadonlyArray<Entry<Member, Answer, E | E2>>): void => {
    const entries = batch.filter(({ abandoned }) => !abandoned)
    if (entries.length === 0) return
    Effect.runFork(Effect.matchCause(run(entries.map(({ member }) => member)), {
      onFailure: (cause: Cause.Cause<E2>) => {
        for (const { resume } of entries) resume(Effect.failCause(cause))
      },
      onSuccess: (answerOf) => entries.forEach(({ resume }, index) => resume(answerOf(index)))
    }))
  }

  const add = (entry: Entry<Member, Answer, E | E2>): void => {
    if (batchMax === 1) return send([entry])
    const shared = sharedOf(entry.member)
    const batch = open.get(shared)
    if (batch === undefined) {
      // Runs when every fiber that is ready has: what they ask for goes together.
      if (open.size === 0) queueMicrotask(flush)
      open.set(shared, [entry])
      return
    }
    batch.push(entry)
    if (batch.length < batchMax) return
    open.delete(shared)
    send(batch)
  }

  return {
    submit: (member) =>
      Effect.callback((resume) => {
        const entry: Entry<Member, Answer, E | E2> = { member, resume, abandoned: false }
        add(entry)
        return Effect.sync(() => {
          entry.abandoned = true
        })
      })
  }
}
