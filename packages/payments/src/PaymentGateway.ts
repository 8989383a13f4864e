/**
 * The port behind which a payment gateway stands.
 *
 * It prevents two failures: a call that moves money without an idempotency key (such calls need a `Claim`, which only
 * `Idempotency.idempotent` and saga steps provide, so they do not compile elsewhere), and a guess about a call whose
 * answer never came (`lookup` asks the gateway by the key that was sent).
 *
 * It holds no gateway client: an adapter turns the wire into `Transaction`s and `PaymentError`s. It does not guarantee
 * that a gateway honours the keys it is sent; an adapter states what its gateway can in `Capabilities`.
 *
 * Read `Idempotency` next.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Card from "./Card.ts"
import * as Routes from "./internal/gateway/routes.ts"
import { type Claim, GatewayCallMustBeInsideIdempotent } from "./internal/stack/claim.ts"
import * as Money from "./Money.ts"
import {
  Challenge,
  type Disposition,
  dispositionOf,
  GatewayFault,
  GatewayTimeout,
  InvalidRequest,
  make as makeError,
  NetworkError,
  type PaymentError
} from "./PaymentError.ts"

/**
 * A gateway's id of a transaction: 1 to 255 characters.
 *
 * @category models
 * @since 0.1.0
 */
export const TransactionId = Schema.String.check(Schema.isBetweenLength(1, 255)).pipe(Schema.brand("TransactionId"))

/**
 * See {@link TransactionId}.
 *
 * @category models
 * @since 0.1.0
 */
export type TransactionId = typeof TransactionId.Type

/**
 * Where a transaction stands.
 *
 * @category models
 * @since 0.1.0
 */
export const Status = Schema.Literals(["authorized", "captured", "voided", "refunded", "failed"])

/**
 * See {@link Status}.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = typeof Status.Type

/**
 * Result of the address check, without the letters that mean different things per brand and processor.
 *
 * @category models
 * @since 0.1.0
 */
export const AvsResult = Schema.Struct({
  street: Schema.Literals(["match", "mismatch", "unchecked", "unavailable"]),
  postal: Schema.Literals(["match", "mismatch", "unchecked", "unavailable"])
})

/**
 * Result of the security-code check.
 *
 * @category models
 * @since 0.1.0
 */
export const CvvResult = Schema.Literals(["match", "mismatch", "unchecked", "unavailable"])

/**
 * What a gateway did: the answer to each method that moves money.
 *
 * `money` is the amount of this operation: what was authorized, captured, released or refunded. `parent` is the
 * authorization or capture that it is about. `challenge`: the payer has to pass it before the gateway captures what is
 * authorized; the gateway tells by a webhook when that is done, and what nobody passes is to be voided.
 *
 * @category models
 * @since 0.1.0
 */
export class Transaction extends Schema.Class<Transaction>("effect-payments/PaymentGateway/Transaction")({
  id: TransactionId,
  kind: Schema.Literals(["authorize", "capture", "void", "refund"]),
  status: Status,
  money: Money.Money,
  parent: Schema.optionalKey(TransactionId),
  avs: Schema.optionalKey(AvsResult),
  cvv: Schema.optionalKey(CvvResult),
  challenge: Schema.optionalKey(Challenge)
}) {}

const Reference = Schema.String.check(Schema.isBetweenLength(1, 255))

/**
 * Reserve an amount on a card; with `capture: true` take it at once (a sale).
 *
 * @category requests
 * @since 0.1.0
 */
export const AuthorizeRequest = Schema.Struct({
  token: Card.CardToken,
  money: Money.Money,
  capture: Schema.optionalKey(Schema.Boolean),
  merchantReference: Schema.optionalKey(Reference)
})

/**
 * See {@link AuthorizeRequest}.
 *
 * @category requests
 * @since 0.1.0
 */
export type AuthorizeRequest = typeof AuthorizeRequest.Type

/**
 * Take what was authorized. Leave `money` out to take all of it; a part needs a gateway with `partialCapture`.
 *
 * @category requests
 * @since 0.1.0
 */
export const CaptureRequest = Schema.Struct({
  transactionId: TransactionId,
  money: Schema.optionalKey(Money.Money)
})

/**
 * See {@link CaptureRequest}.
 *
 * @category requests
 * @since 0.1.0
 */
