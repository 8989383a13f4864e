/** What the network can do to a saga's log, and what the payer and the caller see of it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Latch, Layer, Logger, Schedule, type Scope } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { StoreFaults, TestGateway } from "effect-payments/testing"
import { runId } from "../../src/internal/saga/record.ts"
import { checkout, makeShop, Refusal, sagas, Shop } from "../saga/checkout.ts"
import { type FaultyLog, postgresLog, redisLog } from "../support/storeFaults.ts"

type Log = SagaLog.SagaLog["Service"]
const quiet = Logger.layer([])

interface Stage {
  readonly faults: StoreFaults.StoreFaults["Service"]
  /** The log behind the proxy, and the same one for a process whose way to the server is a good one. */
  readonly near: Log
  readonly far: Log
}

const stageOf = (faulty: FaultyLog): Effect.Effect<Stage, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { direct, proxied } = yield* faulty.make
    const proxy = yield* Layer.build(faulty.proxy)
    return {
      faults: Context.get(proxy, StoreFaults.StoreFaults),
      near: Context.get(
        yield* Layer.build(Layer.provide(proxied, Layer.succeedContext(proxy))),
        SagaLog.SagaLog
      ),
      far: Context.get(yield* Layer.build(direct), SagaLog.SagaLog)
    }
  })

const processOver = (log: Log, options?: Saga.Options) =>
  Layer.build(Layer.fresh(sagas(options)).pipe(Layer.provide([Layer.succeed(SagaLog.SagaLog, log), quiet])))

/** Nobody waits long for a run that another one holds. */
const patience = { awaitAtMost: "1 second" } as const

interface Flow {
  readonly plan: ReadonlyArray<TestGateway.Behaviour>
  readonly isShipped: boolean
  readonly end: Saga.Execution<unknown, unknown>["_tag"]
}

const flows: { readonly [name: string]: Flow } = {
  "a checkout": { plan: [], isShipped: true, end: "Completed" },
  "a checkout that is undone": { plan: [], isShipped: false, end: "Compensated" },
  "a checkout whose capture is in doubt": {
    plan: [TestGateway.proceed, TestGateway.lostReply],
    isShipped: true,
    end: "Completed"
  }
}

const wordOf = <A extends { readonly _tag: string }, E extends { readonly reason: { readonly _tag: string } }, R>(
  self: Effect.Effect<A, E, R>
) => Effect.match(self, { onSuccess: ({ _tag }) => _tag, onFailure: ({ reason }) => reason._tag })

/** The connection stands, whatever befell it before: a client of Redis that is about to connect again does not close. */
const connected = (near: Log) => Effect.retry(near.list({ limit: 1 }), { times: 100 })

let orders = 0

/** One run of its own, its log behind a network that does this; and all that there is to see of it afterwards. */
const run = ({ far, faults, near }: Stage, { isShipped, plan }: Flow, fault: StoreFaults.Rule | undefined) =>
  Effect.gen(function*() {
    const id = `order-${orders++}`
    const shop = makeShop()
    if (!isShipped) shop.plan.set("ship", Effect.fail(new Refusal({ why: "sold out" })))
    const gateway = yield* TestGateway.make({ plan })
    const world = Context.make(Shop, shop).pipe(Context.add(PaymentGateway.PaymentGateway, gateway.gateway))
    const here = Context.merge(yield* processOver(near, patience), world)
    const there = Context.merge(yield* processOver(far, patience), world)
    yield* connected(near)
    if (fault !== undefined) yield* faults.plan(fault)
    yield* Effect.forkScoped(Effect.andThen(faults.untilStruck(1), faults.cutOff))
    const told = yield* wordOf(Saga.execute(checkout, { orderId: id }, { id })).pipe(Effect.provideContext(here))
    const struck = yield* faults.struck
    yield* faults.heal
    yield* faults.plan()
    const later = yield* wordOf(Saga.result(checkout, { id })).pipe(Effect.provideContext(there))
    const { charges, totals } = yield* gateway.ledger
    const history = yield* far.read(runId(checkout.name, id))
    const seen = {
      told,
      later,
      calls: shop.calls.map((call) => call.replace(id, "ID")),
      charges,
      net: `${totals["EUR"]?.net.amount.value}`,
      held: `${totals["EUR"]?.held.amount.value}`,
      entries: history?.entries.map(({ events, seq, state }) =>
        [seq, state, ...events.map((event) => "step" in event ? `${event._tag} ${event.step}` : event._tag)].join(" ")
      )
    }
    return { struck, seen }
  }).pipe(Effect.scoped, Effect.provide(quiet))

