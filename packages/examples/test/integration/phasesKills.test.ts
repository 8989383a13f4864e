/**
 * Processes that charge in three phases are ended by SIGKILL at random points, also within transactions, at a gateway that
 * fails now and then. Afterwards each order has one reservation, one charge and one receipt of it.
 *
 * `PHASES_KILLS` says how many on each database (24 unless set), `PHASES_KILLS_SEED` from which seed.
 */
import { assert, describe, inject, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { Card, Money } from "effect-payments"
import { SqlClient } from "effect/sql"
import { randomInt } from "node:crypto"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { layerDatabase, type Place } from "../../src/checkout/stores.ts"
import { start as startSim } from "../../src/gateway-sim/start.ts"
import type { Ledger } from "../../src/gateway-sim/Wire.ts"
import { bundle } from "../../src/soak/bundle.ts"
import { chanceOf } from "../../src/soak/chance.ts"
import { type Environment, folder, runKilled, schema } from "../support/kills.ts"
import { Answer, type Order, Task } from "../support/phasesTask.ts"

const kills = Number(process.env["PHASES_KILLS"] ?? 24)
const lanes = 2
const ordersPerProcess = 3
/** More points than the orders of one process pass: some end when nothing is under way. */
const pointsMax = 60
const aliveMaxMillis = 500
/** For the last process, which has all of them finished. */
const deadlineMillis = 120_000 + kills * 1000
const source = fileURLToPath(new URL("../support/phasesWorker.ts", import.meta.url))
const encodeTask = Schema.encodeSync(Schema.fromJsonString(Task))

/** Each has an amount of its own, by which it is found in the gateway's ledger. */
const amountOf = (index: number): number => 1000 + index
const isDeclined = (index: number): boolean => index % 10 === 9
const orderOf = (index: number): Order => ({
  id: `order-${index}`,
  money: Money.fromMinorUnits("EUR", BigInt(amountOf(index))),
  card: Card.CardToken.make(isDeclined(index) ? "tok_declined" : "tok_visa")
})

const killTest = Effect.fnUntraced(function*(place: Place, database: Environment) {
  const seed = Number(process.env["PHASES_KILLS_SEED"] ?? randomInt(2 ** 31))
  console.log(`PHASES_KILLS_SEED=${seed}`)
  const files = yield* folder("phases-kills-")
  const program = yield* bundle(source, files)
  // The first process leaves its compiled code behind for the next.
  const environment = { ...database, NODE_COMPILE_CACHE: files }
  const sim = yield* startSim({ faultRate: 0.05, latencyMillis: 10, seed })
  const task = { ...place, gatewayUrl: sim.baseUrl, orders: [], endAt: 0, isLast: false }
  const run = (given: typeof Task.Type, aliveMillis: number) =>
    runKilled(program, encodeTask(given), environment, aliveMillis)
  yield* run({ ...task, isLast: true }, deadlineMillis)
  const orders: Array<Order> = []
  const chance = chanceOf(seed)
  const lane = Effect.fnUntraced(function*() {
    const ends: Array<string | null> = []
    for (let kill = 0; kill < kills / lanes; kill++) {
      const own = Array.from({ length: ordersPerProcess }, (_, i) => orderOf(orders.length + i))
      orders.push(...own)
      const isTimed = chance(3) === 0
      const endAt = isTimed ? 0 : 1 + chance(pointsMax)
      const { signal } = yield* run({ ...task, orders: own, endAt }, isTimed ? chance(300) : aliveMaxMillis)
      ends.push(signal)
    }
    return ends
  })
  const ends = (yield* Effect.all(Array.from({ length: lanes }, lane), { concurrency: lanes })).flat()
  assert.deepStrictEqual(ends, ends.map(() => "SIGKILL"))
  const last = yield* run({ ...task, orders, isLast: true }, deadlineMillis)
  assert.deepStrictEqual([last.code, last.lines.length], [0, 2], "the last process did not end")
  const { answers } = Schema.decodeSync(Schema.fromJsonString(Answer))(last.lines[1] ?? "")
  yield* Effect.provide(
    check(orders, answers, yield* sim.ledger),
    Layer.provide(layerDatabase(place), ConfigProvider.layer(ConfigProvider.fromUnknown(database)))
  )
  console.log(`${ends.length} kills, ${orders.length} orders`)
}, Effect.scoped)

const check = Effect.fnUntraced(function*(
  orders: ReadonlyArray<Order>,
  answers: Readonly<Record<string, string>>,
  { operations }: Ledger
) {
  const sql = yield* SqlClient.SqlClient
  const reservations = yield* sql<{ readonly order_id: string }>`SELECT order_id FROM reservations`
  const receipts = yield* sql<
    { readonly order_id: string; readonly transaction_id: string }
  >`SELECT order_id, transaction_id FROM receipts`
  for (const [index, { id }] of orders.entries()) {
    const charges = operations.filter(({ amountMinor, status }) =>
      status !== "refused" && amountMinor === String(amountOf(index))
    )
    const receipt = receipts.filter(({ order_id }) => order_id === id).map(({ transaction_id }) => transaction_id)
    const seen = {
      reservations: reservations.filter(({ order_id }) => order_id === id).length,
      charges: charges.length,
      receipts: receipt.length,
      answer: answers[id]
    }
    if (isDeclined(index)) {
      assert.deepStrictEqual(seen, { reservations: 1, charges: 0, receipts: 0, answer: "CardDeclined" }, id)
    } else {
      assert.deepStrictEqual(seen, { reservations: 1, charges: 1, receipts: 1, answer: receipt[0] }, id)
    }
  }
  assert.lengthOf(reservations, orders.length)
})

const postgres = Redacted.make(inject("postgres"))

describe("a charge of three phases whose processes are killed", () => {
  it.live("ends in one charge and one row of each, on SQLite", () =>
    Effect.gen(function*() {
      yield* killTest({ filename: join(yield* folder("phases-kills-"), "orders.sqlite"), schema: "" }, {})
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 300_000 + kills * 10_000)

  it.live("ends in one charge and one row of each, on Postgres", () =>
    Effect.gen(function*() {
      const place = { filename: "", schema: yield* schema(postgres, "phases_kills") }
      yield* killTest(place, { DATABASE_URL: Redacted.value(postgres) })
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 300_000 + kills * 10_000)
})
