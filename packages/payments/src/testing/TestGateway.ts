/**
 * A gateway in memory that counts money and misbehaves on a plan.
 *
 * It shows whether a program charges twice, charges nothing, or takes a guess for an answer, when a gateway fails
 * before or after it acted, hangs, loses its reply, gets a request twice or late, refuses, or throttles. It keeps the
 * rules of a real one: no void after a capture, no capture after a void, no more captured than authorized, no more
 * refunded than captured, one answer per key. It is deterministic: ids are counted, and time is the `Clock`'s, so a
 * `TestClock` drives it. It does not check what a real gateway does on the wire: an adapter needs a test of its own.
 *
 * Read `PaymentGateway` next.
 *
 * @since 0.1.0
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Decline from "../Decline.ts"
import * as Books from "../internal/testing/books.ts"
import * as Money from "../Money.ts"
import {
  fromDecline,
  GatewayFault,
  GatewayTimeout,
  GatewayUnavailable,
  InvalidRequest,
  make as makeError,
  NetworkError,
  type PaymentError,
  RateLimited,
  type Reason
} from "../PaymentError.ts"
import * as PaymentGateway from "../PaymentGateway.ts"

/**
 * What the gateway does with one call.
 *
 * `deliveries` is how often the request reaches it, `answer` what the caller gets: the gateway's own answer, none at
 * all, or a failure. `lateMillis` passes before the request arrives, `delayMillis` before its answer leaves; a caller
 * that gives up meanwhile calls neither back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Behaviour {
  readonly name: string
  readonly deliveries: 0 | 1 | 2
  readonly refusal: Reason | undefined
  readonly answer: "Own" | "Never" | Reason
  readonly lateMillis: number
  readonly delayMillis: number
}

/**
 * What a look-up answers: the truth, that the gateway cannot say, a failure, or nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type LookupBehaviour = "truth" | "stillUnknown" | "hang" | Reason

/**
 * A call as a plan sees it. `attempt` counts the calls under this key and `number` all calls, both from 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly method: "authorize" | "capture" | "void" | "refund"
  readonly downstreamKey: string
  readonly attempt: number
  readonly number: number
}

/**
 * Which behaviour a call meets: the next of a list (after its end, all go well), or what a function of the call says.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = ReadonlyArray<Behaviour> | ((call: Call) => Behaviour | undefined)

/**
 * The same for look-ups; a function sees the key and how often it was asked for, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export type LookupPlan =
  | ReadonlyArray<LookupBehaviour>
  | ((downstreamKey: string, attempt: number) => LookupBehaviour | undefined)

/**
 * Something the gateway did: money reserved, taken, released or given back. `at` is milliseconds on the `Clock`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly downstreamKey: string
  readonly transaction: PaymentGateway.Transaction
  readonly at: number
}

/**
 * The sums of one currency. `charged` is what authorizations asked for, `held` what of it is neither captured nor
 * voided, `net` is captured less refunded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly charged: Money.Money
  readonly captured: Money.Money
  readonly voided: Money.Money
  readonly refunded: Money.Money
  readonly held: Money.Money
  readonly net: Money.Money
}

/**
 * What the gateway did, in order, and the sums per currency. `charges` is the number of authorizations that were
 * executed, whatever became of them later: two for one purchase is the failure to look for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  readonly charges: number
  readonly entries: ReadonlyArray<Entry>
  readonly totals: { readonly [C in Money.Currency]?: Totals }
}

/**
 * The gateway, and the hand on it.
 *
 * @category services
 * @since 0.1.0
 */