const cuts = ["close", "reset", "halfOpen"] as const
const drops = cuts.flatMap((cut) => [
  [`request lost, ${cut}`, StoreFaults.dropRequest({ cut })] as const,
  [`reply lost, ${cut}`, StoreFaults.dropReply({ cut })] as const
])

/** Each request of the run is struck in turn, by each fault. What is seen where it is not what is seen without. */
const wrongs = (stage: Stage, flow: Flow, until: (found: ReadonlyArray<unknown>) => boolean = () => false) =>
  Effect.gen(function*() {
    const { seen: expected } = yield* run(stage, flow, undefined)
    assert.deepStrictEqual([expected.told, expected.later, expected.charges], [flow.end, flow.end, 1])
    const found: Array<unknown> = []
    let most = 0
    for (const [name, fault] of drops) {
      for (let nth = 1; !until(found); nth++) {
        const { seen, struck } = yield* run(stage, flow, { nth, fault })
        if (struck === 0) break
        most = Math.max(most, nth)
        if (JSON.stringify(seen) !== JSON.stringify(expected)) found.push({ name, nth, seen })
        assert.isBelow(nth, 40)
      }
    }
    return { found, most, entries: expected.entries?.length ?? 0 }
  })

/** Logs that are wrong in one way each. */
const broken: { readonly [name: string]: (log: Log) => Log } = {
  "does not know its own claim": (log) => {
    const sent = new Set<string>()
    return {
      ...log,
      claim: (request) =>
        Effect.suspend(() => {
          const owner = sent.has(request.owner) ? `${request.owner}-again` : request.owner
          sent.add(request.owner)
          return log.claim({ ...request, owner })
        })
    }
  },
  "does not know its own entry": (log) => {
    const sent = new Set<string>()
    return {
      ...log,
      append: (request) =>
        Effect.suspend(() => {
          const entry = `${request.id} ${request.seq}`
          const isFirst = !sent.has(entry)
          sent.add(entry)
          return Effect.map(log.append(request), (reply) => ({ ...reply, appended: isFirst && reply.appended }))
        })
    }
  },
  "takes a lost entry for written": (log) => ({
    ...log,
    append: (request) =>
      Effect.catch(
        log.append(request),
        () => Effect.succeed({ appended: true, cancelRequested: false, pauseRequested: undefined })
      )
  })
}

const { "a checkout": wholeCheckout } = flows as typeof flows & { readonly "a checkout": Flow }

