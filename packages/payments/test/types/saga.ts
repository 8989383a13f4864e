import { Effect, Schema } from "effect"
import { PaymentError, PaymentGateway, Resilience, Saga, UnitOfWork } from "effect-payments"
import { SagaTest } from "effect-payments/testing"

const Id = Schema.Struct({ id: Schema.String })
const error = PaymentError.PaymentError
const undo = () => Effect.void
const id = () => Effect.succeed({ id: "1" })
const base = { success: Id, error, verify: "rerun", run: id } as const
const undoable = { ...base, compensate: undo } as const
const later = { success: Id, verify: "rerun", run: id } as const

class Refusal extends Schema.TaggedError<Refusal>()("Refusal", {}) {
  readonly disposition = "Refused" as const
}
class Stateless extends Schema.TaggedError<Stateless>()("Stateless", {}) {}

declare const request: PaymentGateway.AuthorizeRequest
const authorize = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request))
const charge = Saga.make("charge", { payload: Schema.Struct({ orderId: Schema.String }) })
const refund = Effect.fail(new PaymentError.PaymentError({ reason: new PaymentError.GatewayTimeout({}) }))
const refused: Effect.Effect<{ readonly id: string }, PaymentError.PaymentError> = refund

// The legal order: gateway calls inside need no key of their own, and results go forward by name.
const checkout = charge.pipe(
  Saga.step("reserve", {
    success: Id,
    error,
    verify: "rerun",
    run: ({ payload }) => Effect.succeed({ id: payload.orderId }),
    compensate: (outcome) => outcome._tag === "Done" ? Effect.log(outcome.result.id) : Effect.log(outcome.cause)
  }),
  Saga.step("authorize", {
    success: PaymentGateway.Transaction,
    error,
    verify: Saga.verifyByLookup({ phase: "authorize" }),
    run: (ctx) => Effect.andThen(Effect.log(ctx.reserve.id), authorize.pipe(Resilience.timeout("1 second"))),
    compensate: (outcome, ctx) =>
      outcome._tag === "Done"
        ? Effect.flatMap(
          PaymentGateway.PaymentGateway,
          (gateway) => gateway.void({ transactionId: outcome.result.id })
        )
        : Effect.log(ctx.payload.orderId)
  }),
  Saga.step("capture", {
    success: Id,
    error,
    verify: () => Effect.succeed(PaymentGateway.happened({ id: "1" })),
    run: (ctx) => Effect.succeed({ id: ctx.authorize.id }),
    compensate: () => Effect.succeed(Saga.skip("nothing to do")),
    closes: ["authorize"]
  }),
  Saga.pivot("ship", {
    success: Id,
    error: Schema.Union([Refusal, PaymentError.PaymentError]),
    verify: "rerun",
    run: (ctx): Effect.Effect<{ readonly id: string }, Refusal | PaymentError.PaymentError> =>
      ctx.capture.id === "" ? Effect.fail(new Refusal()) : id()
  }),
  Saga.retriable("receipt", {
    success: Id,
    verify: "rerun",
    run: (ctx) => Effect.succeed({ id: ctx.ship.id + ctx.payload.orderId })
  }),
  Saga.retriable("notify", { success: Id, verify: "rerun", run: () => refused.pipe(Saga.park("no one to notify")) })
)

const run = <A, E>(self: Effect.Effect<A, E, Saga.Sagas | PaymentGateway.PaymentGateway>) => self
run(Saga.execute(checkout, { orderId: "1" }, { id: "1" }))
const parcel = run(Saga.execute(checkout, { orderId: "1" }, { id: "1" }).pipe(Saga.assertSucceeded))
export const results: Effect.Effect<
  { readonly ship: { readonly id: string }; readonly payload: { readonly orderId: string } },
  Saga.SagaError | Saga.SagaFailed<PaymentError.PaymentError | Refusal>,
  Saga.Sagas | PaymentGateway.PaymentGateway