export type CaptureRequest = typeof CaptureRequest.Type

/**
 * Release what was authorized and not yet captured.
 *
 * @category requests
 * @since 0.1.0
 */
export const VoidRequest = Schema.Struct({ transactionId: TransactionId })

/**
 * See {@link VoidRequest}.
 *
 * @category requests
 * @since 0.1.0
 */
export type VoidRequest = typeof VoidRequest.Type

/**
 * Give back what was captured. Leave `money` out to give back the rest; a part needs a gateway with `partialRefund`.
 *
 * @category requests
 * @since 0.1.0
 */
export const RefundRequest = Schema.Struct({
  transactionId: TransactionId,
  money: Schema.optionalKey(Money.Money),
  reason: Schema.optionalKey(Reference)
})

/**
 * See {@link RefundRequest}.
 *
 * @category requests
 * @since 0.1.0
 */
export type RefundRequest = typeof RefundRequest.Type

/**
 * What a gateway knows about a key that was sent to it.
 *
 * - `Happened`: it was done, with this result.
 * - `Refused`: it was answered with a no, which is final under this key.
 * - `NeverHappened`: the gateway has not seen the key. A request may still be on its way.
 * - `StillUnknown`: the gateway cannot say yet, or cannot be asked.
 *
 * @category models
 * @since 0.1.0
 */
export type Lookup<A = Transaction, E = PaymentError> =
  | { readonly _tag: "Happened"; readonly result: A }
  | { readonly _tag: "Refused"; readonly error: E }
  | { readonly _tag: "NeverHappened" }
  | { readonly _tag: "StillUnknown" }

/**
 * The gateway did it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const happened = <A>(result: A): Extract<Lookup<A, never>, { readonly _tag: "Happened" }> => ({
  _tag: "Happened",
  result
})

/**
 * The gateway said no.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refused = <E>(error: E): Extract<Lookup<never, E>, { readonly _tag: "Refused" }> => ({
  _tag: "Refused",
  error
})

/**
 * The gateway has not seen the key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const neverHappened: { readonly _tag: "NeverHappened" } = { _tag: "NeverHappened" }

/**
 * The gateway cannot say.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stillUnknown: { readonly _tag: "StillUnknown" } = { _tag: "StillUnknown" }

/**
 * What a gateway can, stated by its adapter.
 *
 * | field | meaning |
 * |---|---|
 * | `name` | for spans, metrics and errors |
 * | `deduplicates` | for how long it answers a key seen before with the first answer; `false` when it does not |
 * | `lookup` | whether a key can be asked for; without it `lookup` answers `StillUnknown` |
 * | `partialCapture`, `partialRefund` | whether `money` may be given to `capture` and `refund` |
 * | `exponents` | minor-unit digits per currency where they differ from ISO 4217 |
 *
 * @category models
 * @since 0.1.0
 */
export interface Capabilities {
  readonly name: string
  readonly deduplicates: Duration.Input | false
  readonly lookup: boolean
  readonly partialCapture: boolean
  readonly partialRefund: boolean
  readonly exponents?: Money.Exponents
}

/**
 * A method that moves money. It needs a `Claim`: put the call inside `Idempotency.idempotent` or a saga step.
 *
 * @category models
 * @since 0.1.0
 */
export type Method<Request> = (request: Request) => Effect.Effect<Transaction, PaymentError, Claim>

/**
 * The port. Build one with {@link make}.
 *
 * @category services
 * @since 0.1.0
 */
export class PaymentGateway extends Context.Service<PaymentGateway, {
  readonly capabilities: Capabilities
  readonly authorize: Method<AuthorizeRequest>
  readonly capture: Method<CaptureRequest>
  readonly void: Method<VoidRequest>
  readonly refund: Method<RefundRequest>
  /** What became of the request that was sent under this downstream key. Moves no money and needs no claim. */
  readonly lookup: (downstreamKey: string) => Effect.Effect<Lookup, PaymentError>
}>()("effect-payments/PaymentGateway") {}

/**
 * What an adapter writes: the same methods with the downstream key to send along.
 *
 * @category models
 * @since 0.1.0
 */
