/**
 * One fiber gathers batches from a list of what waits. What changes the list is synchronous: an item is either in it, or
 * in a batch, or not taken.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { scrub } from "../../Redaction.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { AnswersMismatched, BatcherClosed, BatcherCut, BatcherError, BatcherFull } from "./errors.ts"
import { Fifo } from "./fifo.ts"

/** @internal */
export interface Policy {
  readonly name: string
  readonly size: number
  readonly intervalMillis: number
  readonly capacity: number
  readonly concurrency: number
  readonly waitAtMostMillis: number
  readonly closeAtMostMillis: number
}

/** @internal Answers for each item in order. */
export type Process<A, B, E> = (items: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<Result.Result<B, E>>, E>

/** @internal */
export interface Engine<A, B, E> {
  readonly add: (item: A) => Effect.Effect<void, BatcherError>
  readonly submit: (item: A) => Effect.Effect<B, E | BatcherError>
  readonly flush: Effect.Effect<void>
  readonly waiting: Effect.Effect<number>
}

interface Entry<A, B, E> {
  readonly item: A
  readonly answer: Deferred.Deferred<B, E | BatcherError>
  /** Whether someone waits for the answer. */
  readonly isHeard: boolean
  /** On the monotonic clock. */
  readonly since: number
  state: "outside" | "running" | "waiting"
  /** Called when a place is free, or when there will be none. */
  admit: (() => void) | undefined
}

interface State<A, B, E> {
  /** What has been taken, oldest first. */
  readonly waiting: Fifo<Entry<A, B, E>>
  /** What comes before a place is free, oldest first. */
  readonly outside: Set<Entry<A, B, E>>
  readonly running: Set<Entry<A, B, E>>
  /** Open while something waits, or it closes. */
  readonly some: Latch.Latch
  /** Open while a batch is due: full, asked for, or closing. */
  readonly due: Latch.Latch
  /** How many of those that wait have been asked for. */
  asked: number
  isClosing: boolean
  readonly idle: Latch.Latch
}

const items = Metric.counter("effect_payments_batcher_items_total", {
  description: "Items of batches by outcome",
  incremental: true
})

const batchSize = Metric.histogram("effect_payments_batcher_batch_size", {
  description: "Items in a batch",
  boundaries: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
})

/** @internal */
export const make = <A, B, E>(
  policy: Policy,
  process: Process<A, B, E>
): Effect.Effect<Engine<A, B, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const state: State<A, B, E> = {
      waiting: new Fifo(),
      outside: new Set(),
      running: new Set(),
      some: Latch.makeUnsafe(false),
      due: Latch.makeUnsafe(false),
      asked: 0,
      isClosing: false,
      idle: Latch.makeUnsafe(true)
    }
    // Of its own: it is closed when all is through, and not before.
    const scope = yield* Scope.make()
    const gather = yield* Effect.forkIn(gathering(policy, process, state, scope), scope)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        close(state)
        yield* Effect.timeoutOption(
          // A finalizer is not interruptible, and what cannot be interrupted cannot be given up.
          Effect.interruptible(Effect.andThen(Fiber.await(gather), state.idle.await)),
          policy.closeAtMostMillis
        )
        yield* Scope.close(scope, Exit.void)
        yield* cut(policy, state)
      })
    )
    return {
      add: (item) => Effect.asVoid(take(policy, state, item, false)),
      submit: (item) => Effect.flatMap(take(policy, state, item, true), ({ answer }) => Deferred.await(answer)),
      flush: flush(state),
      waiting: Effect.sync(() => state.waiting.length)
    }
  })

// --- taking

