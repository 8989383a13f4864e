/**
 * 50 processes of the shop are ended by SIGKILL at random points while they take, undo and take over checkouts at a
 * gateway that fails now and then. Afterwards every order is done or undone, in the warehouse and in the gateway's ledger.
 */
import { assert, describe, inject, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { Card, Money, Saga, SagaLog } from "effect-payments"
import { randomInt } from "node:crypto"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { checkout } from "../../src/checkout/checkout.ts"
import { Fulfilment } from "../../src/checkout/Fulfilment.ts"
import type { Order } from "../../src/checkout/Order.ts"
import { layerServices } from "../../src/checkout/shop.ts"
import type { Place } from "../../src/checkout/stores.ts"
import { start as startSim } from "../../src/gateway-sim/start.ts"
import type { Ledger } from "../../src/gateway-sim/Wire.ts"
import { bundle } from "../../src/soak/bundle.ts"
import { type Chance, chanceOf } from "../../src/soak/chance.ts"
import { type Environment, folder, runKilled, schema } from "../support/kills.ts"
import { Answer, Task } from "../support/killTask.ts"

const kills = 50
const lanes = 2
const ordersPerProcess = 3
/** More points than the checkouts of one process pass: some end when nothing is under way. */
const pointsMax = 100
const aliveMaxMillis = 1000
/** For the last process, which has all orders ended. */
const deadlineMillis = 90_000
const encodeTask = Schema.encodeSync(Schema.fromJsonString(Task))
const source = fileURLToPath(new URL("../support/killedShop.ts", import.meta.url))

/** What some of a hundred orders fail with, each kind at another step. */
const bad: ReadonlyArray<{ readonly below: number; readonly order: Partial<Order> }> = [
  { below: 10, order: { email: "buyer@throwaway.example" } },
  { below: 15, order: { card: Card.CardToken.make("tok_declined") } },
  { below: 25, order: { card: Card.CardToken.make("tok_hold_lapses") } },
  { below: 45, order: { shipTo: "AQ" } }
]

/** Each has an amount of its own, by which it is found in the gateway's ledger. */
const orderOf = (index: number, chance: Chance): Order => {
  const roll = chance(100)
  return {
    orderId: `order-${index}`,
    email: `buyer${index}@example.com`,
    sku: "lamp",
    quantity: 1 + chance(3),
    total: Money.fromMinorUnits("EUR", BigInt(1000 + index)),
    card: Card.CardToken.make("tok_visa"),
    shipTo: "DE",
    ...bad.find(({ below }) => roll < below)?.order
  }
}

// --- the test

const killTest = Effect.fnUntraced(function*(place: Place, database: Environment) {
  const seed = Number(process.env["CHECKOUT_KILLS_SEED"] ?? randomInt(2 ** 31))
  console.log(`CHECKOUT_KILLS_SEED=${seed}`)
  const files = yield* folder("checkout-kills-")
  const program = yield* bundle(source, files)
  // The first process leaves its compiled code behind for the next.
  const environment = { ...database, NODE_COMPILE_CACHE: files }
  const sim = yield* startSim({ faultRate: 0.05, latencyMillis: 15, seed })
  const task = { ...place, gatewayUrl: sim.baseUrl, cancel: [], orders: [], endAt: 0, isLast: false }
  const shop = yield* Layer.build(
    layerServices({ ...place, gatewayUrl: sim.baseUrl }).pipe(
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(database)))
    )
  )
  yield* Effect.provide(Effect.flatMap(Fulfilment, ({ restock }) => restock("lamp", 1000)), shop)
  const orders: Array<Order> = []
  const run = (given: typeof Task.Type, aliveMillis: number) =>
    runKilled(program, encodeTask(given), environment, aliveMillis)
  yield* run({ ...task, isLast: true }, deadlineMillis)
  const lane = Effect.fnUntraced(function*(number: number) {
    // Of its own: how the lanes meet is the machine's, what each does is the seed's.
    const chance = chanceOf(seed + number)
    const ends: Array<string | null> = []
    for (let kill = 0; kill < kills / lanes; kill++) {
      const first = (kill * lanes + number) * ordersPerProcess
      const own = Array.from({ length: ordersPerProcess }, (_, i) => orderOf(first + i, chance))
      orders.push(...own)
      const cancel = own.filter(() => chance(100) < 15).map(({ orderId }) => ({ orderId, afterMillis: chance(200) }))
      const isTimed = chance(2) === 0
      const endAt = isTimed ? 0 : 1 + chance(pointsMax)
      const { signal } = yield* run({ ...task, orders: own, cancel, endAt }, isTimed ? chance(600) : aliveMaxMillis)
      ends.push(signal)
    }
    return ends
  })
  const ends = yield* Effect.all(Array.from({ length: lanes }, (_, number) => lane(number)), {
    concurrency: lanes
  })
  assert.deepStrictEqual(ends.flat(), Array.from({ length: kills }, () => "SIGKILL"))
  const last = yield* run({ ...task, orders, isLast: true }, deadlineMillis)
  yield* Effect.provide(check(orders, yield* sim.ledger), shop)
  assert.deepStrictEqual([last.code, last.lines.length], [0, 2], "the last process did not end")
  const answer = Schema.decodeSync(Schema.fromJsonString(Answer))(last.lines[1] ?? "")
  assert.lengthOf(answer.ends, orders.length)
}, Effect.scoped)

