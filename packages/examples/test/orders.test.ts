import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { JobQueue } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Inventory, layer, layerRelay, OrderEvents, Orders, OrderService } from "../src/orders.ts"

const layerAll = layer.pipe(
  Layer.provideMerge(JobQueue.layerStoreSql()),
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

const order = (orderId: string, rest: object = {}) => ({
  orderId,
  userId: "u1",
  productId: "lamp",
  quantity: 2,
  total: { currency: "EUR", amount: "20.00" },
  ...rest
})

const make = Effect.gen(function*() {
  const { createOrder } = yield* OrderService
  const { left, restock } = yield* Inventory
  const { count } = yield* Orders
  const { subscribe } = yield* OrderEvents
  yield* restock("lamp", 3)
  const heard: Array<string> = []
  yield* subscribe({ name: "test", handler: ({ orderId }) => Effect.sync(() => void heard.push(orderId)) })
  return { createOrder, heard, standing: Effect.all([left("lamp"), count]) }
})

/** Passes on all that was committed. */
const relayed = Effect.gen(function*() {
  const relay = yield* Effect.forkChild(Layer.launch(layerRelay), { startImmediately: true })
  for (let i = 0; i < 5; i++) yield* TestClock.adjust("2 seconds")
  yield* Fiber.interrupt(relay)
})

describe("orders", () => {
  it.effect("takes an order, its stock and its event together", () =>
    Effect.gen(function*() {
      const { createOrder, heard, standing } = yield* make
      assert.deepStrictEqual(yield* createOrder(order("o1")), {
        orderId: "o1",
        status: "created",
        total: { currency: "EUR", amount: "20.00" }
      })
      assert.deepStrictEqual(yield* standing, [1, 1])
      assert.deepStrictEqual(heard, [])
      yield* relayed
      assert.deepStrictEqual(heard, ["o1"])
    }).pipe(Effect.provide(layerAll), Effect.scoped))

  it.effect("leaves nothing of an order that cannot be had, and nobody hears of it", () =>
    Effect.gen(function*() {
      const { createOrder, heard, standing } = yield* make
      const tooMuch = yield* Effect.flip(createOrder(order("o1", { quantity: 4 })))
      assert.strictEqual(tooMuch._tag, "OutOfStock")
      yield* createOrder(order("o1"))
      const again = yield* Effect.flip(createOrder(order("o1", { quantity: 1 })))
      assert.strictEqual(again._tag, "OrderExists")
      assert.deepStrictEqual(yield* standing, [1, 1])
      yield* relayed
      assert.deepStrictEqual(heard, ["o1"])
    }).pipe(Effect.provide(layerAll), Effect.scoped))

  it.effect("rolls back order and stock when the event cannot be written", () =>
    Effect.gen(function*() {
      const { createOrder, standing } = yield* make
      const sql = yield* SqlClient.SqlClient
      yield* sql`DROP TABLE effect_payments_jobs`
      const error = yield* Effect.flip(createOrder(order("o1")))
      assert.strictEqual(error._tag, "JobQueueError")
      assert.deepStrictEqual(yield* standing, [3, 0])
    }).pipe(Effect.provide(layerAll), Effect.scoped))

  it.effect("refuses what is no order before it touches the database", () =>
    Effect.gen(function*() {
      const { createOrder, standing } = yield* make
      for (const wrong of [{}, "x", order("o 1"), order("o1", { quantity: 0 }), order("o1", { total: 20 })]) {
        const error = yield* Effect.flip(createOrder(wrong))
        assert.strictEqual(error._tag, "SchemaError")
      }
      assert.deepStrictEqual(yield* standing, [3, 0])
    }).pipe(Effect.provide(layerAll), Effect.scoped))

  it.live(
    "runs as a program: it answers over HTTP, and a listener hears of what was taken",
    () =>
      Effect.gen(function*() {
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "orders-test-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        const program = fileURLToPath(new URL("../src/orders.main.ts", import.meta.url))
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, ["--conditions=@effect-payments/source", program, join(folder, "orders.sqlite")], {
              stdio: ["ignore", "pipe", "inherit"]
            })
          ),
          (child) => Effect.sync(() => void child.kill("SIGKILL"))
        )
        const said: Array<string> = []
        const lines = createInterface({ input: child.stdout })
        const line = (pattern: RegExp) =>
          Effect.callback<string>((resume) => {
            const look = () => {
              const found = said.find((line) => pattern.test(line))
              if (found !== undefined) resume(Effect.succeed(found))
            }
            lines.on("line", look)
            look()
            return Effect.sync(() => lines.off("line", look))
          })
        lines.on("line", (line) => said.push(line))
        const url = (yield* line(/^POST /)).slice(5)
        const post = (body: string) =>
          Effect.promise(async (signal) => {
            const response = await fetch(url, { method: "POST", body, signal })
            return [
              response.status,
              await response.json() as { readonly error?: string; readonly detail?: string }
            ] as const
          })
        const [created] = yield* post(JSON.stringify(order("o1", { quantity: 8 })))
        const [empty, why] = yield* post(JSON.stringify(order("o2", { quantity: 8 })))
        const [invalid, { detail }] = yield* post(JSON.stringify(order("o3", { userId: "4111 1111 1111 1111" })))
        const [garbage] = yield* post("{")
        assert.deepStrictEqual([created, empty, why.error, invalid, garbage], [201, 409, "out_of_stock", 400, 400])
        assert.notInclude(detail, "4111")
        assert.strictEqual(yield* line(/^mail/), "mail to u1: your order o1")
        const ended = Effect.callback<number | null>((resume) =>
          void child.once("close", (code) => resume(Effect.succeed(code)))
        )
        const end = yield* Effect.forkChild(ended, { startImmediately: true })
        child.kill("SIGTERM")
        assert.strictEqual(yield* Fiber.join(end), 130)
      }).pipe(Effect.scoped),
    60_000
  )
})