const take = <A, B, E>(policy: Policy, state: State<A, B, E>, item: A, isHeard: boolean) =>
  Effect.withFiber<Entry<A, B, E>, BatcherError>((fiber) => {
    if (state.isClosing) return failClosed
    const answer = Deferred.makeUnsafe<B, E | BatcherError>()
    const since = monotonicMillis(fiber)
    const entry: Entry<A, B, E> = { item, answer, isHeard, since, state: "outside", admit: undefined }
    if (state.waiting.length < policy.capacity && state.outside.size === 0) {
      admit(policy, state, entry)
      return Effect.succeed(entry)
    }
    // Those that wait for a place are bounded too.
    if (state.outside.size >= policy.capacity) return failFull(policy)
    return Effect.flatMap(
      Effect.timeoutOption(outside(state, entry), policy.waitAtMostMillis),
      (): Effect.Effect<Entry<A, B, E>, BatcherError> =>
        // It may have got its place in the very moment in which the time was over.
        entry.state !== "outside" ? Effect.succeed(entry) : state.isClosing ? failClosed : failFull(policy)
    )
  })

const failClosed = Effect.suspend(() => Effect.fail(new BatcherError({ reason: new BatcherClosed() })))

const failFull = ({ capacity }: Policy) =>
  Effect.suspend(() => Effect.fail(new BatcherError({ reason: new BatcherFull({ capacity }) })))

const outside = <A, B, E>(state: State<A, B, E>, entry: Entry<A, B, E>): Effect.Effect<void> =>
  Effect.callback((resume) => {
    state.outside.add(entry)
    entry.admit = () => resume(Effect.void)
    return Effect.sync(() => state.outside.delete(entry))
  })

const admit = <A, B, E>(policy: Policy, state: State<A, B, E>, entry: Entry<A, B, E>): void => {
  entry.state = "waiting"
  state.waiting.push(entry)
  state.idle.closeUnsafe()
  state.some.openUnsafe()
  if (state.waiting.length >= policy.size) state.due.openUnsafe()
}

const flush = <A, B, E>(state: State<A, B, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const entries = [...state.waiting.all(), ...state.running]
    state.asked = state.waiting.length
    if (state.asked > 0) state.due.openUnsafe()
    return Effect.forEach(entries, ({ answer }) => Effect.exit(Deferred.await(answer)), { discard: true })
  })

// --- batches

const gathering = <A, B, E>(
  policy: Policy,
  process: Process<A, B, E>,
  state: State<A, B, E>,
  scope: Scope.Scope
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const places = yield* Semaphore.make(policy.concurrency)
    while (true) {
      yield* places.take(1)
      yield* state.some.await
      const { first } = state.waiting
      if (first === undefined) return
      yield* Effect.timeoutOption(state.due.await, Math.max(0, yield* left(policy, first.since)))
      const batch = next(policy, state)
      yield* Effect.forkIn(
        Effect.ensuring(run(policy, process, state, batch), places.release(1)),
        scope
      )
    }
  })

const left = ({ intervalMillis }: Policy, since: number): Effect.Effect<number> =>
  Effect.withFiber((fiber) => Effect.succeed(since + intervalMillis - monotonicMillis(fiber)))

const next = <A, B, E>(policy: Policy, state: State<A, B, E>): ReadonlyArray<Entry<A, B, E>> => {
  const batch = state.waiting.take(policy.size)
  for (const entry of batch) {
    entry.state = "running"
    state.running.add(entry)
  }
  state.asked = Math.max(0, state.asked - batch.length)
  for (const entry of state.outside) {
    if (state.waiting.length >= policy.capacity || state.isClosing) break
    state.outside.delete(entry)
    admit(policy, state, entry)
    entry.admit?.()
  }
  if (state.waiting.length === 0 && !state.isClosing) state.some.closeUnsafe()
  if (state.waiting.length < policy.size && state.asked === 0 && !state.isClosing) state.due.closeUnsafe()
  return batch
}

