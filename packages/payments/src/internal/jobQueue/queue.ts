/**
 * A queue over a store: what goes in is checked, what comes out is run, and what fails is told apart.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { scrub } from "../../Redaction.ts"
import { SecureRandom } from "../effect/crypto.ts"
import { deadLetter, PersistedQueue } from "../effect/persistedQueue.ts"
import { SqlError } from "../sql/client.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { invalid, JobQueueError, unavailable } from "./errors.ts"
import { type End, type Leases, make as makeLeases } from "./lease.ts"
import type { Store } from "./store.ts"

/** @internal */
export interface Policy<A> {
  readonly name: string
  readonly payload: Schema.Codec<A, unknown>
  readonly attemptsMax: number
  readonly retry: Schedule.Schedule<unknown, number> | undefined
  readonly payloadLimitBytes: number
  readonly timeoutMillis: number
}

/** @internal */
export interface Job {
  readonly id: string
  readonly attempt: number
}

/** @internal */
export interface Engine<A> {
  readonly offer: (
    payload: A,
    options: { readonly id?: string | undefined; readonly delay?: Duration.Input | undefined } | undefined
  ) => Effect.Effect<string, JobQueueError>
  readonly work: <E, R>(
    handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
    workers: number
  ) => Effect.Effect<never, never, R>
  readonly decode: (element: unknown) => Effect.Effect<A, Schema.SchemaError>
}

const jobs = Metric.counter("effect_payments_jobs_total", {
  description: "Runs of jobs by outcome: done, retried, dead, released, lost",
  incremental: true
})
const durations = Metric.timer("effect_payments_job_duration", { description: "Runs of jobs" })

type Outcome = "dead" | "done" | "lost" | "released" | "retried"

const idPattern = /^[\x21-\x7e]{1,200}$/
const delayMaxMillis = 366 * 86_400_000
const failureMax = 4096
const encoder = new TextEncoder()

/** @internal */
export const make = <A>(store: Store, policy: Policy<A>): Effect.Effect<Engine<A>> =>
  Effect.gen(function*() {
    const factory = yield* Effect.provideService(
      PersistedQueue.makeFactory,
      PersistedQueue.PersistedQueueStore,
      store.elements
    )
    const queue = yield* factory.make({
      name: policy.name,
      schema: policy.payload,
      maxAttempts: policy.attemptsMax,
      retrySchedule: policy.retry
    })
    const json = Schema.toCodecJson(policy.payload)
    const encode = Schema.encodeUnknownEffect(json)
    return {
      offer: (payload, options) =>
        Effect.flatMap(
          Effect.mapError(encode(payload), () => invalid("payload", "what its schema encodes")),
          (element) => offer(store, policy, element, options)
        ),
      work: (handler, workers) =>
        Effect.flatMap(
          makeLeases(policy.name, store.lease),
          (leases) => work(policy, queue, leases, handler, workers)
        ),
      decode: Schema.decodeUnknownEffect(json)
    }
  })

const offer = (
  store: Store,
  { name, payloadLimitBytes }: Pick<Policy<unknown>, "name" | "payloadLimitBytes">,
  element: unknown,
  options: { readonly id?: string | undefined; readonly delay?: Duration.Input | undefined } | undefined
): Effect.Effect<string, JobQueueError> =>
  Effect.suspend(() => {
    const id = options?.id ?? SecureRandom.uuidV4Unsafe()
    if (!idPattern.test(id)) {
      return Effect.fail(invalid("id", "1 to 200 printable ASCII characters without spaces"))
    }
    if (encoder.encode(JSON.stringify(element) ?? "").length > payloadLimitBytes) {
      return Effect.fail(invalid("payload", `at most ${payloadLimitBytes} bytes`))
    }
    const delay = Duration.fromInput(options?.delay ?? 0)
    if (delay._tag === "None" || !(Duration.toMillis(delay.value) <= delayMaxMillis)) {
      return Effect.fail(invalid("delay", "a duration of at most 366 days"))
    }
    return Effect.mapBoth(
      store.elements.offer({
        name,
        id,
        element,
        isCustomId: options?.id !== undefined,
        delay: Duration.isPositive(delay.value) ? delay.value : undefined
      }),
      { onFailure: refused, onSuccess: () => id }
    )
  })

const refused = ({ cause }: PersistedQueue.PersistedQueueError): JobQueueError => {
  const failure = Cause.isCause(cause) ? Cause.squash(cause) : cause
  if (failure instanceof JobQueueError) return failure
  return unavailable("offer", SqlError.isSqlError(failure) ? failure.reason._tag : "StoreError")
}

// --- workers

/** What a handler failed with, as it may be stored and logged. */
class JobFailed extends Schema.TaggedError<JobFailed>()("JobFailed", { text: Schema.String }) {
  override get message(): string {
    return this.text
  }
}

/** Whether workers are being stopped: what one of them gives back is not for the others to begin. */
interface Shift {
  isOver: boolean
}