/** Two processes, of which the one near has a short lease and a network that this happens to once the payer has paid. */
const struckOncePaid = (
  { far, faults, near }: Stage,
  rule: Omit<StoreFaults.Rule, "when">,
  use: (given: {
    /** The one near, under way. */
    readonly first: Fiber.Fiber<string>
    /** What the other one is told, once the run is its own or has ended. */
    readonly other: Effect.Effect<string>
    readonly history: Effect.Effect<SagaLog.History | undefined>
    readonly charges: Effect.Effect<number>
    readonly calls: ReadonlyArray<string>
  }) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const id = `order-${orders++}`
    const shop = makeShop()
    const gateway = yield* TestGateway.make()
    const world = Context.make(Shop, shop).pipe(Context.add(PaymentGateway.PaymentGateway, gateway.gateway))
    const here = Context.merge(yield* processOver(near, { lease: "1 second", logTimeout: "1 second" }), world)
    const there = Context.merge(yield* processOver(far), world)
    const execute = wordOf(Saga.execute(checkout, { orderId: id }, { id }))
    yield* faults.plan({ ...rule, when: () => Effect.runSync(gateway.charges) > 0 })
    yield* use({
      first: yield* Effect.forkScoped(Effect.provideContext(execute, here)),
      other: Effect.provideContext(execute, there).pipe(Effect.repeat({
        until: (word) => word !== "InFlight",
        schedule: Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(400)])
      })),
      history: Effect.orDie(far.read(runId(checkout.name, id))),
      charges: gateway.charges,
      calls: shop.calls
    })
    yield* faults.heal
    yield* connected(near)
  }).pipe(Effect.scoped, Effect.provide(quiet))

for (const faulty of [redisLog, postgresLog]) {
  describe(`a saga over ${faulty.name}, behind a network that fails`, () => {
    for (const [name, flow] of Object.entries(flows)) {
      it.live(
        `${name}: each request and each reply lost in turn changes nothing of what is done, written and told`,
        () =>
          Effect.gen(function*() {
            const { entries, found, most } = yield* wrongs(yield* stageOf(faulty), flow)
            assert.deepStrictEqual(found, [])
            // One request for each entry at the least.
            assert.isAtLeast(most, entries)
          }).pipe(Effect.scoped, Effect.provide(quiet)),
        240_000
      )
    }

    for (const [name, wrap] of Object.entries(broken)) {
      it.live(`the same shows a log that ${name}`, () =>
        Effect.gen(function*() {
          const stage = yield* stageOf(faulty)
          const { found } = yield* wrongs(
            { ...stage, near: wrap(stage.near) },
            wholeCheckout,
            ({ length }) => length > 0
          )
          assert.isNotEmpty(found)
        }).pipe(Effect.scoped, Effect.provide(quiet)), 240_000)
    }

    it.live(
      "a log that falls silent once the payer has paid is gone on with by another process, and the payer pays once",
      () =>
        Effect.gen(function*() {
          const fault = StoreFaults.dropRequest({ cut: "halfOpen" })
          const stage = yield* stageOf(faulty)
          yield* struckOncePaid(
            stage,
            { times: Number.POSITIVE_INFINITY, fault },
            ({ calls, charges, first, history, other }) =>
              Effect.gen(function*() {
                assert.strictEqual(yield* other, "Completed")
                assert.strictEqual(yield* charges, 1)
                assert.include(["LogUnavailable", "Suspended"], yield* Fiber.join(first))
                assert.deepStrictEqual(calls, ["reserve", "ship", "receipt"])
                assert.strictEqual((yield* history)?.run.state, "Completed")
              })
          )
        }).pipe(Effect.scoped, Effect.provide(quiet)),
      120_000
    )

    it.live(
      "an entry that arrives after another process has taken over is not written",
      () =>
        Effect.gen(function*() {
          const gate = Latch.makeUnsafe(false)
          const stage = yield* stageOf(faulty)
          yield* struckOncePaid(
            stage,
            { fault: StoreFaults.delayRequest(gate.await) },
            ({ calls, charges, first, history, other }) =>
              Effect.gen(function*() {
                yield* stage.faults.untilStruck(1)
                assert.strictEqual(yield* other, "Completed")
                const written = yield* history
                yield* gate.open
                assert.include(["LogUnavailable", "Suspended"], yield* Fiber.join(first))
                assert.deepStrictEqual(calls, ["reserve", "ship", "receipt"])
                assert.deepStrictEqual((yield* history)?.entries, written?.entries)
                assert.strictEqual(yield* charges, 1)
              })
          )
        }).pipe(Effect.scoped, Effect.provide(quiet)),
      120_000
    )
  })
}
