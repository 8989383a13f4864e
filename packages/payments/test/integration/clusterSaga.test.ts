/** Two runner processes over Postgres, of which one is killed in the middle of a step, and sagas on one runner. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { ClusterSaga } from "effect-payments/cluster"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, inject } from "vitest"
import { deaths } from "../cluster/deaths.ts"
import { clientOn, type Orders, runnerOf, type Storage } from "../cluster/runners.ts"
import { checkout } from "../saga/checkout.ts"
import { count, readBooks } from "../saga/fileShop.ts"
import { makeSchema } from "../support/postgres.ts"

const url = inject("postgres")
const worker = fileURLToPath(new URL("../cluster/worker.ts", import.meta.url))

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cluster-saga-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const freePort = Effect.promise(() =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
)

/** A runner process, once it is one; answers by what it ends. */
const runner = (orders: Orders) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--conditions=@effect-payments/source", worker, JSON.stringify(orders)], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const ended = new Promise<string>((resolve) => child.once("exit", (_code, signal) => resolve(signal ?? "exit")))
    yield* Effect.promise(() =>
      Promise.race([new Promise<void>((resolve) => child.stdout.once("data", () => resolve())), ended])
    )
    return { ended, isAlive: () => child.exitCode === null && child.signalCode === null }
  })

const methods = ["authorize", "capture", "void", "refund", "reserve", "release", "ship", "receipt"]
const booksOf = (file: string) => {
  const lines = readBooks(file)
  return { done: methods.filter((method) => count(lines, method) > 0), lines: lines.length }
}

const paid = { done: ["authorize", "capture", "reserve", "ship", "receipt"], lines: 5 }
const undone = { done: ["authorize", "capture", "refund", "reserve", "release"], lines: 5 }
const order = { orderId: "o1" }
const o1 = { id: "o1" }

for (
  const [death, refuses, end, books] of [
    ["authorize:after", "", "Completed", paid],
    ["refund:after", "ship", "Compensated", undone]
  ] as const
) {
  it.live(
    `of two runners one is killed at ${death}: the other one goes on, and everything happens once`,
    () =>
      Effect.gen(function*() {
        const folder = yield* directory
        const schema = yield* makeSchema("cluster_saga")
        const file = join(folder, "books")
        const ordersOf = (port: number): Orders => ({
          storage: { _tag: "Postgres", url, schema, port },
          books: file,
          death,
          once: join(folder, "once"),
          refuses,
          id: "o1",
          mode: "serve"
        })
        const ports = yield* Effect.all([freePort, freePort])
        const runners = yield* Effect.forEach(ports, (port) => runner(ordersOf(port)), { concurrency: 2 })
        const client = clientOn({ _tag: "Postgres", url, schema, port: undefined })
        const execution = yield* ClusterSaga.execute(checkout, order, o1).pipe(Effect.provide(client))
        assert.strictEqual(execution._tag, end)
        assert.deepStrictEqual(booksOf(file), books)
        assert.strictEqual(runners.filter(({ isAlive }) => isAlive()).length, 1)
        assert.include(yield* Effect.promise(() => Promise.race(runners.map(({ ended }) => ended))), "SIGKILL")
      }).pipe(Effect.scoped),
    120_000
  )
}

const storages: ReadonlyArray<readonly [string, (schema: string) => Effect.Effect<Storage>]> = [
  ["one runner over sockets", (schema) => Effect.map(freePort, (port) => ({ _tag: "Postgres", url, schema, port }))],
  ["SingleRunner", (schema) => Effect.succeed({ _tag: "SinglePostgres", url, schema })]
]

it.live.each(storages)(
  "%s over Postgres: done, undone, joined, in conflict",
  ([, storageOn]) =>
    Effect.gen(function*() {
      const folder = yield* directory
      const storage = yield* storageOn(yield* makeSchema("cluster_saga"))
      const orders = { storage, death: "", once: undefined }
      const good = runnerOf({ ...orders, books: join(folder, "good"), refuses: "" })
      yield* Effect.gen(function*() {
        const twice = yield* Effect.forkChild(ClusterSaga.execute(checkout, order, o1))
        const execution = yield* ClusterSaga.execute(checkout, order, o1)
        assert.strictEqual(execution._tag, "Completed")
        assert.deepStrictEqual(yield* Fiber.join(twice), execution)
        assert.deepStrictEqual(yield* ClusterSaga.result(checkout, o1), execution)
        const conflict = yield* Effect.flip(ClusterSaga.start(checkout, { orderId: "o2" }, o1))
        assert.strictEqual(conflict.reason._tag, "IdConflict")
        assert.strictEqual((yield* Effect.flip(ClusterSaga.result(checkout, { id: "o9" }))).reason._tag, "NotFound")
      }).pipe(Effect.provide(good))
      assert.deepStrictEqual(booksOf(join(folder, "good")), paid)
      const bad = runnerOf({ ...orders, books: join(folder, "bad"), refuses: "ship" })
      const execution = yield* Effect.provide(ClusterSaga.execute(checkout, order, { id: "o2" }), bad)
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(booksOf(join(folder, "bad")), undone)
    }).pipe(Effect.scoped),
  120_000
)

const scope = Scope.makeUnsafe()
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

deaths(
  "SingleRunner and Postgres",
  { forward: ["authorize:after", "capture:after", "ship:before"], unwinding: ["refund:after"] },
  async () => {
    const schema = await Effect.runPromise(Scope.provide(makeSchema("cluster_saga"), scope))
    return { _tag: "SinglePostgres", url, schema }
  }
)