> = parcel
Saga.layerRecover([checkout, charge.pipe(Saga.step("reserve", undoable))])

// Names are fresh.
// @refuse this saga already has a step named reserve: give the step a name of its own
charge.pipe(Saga.step("reserve", undoable), Saga.step("reserve", undoable))
// @refuse this saga already has a step named reserve: give the step a name of its own
charge.pipe(Saga.step("reserve", undoable), Saga.pivot("reserve", base))
// @refuse this saga already has a step named ship: give the step a name of its own
charge.pipe(Saga.pivot("ship", base), Saga.retriable("ship", later))
// @refuse this saga already has a step named payload: give the step a name of its own
charge.pipe(Saga.step("payload", undoable))

// A name is one name: the results are known by it.
declare const someName: string
declare const eitherName: "a" | "b"
declare const numberedName: `s${number}`
// @refuse a step is known by one name: write it out
charge.pipe(Saga.step(someName, undoable))
// @refuse a step is known by one name: write it out
charge.pipe(Saga.step(eitherName, undoable))
// @refuse a step is known by one name: write it out
charge.pipe(Saga.pivot(numberedName, base))
// @refuse a step is known by one name: write it out
charge.pipe(Saga.pivot("ship", base), Saga.retriable(eitherName, later))

// One pivot, nothing to undo behind it, nothing retriable before it.
// @refuse a saga has one pivot: make this step retriable
charge.pipe(Saga.pivot("ship", base), Saga.pivot("again", base))
// @refuse a compensatable step cannot follow the pivot: make it retriable
charge.pipe(Saga.pivot("ship", base), Saga.step("reserve", undoable))
// @refuse a compensatable step cannot follow the pivot: make it retriable
charge.pipe(Saga.pivot("ship", base), Saga.retriable("receipt", later), Saga.step("reserve", undoable))
// @refuse a retriable step must follow the pivot: put the pivot before it
charge.pipe(Saga.retriable("receipt", later))
// @refuse a retriable step must follow the pivot: put the pivot before it
charge.pipe(Saga.step("reserve", undoable), Saga.retriable("receipt", later))

// Where nobody knows whether the pivot has passed, no step can be added.
const someSaga: Saga.Saga<{ readonly payload: string }, never, never> = Saga.make("some", { payload: Schema.String })
  .pipe(Saga.pivot("ship", base)) as never
// @refuse a compensatable step cannot follow the pivot: make it retriable
someSaga.pipe(Saga.step("reserve", undoable))
// @refuse a saga has one pivot: make this step retriable
someSaga.pipe(Saga.pivot("again", base))
// @refuse a retriable step must follow the pivot: put the pivot before it
someSaga.pipe(Saga.retriable("receipt", later))

// What stands behind the pivot may not fail for good.
// @refuse a retriable step may not fail for good: handle what is Refused, or pipe the step through Saga.park
charge.pipe(Saga.pivot("ship", base), Saga.retriable("receipt", { ...later, run: () => Effect.fail(new Refusal()) }))
// @refuse a retriable step may not fail for good: handle what is Refused, or pipe the step through Saga.park
charge.pipe(Saga.pivot("ship", base), Saga.retriable("receipt", { ...later, run: () => refused }))
// @refuse a retriable step may not fail for good: handle what is Refused, or pipe the step through Saga.park
charge.pipe(Saga.pivot("ship", base), Saga.retriable("receipt", { ...later, run: () => Effect.fail(new Stateless()) }))

// Before the pivot every step has an undo, and every step says how it is verified.
// @refuse Property 'compensate' is missing
charge.pipe(Saga.step("reserve", base))
// @refuse Property 'verify' is missing
charge.pipe(Saga.step("reserve", { success: Id, error, run: id, compensate: undo }))
// @refuse Property 'verify' is missing
charge.pipe(Saga.pivot("ship", { success: Id, error, run: id }))
// @refuse Type '"no"' is not assignable to type
charge.pipe(Saga.step("reserve", { ...undoable, verify: "no" }))

