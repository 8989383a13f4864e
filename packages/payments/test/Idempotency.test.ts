import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Equal, Exit, Fiber, Layer, Schema } from "effect"
import { Idempotency, IdempotencyStore, Money, PaymentError } from "effect-payments"
import { TestClock } from "effect/testing"
import { GatewayCallMustBeInsideIdempotent } from "../src/internal/stack/claim.ts"

const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
const key = Idempotency.Key.make("key-1")
const Payload = Schema.Struct({ order: Schema.String, money: Money.Money })
const Receipt = Schema.Struct({ id: Schema.String, money: Money.Money })
const payload = { order: "A", money: Money.makeUnsafe("USD", "10.00") }

const options = {
  scope,
  key,
  payload,
  payloadSchema: Payload,
  success: Receipt,
  error: PaymentError.PaymentError
} as const

const layer = Idempotency.layer().pipe(
  Layer.provideMerge(IdempotencyStore.layerStoreMemory()),
  Layer.provide(NodeCrypto.layer)
)

/** An effect that counts its runs. */
const counted = (
  end: (run: number) => Effect.Effect<{ readonly id: string; readonly money: Money.Money }, PaymentError.PaymentError>
) => {
  const state = { runs: 0 }
  return [Effect.suspend(() => end(++state.runs)), state] as const
}
const receipt = (id: number) => ({ id: `r${id}`, money: payload.money })
const fail = (reason: PaymentError.Reason) => Effect.fail(PaymentError.make(reason))

describe("Idempotency.idempotent", () => {
  it.effect("runs once and replays an equal result", () =>
    Effect.gen(function*() {
      const [effect, state] = counted((n) => Effect.succeed(receipt(n)))
      const first = yield* Idempotency.idempotent(effect, options)
      const second = yield* Idempotency.idempotent(effect, options)
      assert.isTrue(Equal.equals(first, second))
      assert.strictEqual(state.runs, 1)
    }).pipe(Effect.provide(layer)))

  it.effect("replays a refusal with its type", () =>
    Effect.gen(function*() {
      const [effect, state] = counted(() =>
        fail(new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" }))
      )
      const first = yield* Effect.flip(Idempotency.idempotent(effect, options))
      const second = yield* Effect.flip(Idempotency.idempotent(effect, options))
      assert.instanceOf(second, PaymentError.PaymentError)
      assert.isTrue(Equal.equals(first, second))
      assert.strictEqual(state.runs, 1)
    }).pipe(Effect.provide(layer)))

  it.effect("frees the slot of what was not executed", () =>
    Effect.gen(function*() {
      const [effect, state] = counted((n) =>
        n === 1 ? fail(new PaymentError.NetworkError({ sent: false })) : Effect.succeed(receipt(n))
      )
      yield* Effect.flip(Idempotency.idempotent(effect, options))
      assert.strictEqual((yield* Idempotency.idempotent(effect, options)).id, "r2")
      assert.strictEqual(state.runs, 2)
    }).pipe(Effect.provide(layer)))

  it.effect("never runs again what may have happened", () =>
    Effect.gen(function*() {
      const [effect, state] = counted(() => fail(new PaymentError.GatewayTimeout({})))
      const first = yield* Effect.flip(Idempotency.idempotent(effect, options))
      assert.strictEqual(first._tag === "PaymentError" && first.reason._tag, "GatewayTimeout")
      const second = yield* Effect.flip(Idempotency.idempotent(effect, options))
      assert.strictEqual(second._tag === "IdempotencyError" && second.reason._tag, "OutcomeUnknown")
      assert.strictEqual(state.runs, 1)
      assert.strictEqual((yield* Idempotency.inspect({ scope, key }))?.state, "Indeterminate")
    }).pipe(Effect.provide(layer)))

  it.effect("joins a thousand duplicates into one run", () =>
    Effect.gen(function*() {
      const [effect, state] = counted((n) => Effect.as(Effect.sleep("1 second"), receipt(n)))
      const fiber = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: 1000 }),
        () => Idempotency.idempotent(effect, { ...options, duplicates: "await" }),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 second")
      const all = yield* Fiber.join(fiber)
      assert.isTrue(all.every((r) => r.id === "r1"))
      assert.strictEqual(state.runs, 1)
    }).pipe(Effect.provide(layer)))

  it.effect("passes a defect on and keeps the record unresolved", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Idempotency.idempotent(Effect.die("boom"), options))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.strictEqual((yield* Idempotency.inspect({ scope, key }))?.state, "Indeterminate")
    }).pipe(Effect.provide(layer)))

  it.effect("interrupts the work when the last caller leaves, and knows that it may have happened", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const ended = { interrupted: false }
      const effect = Effect.andThen(Deferred.succeed(started, undefined), Effect.never).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            ended.interrupted = true
          })
        )
      )
      const fiber = yield* Effect.forkChild(Idempotency.idempotent(effect, options))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(ended.interrupted)
      assert.strictEqual((yield* Idempotency.inspect({ scope, key }))?.state, "Indeterminate")
    }).pipe(Effect.provide(layer)))

  it.effect("keeps the lease of slow work, on the store's clock", () =>
    Effect.gen(function*() {
      const [effect, state] = counted((n) => Effect.as(Effect.sleep("5 minutes"), receipt(n)))
      const fiber = yield* Effect.forkChild(Idempotency.idempotent(effect, options))
      yield* TestClock.adjust("4 minutes")
      const record = yield* Idempotency.inspect({ scope, key })
      assert.strictEqual(record?.state, "Claimed")
      assert.isAbove(record?.leaseUntil ?? 0, 240_000)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).id, "r1")
      assert.strictEqual(state.runs, 1)
    }).pipe(Effect.provide(layer)))
})