export class TestGateway extends Context.Service<TestGateway, {
  /** The port, as a program sees it. */
  readonly gateway: PaymentGateway.PaymentGateway["Service"]
  /** What the calls from now on meet. Replaces what is left of the plan before. */
  readonly plan: (plan: Plan) => Effect.Effect<void>
  /** What the look-ups from now on meet. */
  readonly planLookups: (plan: LookupPlan) => Effect.Effect<void>
  readonly ledger: Effect.Effect<Ledger>
  /** How many authorizations were executed in all. */
  readonly charges: Effect.Effect<number>
  /** How often this downstream key was executed: above one, the payer paid twice. */
  readonly executions: (downstreamKey: string) => Effect.Effect<number>
  /** The calls that were made, in order, those that failed before they arrived included. */
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  /** How many look-ups were made. */
  readonly lookups: Effect.Effect<number>
}>()("effect-payments/testing/TestGateway") {}

/**
 * Defaults:
 *
 * | option | default | meaning |
 * |---|---|---|
 * | `name` | `"test"` | the capability's name, and the start of every transaction id |
 * | `deduplicates` | `"24 hours"` | how long a key is answered with its first answer; `false`: each delivery is executed |
 * | `lookup` | `true` | whether keys can be asked for |
 * | `partialCapture`, `partialRefund` | `true` | |
 * | `plan`, `planLookups` | `[]` | all goes well |
 * | `callsMax` | 100,000 | further calls fail with `GatewayUnavailable` |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string
  readonly deduplicates?: Duration.Input | false
  readonly lookup?: boolean
  readonly partialCapture?: boolean
  readonly partialRefund?: boolean
  readonly plan?: Plan
  readonly planLookups?: LookupPlan
  readonly callsMax?: number
}

/**
 * Builds a gateway of its own books.
 *
 * **Example** (a charge that happened though its reply was lost)
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway } from "effect-payments"
 * import { TestGateway } from "effect-payments/testing"
 *
 * const request = { token: Card.CardToken.make("tok_visa"), money: Money.makeUnsafe("EUR", "12.50") }
 *
 * const charge = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request)).pipe(
 *   Idempotency.idempotent({
 *     scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
 *     key: Idempotency.Key.make("order-1"),
 *     payload: request,
 *     payloadSchema: PaymentGateway.AuthorizeRequest,
 *     success: PaymentGateway.Transaction,
 *     error: PaymentError.PaymentError,
 *     resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const test = yield* TestGateway.make({ plan: [TestGateway.lostReply] })
 *   const found = yield* Effect.provideService(charge, PaymentGateway.PaymentGateway, test.gateway)
 *   return { status: found.status, lookups: yield* test.lookups, charges: yield* test.charges }
 * })
 *
 * const layer = Idempotency.layer().pipe(
 *   Layer.provide(IdempotencyStore.layerStoreMemory()),
 *   Layer.provide(NodeCrypto.layer)
 * )
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => { status: "authorized", lookups: 1, charges: 1 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<TestGateway["Service"]> =>
  Effect.sync(() => {
    const name = options.name ?? "test"
    const state = makeState(name, options)
    const implementation: PaymentGateway.Implementation = {
      authorize: method(state, "authorize", encodeAuthorizeRequest, state.books.authorize),
      capture: method(state, "capture", encodeCaptureRequest, state.books.capture),
      void: method(state, "void", encodeVoidRequest, state.books.void),
      refund: method(state, "refund", encodeRefundRequest, state.books.refund),
      lookup: (downstreamKey) => lookup(state, downstreamKey)
    }
    return TestGateway.of({
      gateway: PaymentGateway.make({
        name,
        deduplicates: options.deduplicates ?? "24 hours",
        lookup: options.lookup ?? true,
        partialCapture: options.partialCapture ?? true,
        partialRefund: options.partialRefund ?? true
      }, implementation),
      plan: (plan) => Effect.sync(() => void (state.behaviours = makePlan(plan))),
      planLookups: (plan) => Effect.sync(() => void (state.lookupBehaviours = makeLookupPlan(plan))),
      ledger: Effect.sync(() => ledgerOf(state.entries)),
      charges: Effect.sync(() => chargesIn(state.entries)),
      executions: (key) => Effect.sync(() => state.entries.filter((entry) => entry.downstreamKey === key).length),
      calls: Effect.sync(() => [...state.calls]),
      lookups: Effect.sync(() => state.lookups)
    })
  })

/**
 * The gateway and the hand on it, as a layer.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { PaymentGateway } from "effect-payments"
 * import { TestGateway } from "effect-payments/testing"
 *
 * const program = Effect.map(PaymentGateway.PaymentGateway, (gateway) => gateway.capabilities.name)
 *
 * Effect.runSync(Effect.provide(program, TestGateway.layer())) // => "test"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<TestGateway | PaymentGateway.PaymentGateway> =>
  Layer.effectContext(
    Effect.map(
      make(options),
      (test) => Context.make(TestGateway, test).pipe(Context.add(PaymentGateway.PaymentGateway, test.gateway))
    )
  )

/**
 * All goes well.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const proceed: Behaviour = {
  name: "proceed",
  deliveries: 1,
  refusal: undefined,
  answer: "Own",
  lateMillis: 0,
  delayMillis: 0
}

/**
 * The request never arrives and the caller knows it: `NotExecuted`, by default a refused connection.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const failBefore: Behaviour = {
  ...proceed,
  name: "failBefore",
  deliveries: 0,
  answer: new NetworkError({ sent: false })
}

/**
 * The gateway acts, but the caller's time runs out: `GatewayTimeout`.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const failAfter: Behaviour = { ...proceed, name: "failAfter", answer: new GatewayTimeout({}) }

/**
 * The gateway acts, then the connection breaks: `NetworkError { sent: true }`.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const lostReply: Behaviour = { ...proceed, name: "lostReply", answer: new NetworkError({ sent: true }) }

/**
 * The connection breaks on the way there: the same `NetworkError { sent: true }`, and nothing has happened.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const lostRequest: Behaviour = { ...lostReply, name: "lostRequest", deliveries: 0 }

/**
 * No answer, ever. `happened` says whether the gateway acts.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const hang = (options: { readonly happened: boolean }): Behaviour => ({
  ...proceed,
  name: options.happened ? "hangAfter" : "hangBefore",
  deliveries: options.happened ? 1 : 0,
  answer: "Never"
})

/**
 * The network delivers the request twice. A gateway that does not de-duplicate executes it twice.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const duplicate: Behaviour = { ...proceed, name: "duplicate", deliveries: 2 }

/**
 * The gateway refuses, finally under this key: a decline, or any other `Refused` reason.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const refuse = (refusal: Reason): Behaviour => ({ ...proceed, name: "refuse", refusal })

/**
 * The issuer says no, by a decline code: Stripe's by default, see `Decline` for others. A code behind which no verdict
 * stands (`duplicate_transaction`) is a fault that moved nothing.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const decline = (code: string, processor: Decline.Processor = "stripe:decline_code"): Behaviour => {
  const { reason } = fromDecline({ processor, code })
  return { ...(reason.disposition === "Refused" ? refuse(reason) : { ...failBefore, answer: reason }), name: "decline" }
}

/**
 * Too many requests: nothing is processed.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const rateLimit = (retryAfter?: Duration.Input): Behaviour => ({
  ...proceed,
  name: "rateLimit",
  deliveries: 0,
  answer: new RateLimited({
    by: "gateway",
    ...retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) }
  })
})

/**
 * The gateway answers with a fault of its own: `GatewayFault`. `happened` says whether it acted first.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const fault = (status: number, options: { readonly happened: boolean }): Behaviour => ({
  ...proceed,
  name: options.happened ? "faultAfter" : "faultBefore",
  deliveries: options.happened ? 1 : 0,
  answer: new GatewayFault({ status })
})

/**
 * The answer takes this long; the gateway acts at once, so it has acted when the caller gives up meanwhile.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const delay = (duration: Duration.Input, then: Behaviour = proceed): Behaviour => ({
  ...then,
  name: `delay/${then.name}`,
  delayMillis: Duration.toMillis(Duration.fromInputUnsafe(duration))
})

/**
 * The request is under way this long and arrives also when the caller has given up: a look-up meanwhile answers
 * `NeverHappened`, and then it happens.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const late = (duration: Duration.Input, then: Behaviour = proceed): Behaviour => ({
  ...then,
  name: `late/${then.name}`,
  lateMillis: Duration.toMillis(Duration.fromInputUnsafe(duration))
})

interface Answered {
  readonly request: string
  readonly answer: Books.Answer
  readonly deduplicatedUntil: number
}

interface State {
  readonly books: Books.Books
  readonly deduplicatesMillis: number
  readonly callsMax: number
  readonly entries: Array<Entry>
  readonly calls: Array<Call>
  readonly attempts: Map<string, number>
  readonly lookupAttempts: Map<string, number>
  /** What a key is answered with again while the gateway recognises it. */
  readonly answered: Map<string, Answered>
  /** What a look-up reports: something that happened is never hidden by a later refusal, nor forgotten. */
  readonly found: Map<string, Books.Answer>
  lookups: number
  behaviours: (call: Call) => Behaviour
  lookupBehaviours: (downstreamKey: string, attempt: number) => LookupBehaviour
}