const run = <A, B, E>(
  policy: Policy,
  process: Process<A, B, E>,
  state: State<A, B, E>,
  batch: ReadonlyArray<Entry<A, B, E>>
): Effect.Effect<void> =>
  Effect.flatMap(
    // What cannot be read of the answers is a defect of the function, and everybody's.
    Effect.exit(Effect.map(
      Effect.suspend(() => process(batch.map(({ item }) => item))),
      (answers) => answersOf(answers, batch.length)
    )),
    (exit) =>
      Effect.suspend(() => {
        const answers: ReadonlyArray<Exit.Exit<B, E | BatcherError>> = Exit.isFailure(exit)
          ? batch.map(() => Exit.failCause(exit.cause))
          : exit.value
        const failures = answers.filter((answer) => Exit.isFailure(answer))
        const unheard = answers.filter((answer, index): answer is Exit.Failure<B, E | BatcherError> =>
          Exit.isFailure(answer) && batch[index]?.isHeard === false
        )
        return count(policy, "succeeded", batch.length - failures.length).pipe(
          Effect.andThen(count(policy, "failed", failures.length)),
          Effect.andThen(Metric.update(Metric.withAttributes(batchSize, { batcher: policy.name }), batch.length)),
          // A log that fails is no reason to leave callers without an answer.
          Effect.andThen(Effect.exit(tell(policy, unheard))),
          Effect.andThen(Effect.sync(() => settle(state, batch, answers)))
        )
      })
  )

const settle = <A, B, E>(
  state: State<A, B, E>,
  batch: ReadonlyArray<Entry<A, B, E>>,
  answers: ReadonlyArray<Exit.Exit<B, E | BatcherError>>
): void => {
  batch.forEach((entry, index) => {
    state.running.delete(entry)
    Deferred.doneUnsafe(entry.answer, answers[index] ?? Effect.die("no answer"))
  })
  if (state.waiting.length + state.running.size === 0) state.idle.openUnsafe()
}

/** Of a failure that no caller hears, the log does. */
const tell = (policy: Policy, [first, ...more]: ReadonlyArray<Exit.Failure<unknown, unknown>>): Effect.Effect<void> =>
  first === undefined
    ? Effect.void
    : Effect.logWarning(
      `batcher ${policy.name}: ${more.length + 1} items failed, the first with ${scrub(Cause.pretty(first.cause))}`
    )

const answersOf = <B, E>(
  answers: ReadonlyArray<Result.Result<B, E>>,
  items: number
): ReadonlyArray<Exit.Exit<B, E | BatcherError>> => {
  const found = Array.isArray(answers) ? answers.length : 0
  const fits = found === items
  return Array.from({ length: items }, (_, index) => {
    const answer = fits ? answers[index] : undefined
    if (!Result.isResult(answer)) {
      const reason = new AnswersMismatched({ items, answers: fits ? answers.filter(Result.isResult).length : found })
      return Exit.fail(new BatcherError({ reason }))
    }
    return Result.isSuccess(answer) ? Exit.succeed(answer.success) : Exit.fail(answer.failure)
  })
}

const count = ({ name }: Policy, outcome: string, value: number): Effect.Effect<void> =>
  value === 0 ? Effect.void : Metric.update(Metric.withAttributes(items, { batcher: name, outcome }), value)

// --- the end

const close = <A, B, E>(state: State<A, B, E>): void => {
  state.isClosing = true
  for (const entry of state.outside) entry.admit?.()
  state.outside.clear()
  state.some.openUnsafe()
  state.due.openUnsafe()
}

/** What is still there when the time is over. Its callers hear of it, and so does whoever reads the log. */
const cut = <A, B, E>(policy: Policy, state: State<A, B, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const entries = [...state.running, ...state.waiting.all()]
    if (entries.length === 0) return Effect.void
    for (const entry of entries) {
      const reason = new BatcherCut({ wasSent: entry.state === "running" })
      Deferred.doneUnsafe(entry.answer, Exit.fail(new BatcherError({ reason })))
    }
    return Effect.andThen(
      count(policy, "cut", entries.length),
      Effect.logError(`batcher ${policy.name} was cut off with ${entries.length} items not through`)
    )
  })