describe("Claim", () => {
  it.effect("is repeatable only while every gateway that a call left for still recognises it", () =>
    Effect.gen(function*() {
      const repeatable = Idempotency.idempotent(
        Effect.gen(function*() {
          const claim = yield* GatewayCallMustBeInsideIdempotent
          const before = yield* claim.repeatable
          const first = yield* claim.depart({ phase: "authorize", request: "r", deduplicatesMillis: 60_000 })
          const once = yield* claim.repeatable
          const second = yield* claim.depart({ phase: "authorize", request: "r", deduplicatesMillis: 0 })
          claim.arrive("authorize", undefined)
          claim.arrive("authorize", undefined)
          return [before, once, yield* claim.repeatable, first === second]
        }),
        { ...options, success: Schema.Array(Schema.Boolean) }
      )
      assert.deepStrictEqual(yield* repeatable, [false, true, false, true])
    }).pipe(Effect.provide(layer)))

  it.effect("refuses a second request under one downstream key before it leaves", () =>
    Effect.gen(function*() {
      const state = { left: 0 }
      const twice = Effect.gen(function*() {
        const claim = yield* GatewayCallMustBeInsideIdempotent
        for (const request of ["first", "second"]) {
          yield* claim.depart({ phase: "authorize", request, deduplicatesMillis: 60_000 })
          state.left++
        }
        return receipt(1)
      })
      const error = yield* Effect.flip(Idempotency.idempotent(twice, options))
      assert.strictEqual(error._tag === "IdempotencyError" && error.reason._tag, "DownstreamKeyReused")
      assert.strictEqual(state.left, 1)
      assert.strictEqual((yield* Idempotency.inspect({ scope, key }))?.state, "Indeterminate")
    }).pipe(Effect.provide(layer)))

  it.effect("gives a phase of its own another downstream key", () =>
    Effect.gen(function*() {
      const keys = Idempotency.idempotent(
        Effect.gen(function*() {
          const ask = Effect.flatMap(
            GatewayCallMustBeInsideIdempotent,
            (claim) => Effect.succeed(claim.phase ?? "none")
          )
          return [yield* ask, yield* Idempotency.phase(ask, "second-card")]
        }),
        { ...options, success: Schema.Array(Schema.String) }
      )
      assert.deepStrictEqual(yield* keys, ["none", "second-card"])
    }).pipe(Effect.provide(layer)))
})