const work = <A, E, R>(
  policy: Policy<A>,
  queue: PersistedQueue.PersistedQueue<A>,
  leases: Leases,
  handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
  workers: number
): Effect.Effect<never, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const shift: Shift = { isOver: false }
      const worker = Effect.interruptible(Effect.forever(step(policy, queue, leases, handler, shift)))
      const fibers = yield* Effect.forEach(Array.from({ length: workers }), () => Effect.forkDetach(worker))
      const renewing = yield* Effect.forkDetach(Effect.interruptible(leases.renewing))
      return yield* Effect.onExit(restore(Effect.never), () => {
        shift.isOver = true
        return Effect.andThen(Fiber.interruptAll(fibers), Fiber.interrupt(renewing))
      })
    })
  )

/** One job; a store that fails is left alone for a second. */
const step = <A, E, R>(
  policy: Policy<A>,
  queue: PersistedQueue.PersistedQueue<A>,
  leases: Leases,
  handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
  shift: Shift
): Effect.Effect<void, never, R> =>
  Effect.matchCauseEffect(
    queue.take((payload, { attempts, id }) =>
      shift.isOver ? Effect.never : run(policy, leases, handler, payload, { id, attempt: attempts })
    ),
    {
      onSuccess: () => Effect.void,
      onFailure: (cause) =>
        cause.reasons.every((reason) => Cause.isFailReason(reason) && reason.error instanceof JobFailed)
          ? Effect.void
          : Effect.andThen(
            Effect.logWarning(`queue ${policy.name}: the store failed: ${textOf(cause)}`),
            Effect.sleep("1 second")
          )
    }
  )

const run = <A, E, R>(
  policy: Policy<A>,
  leases: Leases,
  handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
  payload: A,
  job: Job
) =>
  Effect.withFiber<void, JobFailed | ReturnType<typeof deadLetter>, R>((fiber) => {
    const start = monotonicMillis(fiber)
    const settled = (outcome: Outcome) => {
      const attributes = { queue: policy.name, outcome }
      return Effect.andThen(
        Metric.update(Metric.withAttributes(jobs, attributes), 1),
        Metric.update(Metric.withAttributes(durations, attributes), Duration.millis(monotonicMillis(fiber) - start))
      )
    }
    const handled = leases.hold(job, Effect.suspend(() => handler(payload, job)), policy.timeoutMillis)
    return Effect.flatMap(
      Effect.onInterrupt(handled, () => settled("released")),
      (end) =>
        end._tag === "Ended" && Exit.isSuccess(end.exit)
          ? settled("done")
          : end._tag === "Stopped" && end.why === "lost"
          ? lost(policy, job, settled)
          : failed(policy, job, end, settled)
    )
  }).pipe(
    Effect.withSpan("effect-payments.job", {
      attributes: { "job.queue": policy.name, "job.id": job.id, "job.attempt": job.attempt }
    })
  )

type Settled = (outcome: Outcome) => Effect.Effect<void>

/** The job is in other hands. What is written of this run goes nowhere: the store compares who has taken it. */
const lost = <A>(policy: Policy<A>, job: Job, settled: Settled) => {
  const text = `queue ${policy.name}: job ${scrub(job.id)} was taken by another worker while attempt ${job.attempt} ran`
  return Effect.andThen(
    Effect.andThen(settled("lost"), Effect.logWarning(`${text}, of which nothing is recorded`)),
    Effect.fail(new JobFailed({ text }))
  )
}

const failed = <A>(policy: Policy<A>, job: Job, end: End<unknown>, settled: Settled) => {
  // A handler that interrupts itself has failed; when the worker is interrupted, nothing of this runs.
  const failure = new JobFailed({ text: failureOf(policy, end) })
  const isRefused = end._tag === "Ended" && Exit.isFailure(end.exit) &&
    end.exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && isRefusal(reason.error))
  if (!isRefused && job.attempt < policy.attemptsMax) return Effect.andThen(settled("retried"), Effect.fail(failure))
  const text = `queue ${policy.name}: job ${scrub(job.id)} failed for good: ${failure.text}`
  return Effect.andThen(
    Effect.andThen(settled("dead"), Effect.logError(text)),
    Effect.fail(isRefused ? deadLetter(Cause.fail(failure)) : failure)
  )
}

const failureOf = <A>({ timeoutMillis }: Policy<A>, end: End<unknown>): string => {
  if (end._tag === "Ended") return Exit.isFailure(end.exit) ? textOf(end.exit.cause) : ""
  const why = end.why === "timeout"
    ? `the handler was stopped after ${Duration.format(Duration.millis(timeoutMillis))}`
    : "the handler was stopped since the store did not renew the lock of its job"
  return end.isGone ? why : `${why}, and has not ended since`
}

/** A final answer is not asked for again. */
const isRefusal = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "disposition" in error && error.disposition === "Refused"

const textOf = (cause: Cause.Cause<unknown>): string => {
  const text = scrub(Cause.pretty(cause))
  return text.length > failureMax ? `${text.slice(0, failureMax)}…` : text
}
