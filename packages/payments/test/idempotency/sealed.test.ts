import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { recordId } from "../../src/internal/idempotency/record.ts"

const key = (fill: number) => Redacted.make(new Uint8Array(32).fill(fill))
const ring = { current: "a", keys: { a: key(1) } }

const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
const charge = (text: string) =>
  Idempotency.idempotent(Effect.succeed({ receipt: "secret-receipt" }), {
    scope,
    key: Idempotency.Key.make(text),
    payload: "order-1",
    payloadSchema: Schema.String,
    success: Schema.Struct({ receipt: Schema.String }),
    error: PaymentError.PaymentError
  })
const decline = PaymentError.make(new PaymentError.InvalidRequest({ code: "secret-code" }))

const open = (ring: IdempotencyStore.KeyRing) =>
  Effect.map(IdempotencyStore.IdempotencyStore, (store) =>
    Idempotency.layer().pipe(
      Layer.provideMerge(
        Layer.provide(
          IdempotencyStore.layerSealed(ring),
          Layer.succeed(IdempotencyStore.IdempotencyStore, store)
        )
      ),
      Layer.provide(NodeCrypto.layer)
    ))

const raw = (text: string) =>
  Effect.flatMap(IdempotencyStore.IdempotencyStore, (store) =>
    Effect.map(
      store.inspect(recordId(scope, Idempotency.Key.make(text))),
      ({ record }) => record?.result ?? ""
    ))

const stores = [
  ["memory", IdempotencyStore.layerStoreMemory()],
  [
    "SQLite",
    Layer.provide(IdempotencyStore.layerStoreSql(), SqliteClient.layer({ filename: ":memory:" }))
  ]
] as const

describe.each(stores)("IdempotencyStore.layerSealed over %s", (_, below) => {
  it.effect("stores nothing that can be read, and replays", () =>
    Effect.gen(function*() {
      const sealed = yield* open(ring)
      const first = yield* Effect.provide(charge("one"), sealed)
      const second = yield* Effect.provide(charge("one"), yield* open(ring))
      assert.deepStrictEqual(second, first)
      const text = yield* raw("one")
      assert.match(text, /^s1\.a\./)
      assert.notInclude(text, "secret")
    }).pipe(Effect.provide(below)))

  it.effect("seals refusals too", () =>
    Effect.gen(function*() {
      const refused = Idempotency.idempotent(Effect.fail(decline), {
        scope,
        key: Idempotency.Key.make("no"),
        payload: "order-1",
        payloadSchema: Schema.String,
        success: Schema.Never,
        error: PaymentError.PaymentError
      })
      const sealed = yield* open(ring)
      const first = yield* Effect.flip(Effect.provide(refused, sealed))
      const second = yield* Effect.flip(Effect.provide(refused, sealed))
      assert.deepStrictEqual(second, first)
      assert.notInclude(yield* raw("no"), "secret")
    }).pipe(Effect.provide(below)))

  it.effect("opens what an older key of the ring sealed, and seals with the current one", () =>
    Effect.gen(function*() {
      yield* Effect.provide(charge("old"), yield* open(ring))
      const rotated = yield* open({ current: "b", keys: { a: key(1), b: key(2) } })
      assert.strictEqual((yield* Effect.provide(charge("old"), rotated)).receipt, "secret-receipt")
      yield* Effect.provide(charge("new"), rotated)
      assert.match(yield* raw("new"), /^s1\.b\./)
    }).pipe(Effect.provide(below)))

  it.effect("never runs again what it cannot open", () =>
    Effect.gen(function*() {
      yield* Effect.provide(charge("lost"), yield* open(ring))
      const others = [
        yield* open({ current: "b", keys: { b: key(2) } }),
        yield* open({ current: "a", keys: { a: key(3) } })
      ]
      for (const other of others) {
        const error = yield* Effect.flip(Effect.provide(charge("lost"), other))
        assert.strictEqual(error._tag === "IdempotencyError" && error.reason._tag, "RecordUnreadable")
      }
    }).pipe(Effect.provide(below)))

  it.effect("does not open a result under another record, nor one that was never sealed", () =>
    Effect.gen(function*() {
      const sealed = yield* open(ring)
      yield* Effect.provide(charge("mine"), sealed)
      const store = yield* IdempotencyStore.IdempotencyStore
      const claimed = yield* store.claim({
        ...recordId(scope, Idempotency.Key.make("theirs")),
        fingerprint: "f",
        owner: "o",
        leaseMillis: 30_000,
        canResolve: false,
        attemptsMax: 10
      })
      const plant = (result: string) =>
        store.complete({
          ...claimed.record,
          completion: { _tag: "Succeeded", result, ttlMillis: 60_000 }
        })
      assert.isTrue(yield* plant(yield* raw("mine")))
      const seen = yield* Effect.provide(
        Idempotency.inspect({ scope, key: Idempotency.Key.make("theirs") }),
        sealed
      )
      assert.strictEqual(seen?.state, "Succeeded")
      assert.isUndefined(seen?.result)
    }).pipe(Effect.provide(below)))

  it.effect("says the same when a save is sent again", () =>
    Effect.gen(function*() {
      const sealed = yield* open(ring)
      const program = Effect.gen(function*() {
        const store = yield* IdempotencyStore.IdempotencyStore
        const { record } = yield* store.claim({
          ...recordId(scope, Idempotency.Key.make("twice")),
          fingerprint: "f",
          owner: "o",
          leaseMillis: 30_000,
          canResolve: false,
          attemptsMax: 10
        })
        const completion = { _tag: "Succeeded", result: "{}", ttlMillis: 60_000 } as const
        return [yield* store.complete({ ...record, completion }), yield* store.complete({ ...record, completion })]
      })
      assert.deepStrictEqual(yield* Effect.provide(program, sealed), [true, true])
    }).pipe(Effect.provide(below)))
})

describe("a key ring", () => {
  it.effect.each([
    { current: "b", keys: { a: key(1) } },
    { current: "a", keys: { a: Redacted.make(new Uint8Array(16)) } },
    { current: "a.b", keys: { "a.b": key(1) } }
  ])("is refused when it cannot seal", (ring) =>
    Effect.gen(function*() {
      const layer = IdempotencyStore.layerSealed(ring).pipe(
        Layer.provide(IdempotencyStore.layerStoreMemory()),
        Layer.provide(NodeCrypto.layer)
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.scoped(Layer.build(layer)))))
    }))
})
