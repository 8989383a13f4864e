/** What the network can do to a store, and what its callers see of it. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it as test } from "@effect/vitest"
import { Context, Effect, Fiber, Latch, Layer, Logger, Schedule, type Scope } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { StoreFaults, TestGateway } from "effect-payments/testing"
import { recordId } from "../../src/internal/idempotency/record.ts"
import { charge, key, scope, word } from "../faults/harness.ts"
import { type Faulty, postgres, redis } from "../support/storeFaults.ts"

type Store = IdempotencyStore.IdempotencyStore["Service"]
const quiet = Logger.layer([])

for (const { make, name, proxy } of [postgres, redis]) {
  const store = Layer.unwrap(Effect.map(make, ({ proxied }) => proxied)).pipe(
    Layer.provideMerge(proxy),
    Layer.provide(quiet)
  )
  test.layer(store, { excludeTestServices: true })(`the ${name} store, behind a network that fails`, (it) => {
    for (const { name, run } of StoreFaults.idempotencyStore({ patience: "300 millis" })) it.effect(name, () => run)
  })
}

// --- an operation over a store behind the proxy, and another process whose way to the server is a good one

type Charge = ReturnType<typeof charge>

interface Stage {
  readonly faults: StoreFaults.StoreFaults["Service"]
  readonly gateway: TestGateway.TestGateway["Service"]
  /** What the one behind the proxy answers, in a word. */
  readonly call: (self?: Charge) => Effect.Effect<string>
  /** What the other one answers. */
  readonly other: (self?: Charge) => Effect.Effect<string>
  /** The store behind the proxy. */
  readonly store: Store
  readonly stored: Effect.Effect<IdempotencyStore.Record | undefined>
  readonly shift: (duration: "31 seconds") => Effect.Effect<unknown>
}

const onStage = <A>(
  faulty: Faulty,
  self: (stage: Stage) => Effect.Effect<A, unknown, Scope.Scope>,
  wrap: (store: Store) => Store = (store) => store
) =>
  Effect.gen(function*() {
    const { direct, proxied, shift } = yield* faulty.make
    const proxy = yield* Layer.build(faulty.proxy)
    const near = yield* Layer.build(Layer.provide(proxied, Layer.succeedContext(proxy)))
    const far = yield* Layer.build(direct)
    const gateways = yield* Layer.build(TestGateway.layer())
    const engineOver = (store: Store) =>
      Layer.build(
        Idempotency.layer({ sweepEvery: false }).pipe(
          Layer.provide(Layer.succeed(IdempotencyStore.IdempotencyStore, store)),
          Layer.provide(NodeCrypto.layer)
        )
      )
    const stores = [near, far].map((context) => Context.get(context, IdempotencyStore.IdempotencyStore))
    const one = yield* engineOver(wrap(stores[0]!))
    const two = yield* engineOver(stores[1]!)
    const answering = (engine: typeof one) => (self = charge()) =>
      word(self).pipe(Effect.provideContext(Context.merge(engine, gateways)))
    return yield* self({
      faults: Context.get(proxy, StoreFaults.StoreFaults),
      gateway: Context.get(gateways, TestGateway.TestGateway),
      call: answering(one),
      other: answering(two),
      store: stores[0]!,
      stored: Effect.orDie(Effect.map(stores[1]!.inspect(recordId(scope, key)), ({ record }) => record)),
      shift: (duration) => Effect.orDie(shift(duration))
    })
  }).pipe(Effect.scoped, Effect.provide(quiet))

const cuts = ["close", "reset", "halfOpen"] as const
const drops = cuts.flatMap((cut) => [
  [`request lost, ${cut}`, StoreFaults.dropRequest({ cut })] as const,
  [`reply lost, ${cut}`, StoreFaults.dropReply({ cut })] as const
])

/** A payment that goes well, one whose reply is lost and that is looked up, and one that was not executed. */
const plans = {
  "a payment": [TestGateway.proceed],
  "a payment whose reply is lost": [TestGateway.lostReply],
  "a payment that is not executed at first": [TestGateway.failBefore]
}

