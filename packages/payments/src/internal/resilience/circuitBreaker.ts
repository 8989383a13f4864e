/**
 * Runs a call through a circuit of Effect's store. The state machine (circuits by key, generations, one probe at a time)
 * is the store's; what is here is what Effect's `execute` does around it, without a scope and a generator per call. See
 * docs/adr/0002-circuit-breaker.md.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import { GatewayUnavailable, type HasDisposition, make as makeError, type PaymentError } from "../../PaymentError.ts"
import {
  type Admission,
  type CircuitBreakerError,
  CircuitBreakerStore,
  type Transition,
  type TripPolicy
} from "../effect/circuitBreaker.ts"
import { ask, type NoAnswer } from "../stack/ask.ts"
import { floorMillis, leftMillis, noTimeLeft, silenceMillis } from "./deadline.ts"
import { type Outcome, outcomeOf } from "./outcome.ts"
import {
  durationExpected,
  InvalidOption,
  isIntegerIn,
  positiveMillis,
  reject,
  storeFailed,
  storeTimeoutDefault
} from "./stage.ts"

/** @internal */
export interface Options {
  readonly name: string
  readonly failures?: number | undefined
  readonly rate?: {
    readonly threshold?: number | undefined
    readonly size?: number | undefined
    readonly minimumCalls?: number | undefined
  } | undefined
  readonly openFor?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly cap?: Duration.Input | undefined
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

interface Policy {
  readonly name: string
  readonly trip: TripPolicy
  readonly openMillis: number
  readonly factor: number
  readonly capMillis: number
  readonly onStoreError: "allow" | "fail"
  readonly storeMillis: number
}

const invalid = (option: string, expected: string) => new InvalidOption({ stage: "circuitBreaker", option, expected })

/** @internal */
export const compile = (options: Options): Policy | InvalidOption => {
  const { factor = 2, name, onStoreError = "allow" } = options
  const openMillis = positiveMillis(options.openFor ?? 30_000)
  const capMillis = positiveMillis(options.cap ?? 600_000)
  const storeMillis = positiveMillis(options.storeTimeout ?? storeTimeoutDefault)
  const trip = tripPolicy(options)
  if (name.length === 0 || name.length > 255) return invalid("name", "of 1 to 255 characters")
  if (openMillis === undefined) return invalid("openFor", durationExpected)
  if (capMillis === undefined) return invalid("cap", durationExpected)
  if (!(factor >= 1 && factor <= 100)) return invalid("factor", "from 1 to 100")
  if (storeMillis === undefined) return invalid("storeTimeout", durationExpected)
  if (trip instanceof InvalidOption) return trip
  return { name, trip, openMillis, factor, capMillis: Math.max(capMillis, openMillis), onStoreError, storeMillis }
}

const tripPolicy = ({ failures = 5, rate }: Options): TripPolicy | InvalidOption => {
  if (rate === undefined) {
    return isIntegerIn(failures, 1, 1_000_000)
      ? { _tag: "Consecutive", failures }
      : invalid("failures", "an integer from 1 to 1000000")
  }
  const { size = 100, threshold = 0.5 } = rate
  const { minimumCalls = size } = rate
  if (!(threshold > 0 && threshold <= 1)) return invalid("rate.threshold", "above 0 and at most 1")
  if (!isIntegerIn(size, 1, 10_000)) return invalid("rate.size", "an integer from 1 to 10000")
  if (!isIntegerIn(minimumCalls, 1, size)) return invalid("rate.minimumCalls", "an integer from 1 to rate.size")
  return { _tag: "Rate", threshold, size, minimumCalls }
}

/** @internal */
export const circuitBreaker = <A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  policy: Policy
): Effect.Effect<A, E | PaymentError, R | CircuitBreakerStore> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiber<A, E | PaymentError, R | CircuitBreakerStore>((fiber) => {
      const store = Context.getUnsafe(fiber.context, CircuitBreakerStore)
      const scope = Scope.makeUnsafe()
      return Effect.matchCauseEffect(admit(fiber, store, policy, scope), {
        onFailure: (cause) => notAdmitted(restore(self), fiber, policy, cause, scope),
        onSuccess: (admission) =>
          Effect.onExitPrimitive(restore(self), (exit) => record(exit, fiber, store, policy, admission, scope), true)
      })
    })
  )