const makeState = (name: string, options: Options): State => {
  const deduplicates = options.deduplicates ?? "24 hours"
  return {
    books: Books.make(name),
    deduplicatesMillis: deduplicates === false ? 0 : Duration.toMillis(Duration.fromInputUnsafe(deduplicates)),
    callsMax: options.callsMax ?? 100_000,
    entries: [],
    calls: [],
    attempts: new Map(),
    lookupAttempts: new Map(),
    answered: new Map(),
    found: new Map(),
    lookups: 0,
    behaviours: makePlan(options.plan ?? []),
    lookupBehaviours: makeLookupPlan(options.planLookups ?? [])
  }
}

const makePlan = (plan: Plan): State["behaviours"] => {
  if (typeof plan === "function") return (call) => plan(call) ?? proceed
  let next = 0
  return () => plan[next++] ?? proceed
}

const makeLookupPlan = (plan: LookupPlan): State["lookupBehaviours"] => {
  if (typeof plan === "function") return (key, attempt) => plan(key, attempt) ?? "truth"
  let next = 0
  return () => plan[next++] ?? "truth"
}

const countUp = (counts: Map<string, number>, key: string): number => {
  const count = (counts.get(key) ?? 0) + 1
  counts.set(key, count)
  return count
}

// Once: a test makes many gateways.
const encodeAuthorizeRequest = Schema.encodeEffect(Schema.fromJsonString(PaymentGateway.AuthorizeRequest))
const encodeCaptureRequest = Schema.encodeEffect(Schema.fromJsonString(PaymentGateway.CaptureRequest))
const encodeVoidRequest = Schema.encodeEffect(Schema.fromJsonString(PaymentGateway.VoidRequest))
const encodeRefundRequest = Schema.encodeEffect(Schema.fromJsonString(PaymentGateway.RefundRequest))

