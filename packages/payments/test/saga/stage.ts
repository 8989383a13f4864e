/** Several processes over one log and one gateway, and what must hold whatever happens to them. */
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, type Fiber, Layer, Logger, Scope } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { runId } from "../../src/internal/saga/record.ts"
import { checkout, makeShop, sagas, Shop } from "./checkout.ts"

export type Log = SagaLog.SagaLog["Service"]

export const id = "o1"
export const key = runId(checkout.name, id)

/** Until nothing but time moves anything. */
export const quiesce = Effect.promise(async () => {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** The step that a call belongs to, and whether it undoes it. */
const origin: Readonly<Record<string, readonly [step: string, isUndo: boolean]>> = {
  reserve: ["reserve", false],
  release: ["reserve", true],
  authorize: ["authorize", false],
  void: ["authorize", true],
  capture: ["capture", false],
  refund: ["capture", true],
  ship: ["ship", false],
  receipt: ["receipt", false]
}

const causes = ["Failed", "Doubted", "Cancelled"]

/** The shop, which shows for each call whether what has to be durable before it leaves is. */
export const stage = (log: Log, options?: TestGateway.Options) =>
  Effect.gen(function*() {
    const early: Array<string> = []
    const late: Array<string> = []
    const resumed: Array<string> = []
    const check = (call: string) => {
      const name = call.split(/[ ?]/)[0] ?? ""
      const [step, isUndo] = origin[name] ?? ["", false]
      const history = Effect.runSync(log.read(key))
      const events = history?.entries.flatMap(({ events }) => events) ?? []
      const has = (tags: ReadonlyArray<string>) => events.some(({ _tag }) => tags.includes(_tag))
      if (!events.some((event) => event._tag === "Intended" && event.step === step)) early.push(call)
      if (isUndo !== has(causes)) late.push(call)
    }
    const shop = makeShop(check)
    const { calls, plan } = shop
    const behaviours = new Map<string, TestGateway.Behaviour>()
    const gateway = yield* TestGateway.make({
      ...options,
      plan: ({ method }) => {
        check(method)
        calls.push(method)
        const behaviour = behaviours.get(method)
        behaviours.delete(method)
        return behaviour
      }
    })
    const world = Context.make(Shop, shop).pipe(Context.add(PaymentGateway.PaymentGateway, gateway.gateway))
    return { early, late, resumed, calls, plan, behaviours, gateway, world, log }
  })

/** Stands at the capture, which nobody knows of, and is held by nobody. */
export const suspendedAtCapture = (stage: Stage) =>
  Effect.gen(function*() {
    stage.behaviours.set("capture", TestGateway.hang({ happened: true }))
    const process = yield* processOf(stage)
    yield* Effect.forkDetach(process.run(Saga.execute(checkout, { orderId: id }, { id })))
    yield* quiesce
    yield* process.close
  })

export type Stage = Effect.Success<ReturnType<typeof stage>>

/** Without the log's own lines. */
const quiet = Logger.layer([])

/** A process with a log of its own way of working. */
export const processOf = (stage: Stage, log: Log = stage.log, options?: Saga.Options) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const layer = Layer.fresh(sagas({ logTimeout: "5 seconds", ...options })).pipe(
      Layer.provide([Layer.succeed(SagaLog.SagaLog, log), quiet])
    )
    const context = Context.merge(yield* Layer.buildWithScope(layer, scope), stage.world)
    const engine = Context.get(context, Saga.Sagas) as unknown as {
      readonly live: ReadonlyMap<string, unknown>
      readonly shared: { readonly leases: { readonly held: ReadonlySet<unknown> } }
    }
    return {
      context,
      run: <A, E>(self: Effect.Effect<A, E, Saga.Sagas | Shop | PaymentGateway.PaymentGateway>) =>
        Effect.provide(Effect.provide(self, quiet), context),
      recover: Layer.buildWithScope(Saga.layerRecover([checkout]), scope).pipe(
        Effect.provide(quiet),
        Effect.provide(context)
      ),
      left: () => ({ live: engine.live.size, held: engine.shared.leases.held.size }),
      close: Scope.close(scope, Exit.void)
    }
  })

export type Process = Effect.Success<ReturnType<typeof processOf>>

/** Lets time pass, in steps, until it has ended; it has to within an hour. */
export const outlast = <A, E>(fiber: Fiber.Fiber<A, E>, what: string): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.gen(function*() {
    for (let passed = 0; passed < 3600; passed += 5) {
      yield* quiesce
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return exit
      yield* TestClock.adjust("5 seconds")
    }
    return assert.fail(`${what} hangs`)
  })

const callFor = (state: SagaLog.State | undefined) =>
  state === undefined
    ? Saga.execute(checkout, { orderId: id }, { id })
    : state === "Parked" || state === "FailedCompensation"
    ? Saga.resume(checkout, { id })
    : Saga.result(checkout, { id })

/**
 * A new process that recovers brings it to its end; one that has never begun is begun, one that is stuck is resumed when
 * all is settled.
 */
export const finish = (stage: Stage, what: string) =>
  Effect.gen(function*() {
    const last = yield* processOf(stage)
    yield* last.recover
    for (let tries = 0;; tries++) {
      const call = callFor((yield* Effect.orDie(stage.log.read(key)))?.run.state)
      const patient = Effect.retry(call, { while: ({ reason }) => reason._tag === "InFlight" })
      const exit = yield* outlast(yield* Effect.forkDetach(last.run(patient)), what)
      if (Exit.isFailure(exit)) return assert.fail(`${what}: ${String(exit.cause)}`)
      const isStuck = exit.value._tag === "Parked" || exit.value._tag === "FailedCompensation"
      if (!isStuck || tries === 3) {
        yield* last.close
        return exit.value
      }
      stage.resumed.push(exit.value._tag)
      yield* TestClock.adjust("10 minutes")
    }
  })

/** What the books and the shop say, whatever happened. */
export const audit = (stage: Stage, execution: Saga.Execution<unknown, unknown>, what: string) =>
  Effect.gen(function*() {
    const { entries, totals } = yield* stage.gateway.ledger
    const count = (kind: string) => entries.filter(({ transaction }) => transaction.kind === kind).length
    for (const kind of ["authorize", "capture", "void", "refund"]) {
      assert.isAtMost(count(kind), 1, `${what}: ${kind}`)
    }
    assert.deepStrictEqual(stage.early, [], `${what}: nothing leaves before its intent is written`)
    assert.deepStrictEqual(stage.late, [], `${what}: undone for what is written, and nothing is done after that`)
    const zero = { net: 0n, held: 0n }
    const money = { net: totals["EUR"]?.net.amount.value ?? 0n, held: totals["EUR"]?.held.amount.value ?? 0n }
    const begun = (name: string) => stage.calls.some((call) => call.startsWith(name))
    if (execution._tag === "Completed") {
      assert.deepStrictEqual([count("authorize"), count("capture"), count("refund"), count("void")], [1, 1, 0, 0], what)
      assert.isFalse(begun("release"), `${what}: keeps the stock`)
    } else if (execution._tag === "Compensated") {
      assert.deepStrictEqual(money, zero, `${what}: nothing is taken or held`)
      if (begun("reserve")) assert.isTrue(begun("release"), `${what}: releases the stock`)
      assert.isFalse(begun("receipt"), what)
    } else assert.fail(`${what}: ${execution._tag}`)
  })