const admit = (
  fiber: Fiber.Fiber<unknown, unknown>,
  store: CircuitBreakerStore["Service"],
  policy: Policy,
  scope: Scope.Closeable
): Effect.Effect<Admission, CircuitBreakerError | NoAnswer> =>
  ask(
    Effect.provideService(store.admit(policy.name), Scope.Scope, scope),
    silenceMillis(fiber, policy.storeMillis)
  )

const notAdmitted = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  policy: Policy,
  cause: Cause.Cause<CircuitBreakerError | NoAnswer>,
  scope: Scope.Closeable
): Effect.Effect<A, E | PaymentError, R> => {
  // What a store that answers too late still puts into it is released at once.
  const close = release(scope, policy)
  const rejection = (retryAfter?: Duration.Duration) =>
    reject(
      "circuitBreaker",
      makeError(new GatewayUnavailable({ by: "circuitBreaker", ...retryAfter === undefined ? {} : { retryAfter } }))
    )
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return Effect.andThen(close, Effect.failCause(cause as Cause.Cause<never>))
  const reason = error.value._tag === "NoAnswer" ? error.value : error.value.reason
  switch (reason._tag) {
    case "CircuitOpen":
      return Effect.andThen(close, rejection(reason.retryAfter))
    case "CircuitHalfOpen":
      return Effect.andThen(close, rejection())
    case "CircuitBreakerStoreError":
    case "NoAnswer":
      return Effect.flatMap(
        Effect.andThen(close, storeFailed(policy.name, "admit")),
        (): Effect.Effect<A, E | PaymentError, R> =>
          policy.onStoreError === "fail" ? rejection() : leftMillis(fiber) <= floorMillis ? noTimeLeft : self
      )
  }
}

const record = <A, E extends HasDisposition>(
  exit: Exit.Exit<A, E>,
  fiber: Fiber.Fiber<unknown, unknown>,
  store: CircuitBreakerStore["Service"],
  policy: Policy,
  admission: Admission,
  scope: Scope.Closeable
): Effect.Effect<void> | undefined => {
  const outcome = outcomeOf(exit, fiber)
  const recorded = Effect.matchCauseEffect(
    ask(
      store.record({
        key: policy.name,
        generation: admission.generation,
        outcome,
        tripPolicy: policy.trip,
        openFor: opens(policy, admission, outcome) ? openFor(policy, admission, exit) : Duration.zero
      }),
      policy.storeMillis
    ),
    {
      onFailure: () => storeFailed(policy.name, "record"),
      onSuccess: (transition) =>
        transition === undefined && admission.transition === undefined
          ? Effect.void
          : Effect.andThen(note(admission.transition), note(transition))
    }
  )
  // Only a store that shares its circuits puts something into the scope: the renewal of the probe's lease.
  return scope.state._tag === "Empty"
    ? recorded
    : Effect.andThen(recorded, Effect.suspend(() => release(scope, policy)))
}

const release = (scope: Scope.Closeable, policy: Policy): Effect.Effect<void> => {
  const closing = Scope.closeUnsafe(scope, Exit.void)
  return closing === undefined ? Effect.void : Effect.ignoreCause(ask(closing, policy.storeMillis))
}

// Only a failure opens a circuit, and under a rate also the success that completes the minimum of calls.
const opens = (policy: Policy, admission: Admission, outcome: Outcome): boolean =>
  outcome === "Failure" || (outcome === "Success" && policy.trip._tag === "Rate" && !admission.probe)

const openFor = <A, E extends HasDisposition>(policy: Policy, admission: Admission, exit: Exit.Exit<A, E>) => {
  const grown = policy.openMillis * policy.factor ** admission.consecutiveOpenings
  const hinted = exit._tag === "Success" ? 0 : Math.max(0, ...exit.cause.reasons.map(hintMillis))
  return Duration.millis(Math.min(policy.capMillis, Math.max(grown, hinted)))
}

const hintMillis = (reason: Cause.Reason<HasDisposition>): number =>
  reason._tag === "Fail" && reason.error.retryAfter !== undefined ? Duration.toMillis(reason.error.retryAfter) : 0

const transitions = Metric.counter("effect_payments_circuit_transitions_total", {
  description: "Changes of state that this process made to a circuit",
  incremental: true
})

const note = (transition: Transition | undefined): Effect.Effect<void> =>
  transition === undefined ? Effect.void : Effect.andThen(
    Metric.update(Metric.withAttributes(transitions, { from: transition.from, to: transition.to }), 1),
    Effect.annotateLogs(
      transition.to === "Open" ? Effect.logWarning("the circuit opened") : Effect.logInfo("the circuit changed"),
      { circuit: transition.key, from: transition.from, to: transition.to }
    )
  )
