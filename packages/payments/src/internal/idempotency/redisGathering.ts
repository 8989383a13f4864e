/**
 * Transitions of one tick that go to Redis together: a script takes the records of many callers, so that they share the
 * round trip, its parsing and its fiber. Nothing waits for a script that is under way, and a caller that is alone waits for
 * the end of its tick only.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as question from "../stack/question.ts"

/** @internal One kind of transition; what is submitted to it may go together. */
export interface Gathering<Member, Answer, E> {
  readonly submit: (member: Member) => Effect.Effect<Answer, E>
}

interface Entry<Member, Answer, E> {
  readonly member: Member
  /** Undefined when nobody waits for the answer any more. */
  hear: ((exit: Exit.Exit<Answer, E>) => void) | undefined
}

/** @internal `run` answers in the order of the members; only those with the same `sharedOf` go together. */
export const make = <Member, Answer, E>(
  batchMax: number,
  sharedOf: (member: Member) => string,
  run: (members: ReadonlyArray<Member>) => Effect.Effect<(index: number) => Exit.Exit<Answer, E>, E>
): Gathering<Member, Answer, E> => {
  const open = new Map<string, Array<Entry<Member, Answer, E>>>()

  const flush = (): void => {
    const batches = Array.from(open.values())
    open.clear()
    for (const batch of batches) send(batch)
  }

  const send = (batch: ReadonlyArray<Entry<Member, Answer, E>>): void => {
    const entries = batch.filter(({ hear }) => hear !== undefined)
    if (entries.length === 0) return
    const asked = Effect.runFork(run(entries.map(({ member }) => member)))
    asked.addObserver((exit) => {
      for (const [index, { hear }] of entries.entries()) {
        hear?.(Exit.isSuccess(exit) ? answerAt(exit.value, index) : Exit.failCause(exit.cause))
      }
    })
  }

  const add = (entry: Entry<Member, Answer, E>): void => {
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
      question.make((hear) => {
        const entry: Entry<Member, Answer, E> = { member, hear }
        add(entry)
        return () => {
          entry.hear = undefined
        }
      })
  }
}

/** A reply that cannot be read is one caller's alone. */
const answerAt = <Answer, E>(answers: (index: number) => Exit.Exit<Answer, E>, index: number): Exit.Exit<Answer, E> => {
  try {
    return answers(index)
  } catch (defect) {
    return Exit.die(defect)
  }
}