// A gateway call needs the claim of a step, and has none beside it.
// @refuse GatewayCallMustBeInsideIdempotent
run(Effect.andThen(authorize, Saga.execute(checkout, { orderId: "1" }, { id: "1" })))
// @refuse GatewayCallMustBeInsideIdempotent
run(Saga.execute(checkout, { orderId: "1" }, { id: "1" }).pipe(Effect.tap(authorize)))

// Recovery needs the services of the steps: of sagas whose types are gone nobody knows them.
declare const anySagas: ReadonlyArray<Saga.Any>
// @refuse the services of these sagas are not known: list them with their types
Saga.layerRecover(anySagas)
// @refuse the services of these sagas are not known: list them with their types
Saga.recover([checkout, someSaga as Saga.Any])

// It would hold the transaction open for as long as a checkout takes.
// @refuse a saga inside a unit of work would hold the transaction open: run it outside
UnitOfWork.atomic(Saga.execute(checkout, { orderId: "1" }, { id: "1" }))

// What a step fails with states what is known about it, and can be stored.
// @refuse Property 'disposition' is missing in type 'Stateless' but required in type 'HasDisposition'
Saga.step("reserve", { ...undoable, error: Stateless, run: () => Effect.fail(new Stateless()) })
// @refuse Refusal
charge.pipe(Saga.step("reserve", { ...undoable, run: () => Effect.fail(new Refusal()) }))

// A result is what the schema says, a step sees what came before it, and closes what came before it.
// @refuse number
charge.pipe(Saga.step("reserve", { ...undoable, run: () => Effect.succeed({ id: 1 }) }))
charge.pipe(
  // @refuse Property 'capture' does not exist on type
  Saga.step("reserve", { ...undoable, run: (ctx) => Effect.succeed({ id: ctx.capture.id }) })
)
// @refuse Type '"capture"' is not assignable to type
charge.pipe(Saga.step("reserve", undoable), Saga.step("authorize", { ...undoable, closes: ["capture"] }))
// @refuse is not assignable to type
charge.pipe(Saga.step("reserve", { ...undoable, verify: () => Effect.succeed(PaymentGateway.happened({ id: 1 })) }))

// The payload is the saga's, and the services of its steps are asked for.
// @refuse 'amount' does not exist in type
run(Saga.execute(charge.pipe(Saga.step("reserve", undoable)), { orderId: "1", amount: 1 }, { id: "1" }))
const needsGateway = Saga.execute(checkout, { orderId: "1" }, { id: "1" })
// @refuse Type 'PaymentGateway' is not assignable to type 'Sagas'
export const forgotten: Effect.Effect<unknown, unknown, Saga.Sagas> = needsGateway

