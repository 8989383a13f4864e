/** A saga that waits before its pivot and behind it, in a world that sends what it waits for. */
import { Effect, Schema } from "effect"
import { PaymentError, Saga } from "effect-payments"
import { SagaTest } from "effect-payments/testing"
import { Refusal } from "./checkout.ts"

export const challenge = Saga.makeSignal("challenge", Schema.Struct({ passed: Schema.Boolean }))
const delivered = Saga.makeSignal("delivered", Schema.String)

const done = (name: string) => Effect.asVoid(Effect.flatMap(SagaTest.Ledger, ({ done }) => done(name, "o1")))
const undone = (name: string) => Effect.flatMap(SagaTest.Ledger, ({ undone }) => undone(name, "o1"))

export const awaiting = Saga.make("awaiting", { payload: Schema.Struct({}) }).pipe(
  Saga.step("reserve", {
    success: Schema.Void,
    error: PaymentError.PaymentError,
    verify: "rerun",
    run: () => done("reserve"),
    compensate: () => undone("reserve")
  }),
  Saga.awaitSignal(challenge, {
    deadline: "15 minutes",
    error: Refusal,
    onDeadline: () => new Refusal({ why: "late" })
  }),
  Saga.pivot("ship", {
    success: Schema.String,
    error: Refusal,
    verify: "rerun",
    run: () => Effect.as(done("ship"), "p-1")
  }),
  Saga.awaitSignal(delivered, { deadline: "2 hours" }),
  Saga.retriable("close", {
    success: Schema.Void,
    verify: "rerun",
    run: (ctx) => done(ctx.delivered._tag === "Arrived" ? `close as ${ctx.delivered.value}` : "close as lost")
  })
)

export const awaitingWorld = {
  payload: {},
  layer: SagaTest.layerLedger,
  signals: [
    SagaTest.signal(challenge, { event: "evt_1", value: { passed: true } }),
    SagaTest.signal(challenge, { event: "evt_2", value: { passed: false } }),
    SagaTest.signal(delivered, { event: "evt_3", value: (ctx: { readonly ship: string }) => ctx.ship })
  ]
}