type Rows = Ledger["operations"]

const check = Effect.fnUntraced(function*(orders: ReadonlyArray<Order>, { operations, totals }: Ledger) {
  const runs = yield* Saga.list({ saga: checkout.name, limit: 1000 })
  assert.sameMembers(runs.map(({ id }) => id), orders.map(({ orderId }) => orderId))
  const counts = { Completed: 0, refunded: 0, voided: 0, unpaid: 0 }
  let sold = 0
  let paid = 0n
  for (const order of orders) {
    const amount = Money.toMinorUnitsUnsafe(order.total)
    const run = runs.find(({ id }) => id === order.orderId)
    const state = run?.state
    const rows = operations.filter(({ amountMinor, status }) => status !== "refused" && amountMinor === String(amount))
    const standing = yield* Effect.flatMap(Fulfilment, (fulfilment) => fulfilment.standing(order.orderId))
    const seen = `${order.orderId} ${state}: ${rows.map(({ kind }) => kind).join(", ")} ${JSON.stringify(standing)}`
    yield* oneOutcomeEach(run)
    if (state === "Completed") {
      counts.Completed++
      sold += order.quantity
      paid += amount
      assert.deepStrictEqual(kindsOf(rows), ["authorize", "capture"], seen)
      assert.deepStrictEqual(standing, { reservation: "held", parcels: 1, receipts: 1 }, seen)
      assert.notStrictEqual(order.shipTo, "AQ", seen)
    } else {
      assert.strictEqual(state, "Compensated", seen)
      assert.include(["none", "released"], standing.reservation, seen)
      assert.deepStrictEqual([standing.parcels, standing.receipts], [0, 0], seen)
      const outcome = { "": "unpaid", "authorize,void": "voided", "authorize,capture,refund": "refunded" } as const
      const kinds = kindsOf(rows).join()
      assert.isTrue(kinds in outcome, seen)
      counts[outcome[kinds as keyof typeof outcome]]++
    }
    if (order.email.endsWith("@throwaway.example")) assert.lengthOf(rows, 0, seen)
  }
  const left = yield* Effect.flatMap(Fulfilment, ({ available }) => available("lamp"))
  assert.strictEqual(left, 1000 - sold)
  assert.strictEqual(totals["EUR"]?.net, String(paid))
  // Otherwise little was tried.
  assert.isAbove(counts.Completed, orders.length / 4)
  assert.isAbove(counts.refunded, orders.length / 20)
  assert.isAbove(counts.voided, 0)
  console.log(JSON.stringify(counts))
})

const kindsOf = (rows: Rows): ReadonlyArray<string> => rows.map(({ kind }) => kind)

/** What was to be undone was so once. */
const oneOutcomeEach = Effect.fnUntraced(function*(run: SagaLog.Run | undefined) {
  assert.isDefined(run)
  const history = yield* Effect.flatMap(SagaLog.SagaLog, ({ read }) => read(run))
  const events = history?.entries.flatMap(({ events }) => events) ?? []
  const undone = events.flatMap((event) => event._tag === "Undone" || event._tag === "Skipped" ? [event.step] : [])
  assert.strictEqual(new Set(undone).size, undone.length, `${run.id}: ${JSON.stringify(events)}`)
})

// --- databases

const postgres = Redacted.make(inject("postgres"))

describe("a checkout whose processes are killed", () => {
  it.live("charges nobody twice and forgets no undo, on SQLite", () =>
    Effect.gen(function*() {
      yield* killTest({ filename: join(yield* folder("checkout-kills-"), "shop.sqlite"), schema: "" }, {})
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 240_000)

  it.live("charges nobody twice and forgets no undo, on Postgres", () =>
    Effect.gen(function*() {
      yield* killTest({ filename: "", schema: yield* schema(postgres, "checkout_kills") }, {
        DATABASE_URL: Redacted.value(postgres)
      })
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 240_000)
})