// Steps at the same time: in place, with names of their own, undone and verified like others, and blind to each other.
const undoableBranch = Saga.branch(undoable)
const laterBranch = Saga.retriableBranch(later)
export const grouped = charge.pipe(
  Saga.step("reserve", undoable),
  Saga.parallel({
    stock: Saga.branch({ ...undoable, run: (ctx) => Effect.succeed({ id: ctx.reserve.id + ctx.payload.orderId }) }),
    courier: undoableBranch
  }),
  Saga.pivot("ship", { ...base, run: (ctx) => Effect.succeed({ id: ctx.stock.id + ctx.courier.id }) }),
  Saga.parallel({
    receipt: Saga.retriableBranch({ ...later, run: (ctx) => Effect.succeed(ctx.ship) }),
    mail: laterBranch
  })
)
// @refuse a compensatable branch cannot follow the pivot: make it a retriableBranch
charge.pipe(Saga.pivot("ship", base), Saga.parallel({ stock: undoableBranch }))
// @refuse a retriable branch must follow the pivot: put the pivot before it
charge.pipe(Saga.parallel({ receipt: laterBranch }))
// @refuse the branches of a group are all compensatable or all retriable
charge.pipe(Saga.parallel({ stock: undoableBranch, receipt: laterBranch }))
// @refuse this saga already has a step named stock: give the step a name of its own
charge.pipe(Saga.step("stock", undoable), Saga.parallel({ stock: undoableBranch }))
// @refuse Property 'compensate' is missing
charge.pipe(Saga.parallel({ stock: Saga.branch(base) }))
charge.pipe(Saga.parallel({
  stock: undoableBranch,
  // @refuse Property 'stock' does not exist on type
  courier: Saga.branch({ ...undoable, run: (ctx) => Effect.succeed({ id: ctx.stock.id }) })
}))
// A pivot is no branch.
// @refuse is not assignable to
charge.pipe(Saga.parallel({ ship: Saga.pivot("ship", base) }))
const refusedMail = Saga.retriableBranch({ ...later, run: () => refused })
// @refuse a retriable step may not fail for good: handle what is Refused, or pipe the step through Saga.park
charge.pipe(Saga.pivot("ship", base), Saga.parallel({ mail: refusedMail }))

// Steps that wait: typed by their message, branching on a deadline, failing before the pivot alone.
const challenge = Saga.makeSignal("challenge", Schema.Struct({ passed: Schema.Boolean }))
const failsLate = { deadline: "1 hour", error: Refusal, onDeadline: () => new Refusal() } as const
const challenged = charge.pipe(
  Saga.awaitSignal(challenge, failsLate),
  Saga.sleep("cool", "1 day"),
  Saga.pivot("ship", { ...base, run: (ctx) => Effect.succeed({ id: `${ctx.challenge.passed}` }) })
)
export const late: Effect.Effect<
  unknown,
  Saga.SagaError | Saga.SagaFailed<PaymentError.PaymentError | Refusal>,
  Saga.Sagas
> = Saga.execute(challenged, { orderId: "1" }, { id: "1" }).pipe(Saga.assertSucceeded)
run(Saga.signal(challenged, challenge, { id: "1", event: "e", value: { passed: true } }))
// @refuse Type 'string' is not assignable to type 'boolean'
run(Saga.signal(challenged, challenge, { id: "1", event: "e", value: { passed: "yes" } }))
// @refuse is not assignable to parameter of type
run(Saga.signal(checkout, challenge, { id: "1", event: "e", value: { passed: true } }))
// @refuse this saga already has a step named challenge: give the step a name of its own
challenged.pipe(Saga.awaitSignal(challenge))
// @refuse behind the pivot a deadline may not fail the saga: leave out onDeadline and branch on the arrival
charge.pipe(Saga.pivot("ship", base), Saga.awaitSignal(challenge, failsLate))
charge.pipe(
  Saga.awaitSignal(challenge, { deadline: "1 hour" }),
  // @refuse Property 'value' does not exist on type
  Saga.step("reserve", { ...undoable, run: (ctx) => Effect.succeed({ id: `${ctx.challenge.value.passed}` }) })
)

const world = { payload: { orderId: "1" }, layer: SagaTest.layerLedger }
const three = SagaTest.signal(challenge, { event: "e", value: { passed: true } })
export const explored = SagaTest.explore(charge.pipe(Saga.awaitSignal(challenge)), {
  ...world,
  signals: [
    three,
    SagaTest.signal(challenge, { event: "f", value: ({ payload }) => ({ passed: payload.orderId === "1" }) })
  ]
})
export const foreign = SagaTest.explore(charge.pipe(Saga.sleep("cool down", "1 hour")), {
  ...world,
  // @refuse Type '"challenge"' is not assignable to type
  signals: [three]
})
// @refuse Type 'string' is not assignable to type 'boolean'
SagaTest.signal(challenge, { event: "e", value: { passed: "yes" } })