const method = <Request>(
  state: State,
  name: Call["method"],
  encode: (request: Request) => Effect.Effect<string, Schema.SchemaError>,
  execute: (request: Request) => Books.Answer
) =>
  Effect.fnUntraced(function*(request: Request, downstreamKey: string) {
    const encoded = `${name}:${yield* Effect.orDie(encode(request))}`
    if (state.calls.length >= state.callsMax) {
      return yield* makeError(new GatewayUnavailable({ by: "gateway" }))
    }
    const attempt = countUp(state.attempts, downstreamKey)
    const call: Call = { method: name, downstreamKey, attempt, number: state.calls.length + 1 }
    state.calls.push(call)
    const behaviour = state.behaviours(call)
    const deliver = Effect.map(Clock.currentTimeMillis, (now) => {
      const answers = Array.from(
        { length: behaviour.deliveries },
        () => answerOnce(state, downstreamKey, encoded, now, () => execution(behaviour, request, execute))
      )
      return answers[0]
    })
    const own = behaviour.lateMillis === 0
      ? yield* deliver
      // Detached: a request under way is not called back.
      : yield* Effect.flatMap(Effect.forkDetach(Effect.delay(deliver, behaviour.lateMillis)), Fiber.join)
    if (behaviour.delayMillis > 0) yield* Effect.sleep(behaviour.delayMillis)
    return yield* answer(behaviour, own)
  })

