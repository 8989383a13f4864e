import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { TestClock } from "effect/testing"
import { recordId } from "../../src/internal/idempotency/record.ts"
import { shiftTime } from "./shiftTime.ts"
import { storeContract } from "./storeContract.ts"

const key = (fill: number) => Redacted.make(new Uint8Array(32).fill(fill))
const ring = { current: "a", keys: { a: key(1) } }

const sealed = Layer.provide(IdempotencyStore.layerSealed(ring), NodeCrypto.layer)

storeContract("sealed over memory", Layer.provide(sealed, IdempotencyStore.layerStoreMemory()), {
  live: false,
  advance: (duration) => TestClock.adjust(duration)
})

storeContract(
  "sealed over sqlite",
  sealed.pipe(
    Layer.provide(IdempotencyStore.layerStoreSql()),
    Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
  ),
  { live: true, advance: shiftTime }
)

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

  const claim = (text: string) =>
    Effect.flatMap(IdempotencyStore.IdempotencyStore, (store) =>
      store.claim({
        ...recordId(scope, Idempotency.Key.make(text)),
        fingerprint: "f",
        owner: "o",
        leaseMillis: 30_000,
        canResolve: false,
        attemptsMax: 10
      }))
  const succeeded = (result: string) => ({ _tag: "Succeeded", result, ttlMillis: 60_000 }) as const

  it.effect("says the same when a save is sent again, also after its key was replaced", () =>
    Effect.gen(function*() {
      const rotated = yield* open({ current: "b", keys: { a: key(1), b: key(2) } })
      const { record } = yield* claim("twice")
      const complete = (result: string, owner = record.owner) =>
        Effect.flatMap(
          IdempotencyStore.IdempotencyStore,
          (store) => store.complete({ ...record, owner, completion: succeeded(result) })
        )
      const first = yield* open(ring)
      assert.isTrue(yield* Effect.provide(complete("{}"), first))
      const text = yield* raw("twice")
      assert.isTrue(yield* Effect.provide(complete("{}"), first))
      assert.isTrue(yield* Effect.provide(complete("{}"), rotated))
      assert.isFalse(yield* Effect.provide(complete("[]"), rotated))
      assert.isFalse(yield* Effect.provide(complete("{}", "p"), rotated))
      assert.strictEqual(yield* raw("twice"), text)
    }).pipe(Effect.provide(below)))

  it.effect("seals equal results apart", () =>
    Effect.gen(function*() {
      const sealed = yield* open(ring)
      const { record } = yield* claim("one")
      const { record: other } = yield* claim("two")
      yield* Effect.gen(function*() {
        const store = yield* IdempotencyStore.IdempotencyStore
        yield* store.complete({ ...record, completion: succeeded("{}") })
        yield* store.complete({ ...other, completion: succeeded("{}") })
      }).pipe(Effect.provide(sealed))
      assert.notStrictEqual(yield* raw("one"), yield* raw("two"))
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