/** Each request that the call sends is struck in turn, by each fault. What is wrong with what came of it. */
const wrongs = (faulty: Faulty, plan: ReadonlyArray<TestGateway.Behaviour>, wrap?: (store: Store) => Store) =>
  Effect.gen(function*() {
    const found: Array<string> = []
    for (const [name, fault] of drops) {
      if (wrap !== undefined && found.length > 0) break
      for (let nth = 1;; nth++) {
        const struck = yield* onStage(faulty, ({ call, faults, gateway, other, stored }) =>
          Effect.gen(function*() {
            yield* gateway.plan(plan)
            yield* faults.plan({ nth, fault })
            yield* Effect.forkScoped(Effect.andThen(faults.untilStruck(1), faults.cutOff))
            const answer = yield* call()
            const struck = yield* faults.struck
            yield* faults.heal
            const later = yield* other()
            const record = yield* stored
            const charges = yield* gateway.charges
            const isRight = (answer === later || (plan[0] === TestGateway.failBefore && answer === "NetworkError")) &&
              charges === 1 && record?.state === "Succeeded"
            if (!isRight) found.push(`${name}, request ${nth}: ${answer}, ${later}, ${charges}, ${record?.state}`)
            return struck
          }), wrap)
        // Of one that is broken the first is enough.
        if (struck === 0 || (wrap !== undefined && found.length > 0)) break
        assert.isBelow(nth, 30)
      }
    }
    return found
  })

/** Stores that are wrong in one way each. */
const broken: { readonly [name: string]: (store: Store) => Store } = {
  "does not know its own claim": (store) => {
    let claims = 0
    return { ...store, claim: (request) => store.claim({ ...request, owner: `${request.owner}-${claims++}` }) }
  },
  "does not know its own completion": (store) => {
    const written = new Set<string>()
    return {
      ...store,
      complete: (request) =>
        Effect.suspend(() => {
          const isFirst = !written.has(request.owner)
          written.add(request.owner)
          return Effect.map(store.complete(request), (isWritten) => isFirst && isWritten)
        })
    }
  },
  "takes a lost completion for written": (store) => ({
    ...store,
    complete: (request) => Effect.catch(store.complete(request), () => Effect.succeed(true))
  }),
  "takes a lost claim for none, and drops it": (store) => ({
    ...store,
    claim: (request) =>
      Effect.catch(
        store.claim(request),
        () => Effect.andThen(store.evict(request, { force: true }), store.claim({ ...request, owner: "again" }))
      )
  })
}

const until = (is: (word: string) => boolean) => (self: Effect.Effect<string>) =>
  Effect.repeat(self, { until: is, schedule: Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(400)]) })

const lease = "1 second" as const