const execution = <Request>(
  behaviour: Behaviour,
  request: Request,
  execute: (request: Request) => Books.Answer
): Books.Answer => behaviour.refusal === undefined ? execute(request) : Result.fail(behaviour.refusal)

const answerOnce = (
  state: State,
  downstreamKey: string,
  request: string,
  now: number,
  execute: () => Books.Answer
): Books.Answer => {
  const seen = state.answered.get(downstreamKey)
  if (seen !== undefined && now < seen.deduplicatedUntil) {
    return seen.request === request ? seen.answer : Result.fail(new InvalidRequest({ code: "idempotency_key_reused" }))
  }
  const answer = execute()
  if (Result.isSuccess(answer)) state.entries.push({ downstreamKey, transaction: answer.success, at: now })
  state.answered.set(downstreamKey, { request, answer, deduplicatedUntil: now + state.deduplicatesMillis })
  const found = state.found.get(downstreamKey)
  if (found === undefined || Result.isFailure(found)) state.found.set(downstreamKey, answer)
  return answer
}

const answer = (
  behaviour: Behaviour,
  own: Books.Answer | undefined
): Effect.Effect<PaymentGateway.Transaction, PaymentError> => {
  if (behaviour.answer === "Never") return Effect.never
  if (behaviour.answer !== "Own") return makeError(behaviour.answer)
  return own === undefined ? Effect.never : Effect.fromResult(Result.mapError(own, makeError))
}

const lookup = Effect.fnUntraced(function*(state: State, downstreamKey: string) {
  state.lookups++
  const behaviour = state.lookupBehaviours(downstreamKey, countUp(state.lookupAttempts, downstreamKey))
  if (behaviour === "hang") return yield* Effect.never
  if (behaviour === "stillUnknown") return PaymentGateway.stillUnknown
  if (behaviour !== "truth") return yield* makeError(behaviour)
  const found = state.found.get(downstreamKey)
  if (found === undefined) return PaymentGateway.neverHappened
  return Result.isSuccess(found)
    ? PaymentGateway.happened(found.success)
    : PaymentGateway.refused(makeError(found.failure))
})

const chargesIn = (entries: ReadonlyArray<Entry>): number =>
  entries.filter(({ transaction }) => transaction.kind === "authorize").length

const ledgerOf = (entries: ReadonlyArray<Entry>): Ledger => {
  const currencies = new Set(entries.map(({ transaction }) => transaction.money.currency))
  return {
    charges: chargesIn(entries),
    entries: [...entries],
    totals: Object.fromEntries([...currencies].map((currency) => [currency, totalsOf(entries, currency)]))
  }
}

const totalsOf = (entries: ReadonlyArray<Entry>, currency: Money.Currency): Totals => {
  const transactions = entries.map(({ transaction }) => transaction).filter(({ money }) => money.currency === currency)
  const sum = (includes: (transaction: PaymentGateway.Transaction) => boolean) =>
    BigDecimal.sumAll(transactions.filter(includes).map(({ money }) => money.amount))
  const money = (amount: BigDecimal.BigDecimal) => Result.getOrThrow(Money.fromBigDecimal(currency, amount))
  const charged = sum(({ kind }) => kind === "authorize")
  const captured = sum(({ status }) => status === "captured")
  const voided = sum(({ kind }) => kind === "void")
  const refunded = sum(({ kind }) => kind === "refund")
  return {
    charged: money(charged),
    captured: money(captured),
    voided: money(voided),
    refunded: money(refunded),
    held: money(BigDecimal.subtract(BigDecimal.subtract(charged, captured), voided)),
    net: money(BigDecimal.subtract(captured, refunded))
  }
}