export interface Implementation {
  readonly authorize: (
    request: AuthorizeRequest,
    downstreamKey: string
  ) => Effect.Effect<Transaction, PaymentError>
  readonly capture: (request: CaptureRequest, downstreamKey: string) => Effect.Effect<Transaction, PaymentError>
  readonly void: (request: VoidRequest, downstreamKey: string) => Effect.Effect<Transaction, PaymentError>
  readonly refund: (request: RefundRequest, downstreamKey: string) => Effect.Effect<Transaction, PaymentError>
  readonly lookup: (downstreamKey: string) => Effect.Effect<Lookup, PaymentError>
}

/**
 * Builds the port from what a gateway can and what its adapter does.
 *
 * **Details**
 *
 * Each call derives its downstream key from the claim and the phase (the method's name, or what `Idempotency.phase`
 * says), notes that it leaves, and stamps every `Unknown` failure with `repeatable`: true while the gateway still
 * de-duplicates the key. A second call in the same phase with another request dies before it leaves, and the
 * surrounding `idempotent` fails with `DownstreamKeyReused`. The same request again, once it was done, is not sent: it gets
 * the same transaction.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (capabilities: Capabilities, implementation: Implementation): PaymentGateway["Service"] => {
  const deduplicatesMillis = capabilities.deduplicates === false
    ? 0
    : Duration.toMillis(Duration.fromInputUnsafe(capabilities.deduplicates))
  const method = <Request>(
    name: "authorize" | "capture" | "void" | "refund",
    encode: (request: Request) => Effect.Effect<string, unknown>,
    send: (request: Request, downstreamKey: string) => Effect.Effect<Transaction, PaymentError>,
    partial: boolean
  ): Method<Request> => {
    return Effect.fnUntraced(function*(request: Request) {
      const claim = yield* GatewayCallMustBeInsideIdempotent
      if (!partial) yield* refusePart(name, request)
      const encoded = yield* Effect.mapError(
        encode(request),
        () => makeError(new InvalidRequest({ code: "request_not_encodable" }))
      )
      const phase = phaseOf(claim, name)
      const sent = `${name}:${encoded}`
      // What was answered is not sent again, whether the gateway would recognise it or not.
      const answered = claim.recall(phase, sent) as Transaction | undefined
      if (answered !== undefined) return answered
      const downstreamKey = yield* claim.depart({ phase, request: sent, deduplicatesMillis })
      return yield* send(request, downstreamKey).pipe(
        Effect.onExit((exit) => Effect.sync(() => arrive(claim, phase, exit))),
        Effect.catchIf((error) => error.disposition === "Unknown", (error) => stamp(error, claim))
      )
    })
  }
  return PaymentGateway.of({
    capabilities,
    authorize: method("authorize", encodeAuthorize, implementation.authorize, true),
    capture: method("capture", encodeCapture, implementation.capture, capabilities.partialCapture),
    void: method("void", encodeVoid, implementation.void, true),
    refund: method("refund", encodeRefund, implementation.refund, capabilities.partialRefund),
    lookup: capabilities.lookup ? implementation.lookup : () => Effect.succeed(stillUnknown)
  })
}

const encodeAuthorize = Schema.encodeEffect(Schema.fromJsonString(AuthorizeRequest))
const encodeCapture = Schema.encodeEffect(Schema.fromJsonString(CaptureRequest))
const encodeVoid = Schema.encodeEffect(Schema.fromJsonString(VoidRequest))
const encodeRefund = Schema.encodeEffect(Schema.fromJsonString(RefundRequest))

const refusePart = (name: string, request: unknown): Effect.Effect<void, PaymentError> =>
  (request as { readonly money?: unknown }).money === undefined
    ? Effect.void
    : makeError(new InvalidRequest({ code: `partial_${name}_unsupported`, field: "money" }))

const arrive = (
  claim: GatewayCallMustBeInsideIdempotent["Service"],
  phase: string,
  exit: Exit.Exit<Transaction, PaymentError>
): void => {
  if (Exit.isSuccess(exit)) {
    claim.remember(phase, exit.value)
    return claim.arrive(phase, true)
  }
  const disposition = dispositionOfExit(exit)
  claim.arrive(phase, disposition === "NotExecuted" ? undefined : disposition === "Refused")
}

const dispositionOfExit = ({ cause }: Exit.Failure<Transaction, PaymentError>): Disposition =>
  Cause.hasDies(cause) || Cause.hasInterrupts(cause)
    ? "Unknown"
    : dispositionOf(Option.getOrUndefined(Cause.findErrorOption(cause)))

const phaseOf = (claim: GatewayCallMustBeInsideIdempotent["Service"], name: string): string =>
  claim.phase === undefined ? name : `${claim.phase}/${name}`

const stamp = (error: PaymentError, claim: GatewayCallMustBeInsideIdempotent["Service"]) =>
  Effect.flatMap(claim.repeatable, (repeatable) => Effect.fail(withRepeatable(error, repeatable)))

const withRepeatable = (error: PaymentError, repeatable: boolean): PaymentError => {
  const { reason } = error
  switch (reason._tag) {
    case "NetworkError":
      return makeError(new NetworkError({ sent: reason.sent, repeatable }))
    case "GatewayTimeout":
      return makeError(new GatewayTimeout({ repeatable }))
    case "GatewayFault":
      return makeError(
        new GatewayFault({ ...reason.status === undefined ? {} : { status: reason.status }, repeatable })
      )
    default:
      return error
  }
}

/**
 * Two gateways as one: the second is asked when the first surely did nothing.
 *
 * **Details**
 *
 * - `authorize` moves on only from `NotExecuted`. A key under which a gateway answered, or may have acted, stays at
 *   that gateway: a retry after a timeout never reaches the other one, also when the first is down by then.
 * - Transaction ids carry the name of the gateway that made them (`"stripe:ch_1"`), so `capture`, `void` and `refund`
 *   go there and nowhere else. The names of both must differ, and stay what they are as long as ids are kept.
 * - `lookup` asks both: `Happened` if any, else `StillUnknown` if any cannot say, else `Refused` if any, else
 *   `NeverHappened`. It does not fail.
 * - A failure is `repeatable` only when both de-duplicate.
 * - Capabilities are what both can, but `deduplicates` is `false`: each gateway knows its own keys only, and a new run
 *   may meet the other one. So what was looked up as `NeverHappened` waits for `settle` before it runs again.
 *
 * **Gotchas**
 *
 * A card token has to be valid at both gateways. Which gateway a key is bound to is kept in memory, for the last 65,536
 * keys: build the gateway once, in a layer. Another process knows nothing of it and has to look the key up first, as
 * `Idempotency` does.
 *
 * When both gateways report one key as `Happened`, the money was moved twice: `lookup` answers with the first and logs
 * an error that names both transactions.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { PaymentGateway } from "effect-payments"
 * import { TestGateway } from "effect-payments/testing"
 *
 * const both = Effect.gen(function*() {
 *   const first = yield* TestGateway.make({ name: "first" })
 *   const second = yield* TestGateway.make({ name: "second", deduplicates: false })
 *   return PaymentGateway.failover(first.gateway, second.gateway).capabilities
 * })
 *
 * Effect.runSync(both).name // => "first+second"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const failover = (
  primary: PaymentGateway["Service"],
  secondary: PaymentGateway["Service"]
): PaymentGateway["Service"] => {
  const capabilities = intersect(primary.capabilities, secondary.capabilities)
  const bothDeduplicate = primary.capabilities.deduplicates !== false && secondary.capabilities.deduplicates !== false
  const distinct = primary.capabilities.name !== secondary.capabilities.name
  const method = <Request>(call: Method<Request>): Method<Request> => (request) =>
    distinct
      ? Effect.mapError(
        call(request),
        (error) => bothDeduplicate ? error : withRepeatable(error, false)
      )
      : makeError(new InvalidRequest({ code: "failover_names_equal", field: "name" }))
  const { partialCapture, partialRefund } = capabilities
  return PaymentGateway.of({
    capabilities,
    authorize: method(authorizeAtEither({ primary, secondary })),
    capture: method(atMaker<CaptureRequest>([primary, secondary], "capture", partialCapture)),
    void: method(atMaker<VoidRequest>([primary, secondary], "void", true)),
    refund: method(atMaker<RefundRequest>([primary, secondary], "refund", partialRefund)),
    lookup: (downstreamKey) =>
      Effect.flatMap(
        Effect.all([ask(primary, downstreamKey), ask(secondary, downstreamKey)], { concurrency: 2 }),
        ([first, second]) => agree(first, second)
      )
  })
}

const authorizeAtEither = (
  gateways: Record<Routes.Place, PaymentGateway["Service"]>
): Method<AuthorizeRequest> => {
  const routes = Routes.make()
  return Effect.fnUntraced(function*(request: AuthorizeRequest) {
    const claim = yield* GatewayCallMustBeInsideIdempotent
    const downstreamKey = yield* claim.downstreamKey(phaseOf(claim, "authorize"))
    const attempt: ReturnType<Method<AuthorizeRequest>> = Effect.suspend(() => {
      const gateway = gateways[routes.enter(downstreamKey, claim.fence)]
      let onward = false
      return gateway.authorize(request).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            onward = routes.leave(downstreamKey, Exit.isFailure(exit) && dispositionOfExit(exit) === "NotExecuted")
          })
        ),
        Effect.flatMap((transaction) => named(gateway, transaction)),
        Effect.catchIf(() => onward, () => attempt)
      )
    })
    return yield* attempt
  })
}

// Only the gateway that made a transaction knows it: there is nothing to move on to.
const atMaker = <Request extends { readonly transactionId: TransactionId }>(
  gateways: ReadonlyArray<PaymentGateway["Service"]>,
  name: "capture" | "void" | "refund",
  partial: boolean
): Method<Request> =>
  Effect.fnUntraced(function*(request: Request) {
    if (!partial) yield* refusePart(name, request)
    const gateway = gateways.find((gateway) => request.transactionId.startsWith(prefixOf(gateway)))
    if (gateway === undefined) {
      return yield* makeError(new InvalidRequest({ code: "unknown_transaction", field: "transactionId" }))
    }
    const transactionId = request.transactionId.slice(prefixOf(gateway).length) as TransactionId
    const call = gateway[name] as Method<Request>
    return yield* Effect.flatMap(call({ ...request, transactionId }), (transaction) => named(gateway, transaction))
  })

const prefixOf = ({ capabilities }: PaymentGateway["Service"]): string =>
  `${capabilities.name.replaceAll("%", "%25").replaceAll(":", "%3A")}:`

// An id that no longer fits is an answer that cannot be read: the money has moved.
const named = (
  gateway: PaymentGateway["Service"],
  { parent, ...transaction }: Transaction
): Effect.Effect<Transaction, PaymentError> => {
  const [id, parentId] = [transaction.id, parent].map((id) => id === undefined ? id : `${prefixOf(gateway)}${id}`)
  return isTransactionId(id) && (parentId === undefined || isTransactionId(parentId))
    ? Effect.succeed(new Transaction({ ...transaction, id, ...parentId === undefined ? {} : { parent: parentId } }))
    : Effect.fail(makeError(new GatewayFault({ repeatable: false })))
}

const isTransactionId = Schema.is(TransactionId)

const ask = (gateway: PaymentGateway["Service"], downstreamKey: string): Effect.Effect<Lookup> =>
  gateway.lookup(downstreamKey).pipe(
    Effect.flatMap((found): Effect.Effect<Lookup, PaymentError> =>
      found._tag === "Happened"
        ? Effect.map(named(gateway, found.result), happened)
        : Effect.succeed(found)
    ),
    Effect.orElseSucceed(() => stillUnknown)
  )

const certainty: Record<Lookup["_tag"], number> = { Happened: 3, StillUnknown: 2, Refused: 1, NeverHappened: 0 }

const agree = (first: Lookup, second: Lookup): Effect.Effect<Lookup> => {
  const found = certainty[second._tag] > certainty[first._tag] ? second : first
  return first._tag === "Happened" && second._tag === "Happened"
    ? Effect.as(
      Effect.logError("two gateways executed the same key: give one of the transactions back").pipe(
        Effect.annotateLogs({ first: first.result.id, second: second.result.id })
      ),
      found
    )
    : Effect.succeed(found)
}

const intersect = (first: Capabilities, second: Capabilities): Capabilities => ({
  name: `${first.name}+${second.name}`,
  // A request that is still under way to one gateway is a stranger to the other.
  deduplicates: false,
  lookup: first.lookup && second.lookup,
  partialCapture: first.partialCapture && second.partialCapture,
  partialRefund: first.partialRefund && second.partialRefund,
  exponents: Object.fromEntries(
    Object.entries(first.exponents ?? {}).filter(([currency, digits]) =>
      second.exponents?.[currency as Money.Currency] === digits
    )
  )
})