for (const faulty of [postgres, redis]) {
  describe(`a payment over ${faulty.name}, behind a network that fails`, () => {
    for (const [name, plan] of Object.entries(plans)) {
      test.live(
        `${name}: each request and each reply lost in turn, and one charge, one answer, one record`,
        () =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* wrongs(faulty, plan), [])
          }),
        120_000
      )
    }

    for (const [name, wrap] of Object.entries(broken)) {
      test.live(`the same shows a store that ${name}`, () =>
        Effect.gen(function*() {
          assert.isNotEmpty(yield* wrongs(faulty, plans["a payment"], wrap))
        }), 120_000)
    }

    test.live("a claim that lapses while a save is under way is taken over, and the save that comes late writes nothing", () =>
      onStage(faulty, ({ call, faults, gateway, other, shift, stored }) =>
        Effect.gen(function*() {
          const gate = Latch.makeUnsafe(false)
          // What is sent once the charge is made: the save.
          const isSave = () => Effect.runSync(gateway.charges) > 0
          yield* faults.plan({ when: isSave, fault: StoreFaults.delayRequest(gate.await) })
          const first = yield* Effect.forkScoped(call())
          yield* faults.untilStruck(1)
          yield* shift("31 seconds")
          const answer = yield* other()
          const record = yield* stored
          assert.strictEqual(record?.state, "Succeeded")
          yield* gate.open
          assert.strictEqual(yield* Fiber.join(first), "OutcomeUnknown")
          assert.deepStrictEqual(yield* stored, record)
          assert.strictEqual(yield* call(), answer)
          assert.strictEqual(yield* gateway.charges, 1)
        })))

    test.live(
      "a claim whose reply comes after its lease runs nothing, and another one pays",
      () =>
        onStage(faulty, ({ call, faults, gateway, other, stored }) =>
          Effect.gen(function*() {
            const gate = Latch.makeUnsafe(false)
            yield* faults.plan({ times: Number.POSITIVE_INFINITY, fault: StoreFaults.delayReply(gate.await) })
            const first = yield* Effect.forkScoped(call(charge({ lease })))
            yield* faults.untilStruck(1)
            const answer = yield* other().pipe(until((word) => word !== "InFlight"))
            yield* gate.open
            assert.include(["StoreUnavailable", answer], yield* Fiber.join(first))
            yield* faults.heal
            assert.strictEqual((yield* stored)?.state, "Succeeded")
            assert.strictEqual(yield* call(), answer)
            assert.strictEqual(yield* gateway.charges, 1)
          })),
      60_000
    )

    test.live(
      "a store that is silent from the first request on is unavailable after a lease, and nothing has run",
      () =>
        onStage(faulty, ({ call, faults, gateway, other, stored }) =>
          Effect.gen(function*() {
            const fault = StoreFaults.dropRequest({ cut: "halfOpen" })
            yield* faults.plan({ times: Number.POSITIVE_INFINITY, fault })
            assert.strictEqual(yield* call(charge({ lease })), "StoreUnavailable")
            assert.strictEqual(yield* gateway.charges, 0)
            assert.isUndefined(yield* stored)
            yield* faults.heal
            const answer = yield* call().pipe(until((word) => word !== "StoreUnavailable"))
            assert.strictEqual(yield* other(), answer)
            assert.strictEqual(yield* gateway.charges, 1)
          })),
      60_000
    )

    test.live(
      "a store that falls silent at the save leaves a claim that lapses, and the charge is found",
      () =>
        onStage(faulty, ({ call, faults, gateway, other, stored }) =>
          Effect.gen(function*() {
            yield* faults.plan({
              when: () => Effect.runSync(gateway.charges) > 0,
              times: Number.POSITIVE_INFINITY,
              fault: StoreFaults.dropRequest({ cut: "halfOpen" })
            })
            assert.strictEqual(yield* call(charge({ lease })), "OutcomeUnknown")
            assert.strictEqual((yield* stored)?.state, "Claimed")
            const answer = yield* other().pipe(until((word) => word !== "InFlight"))
            assert.strictEqual((yield* stored)?.state, "Succeeded")
            yield* faults.heal
            const again = yield* call().pipe(until((word) => word !== "StoreUnavailable"))
            assert.strictEqual(again, answer)
            assert.strictEqual(yield* gateway.charges, 1)
          })),
      60_000
    )

    test.live(
      "one request that is lost while a payment takes long costs no lease",
      () =>
        onStage(faulty, ({ call, faults, gateway, other, stored }) =>
          Effect.gen(function*() {
            yield* gateway.plan([TestGateway.late("2500 millis")])
            // The third: the renewals begin.
            yield* faults.plan({ nth: 3, fault: StoreFaults.dropRequest({ cut: "reset" }) })
            const answer = yield* call(charge({ lease: "3 seconds" }))
            assert.strictEqual(yield* faults.struck, 1)
            assert.strictEqual((yield* stored)?.state, "Succeeded")
            assert.strictEqual(yield* other(), answer)
            assert.strictEqual(yield* gateway.charges, 1)
          })),
      60_000
    )
  })
}
