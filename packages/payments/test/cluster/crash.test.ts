/** A runner over SQLite that is killed, and the next one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ClusterSaga } from "effect-payments/cluster"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll } from "vitest"
import { checkout } from "../saga/checkout.ts"
import { count, readBooks } from "../saga/fileShop.ts"
import { type Orders, runnerOf } from "./runners.ts"

const directory = mkdtempSync(join(tmpdir(), "cluster-crash-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

const ordersOf = (id: string, death: string, refuses: string): Orders => ({
  storage: { _tag: "Sqlite", filename: join(directory, `${id}.db`) },
  books: join(directory, `${id}.books`),
  death,
  once: undefined,
  refuses,
  id,
  mode: "execute"
})

/** Runs a process until it dies: the signal that killed it, or what it said instead. */
const kill = (orders: Orders) =>
  new Promise<string>((resolve, reject) => {
    execFile(
      process.execPath,
      ["--conditions=@effect-payments/source", worker, JSON.stringify(orders)],
      { timeout: 60_000 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim())
        else if (typeof error.signal === "string" && error.killed === false) resolve(error.signal)
        else reject(new Error(`${error.message} ${stderr}`))
      }
    )
  })

const methods = ["authorize", "capture", "void", "refund", "reserve", "release", "ship", "receipt"]

/** This process is the next runner: it goes on with what is there, and tells how that has ended. */
const goOn = (orders: Orders) =>
  ClusterSaga.execute(checkout, { orderId: orders.id }, { id: orders.id }).pipe(
    Effect.provide(runnerOf({ ...orders, death: "" })),
    Effect.map((execution) => {
      const lines = readBooks(orders.books)
      return {
        end: execution._tag,
        done: methods.filter((method) => count(lines, method) > 0),
        lines: lines.length
      }
    })
  )

const forward = [
  "reserve:after",
  "authorize:before",
  "authorize:after",
  "capture:after",
  "ship:before",
  "receipt:after"
].map((death) => ordersOf(death.replace(":", "-"), death, ""))

const unwinding = ["refund:after", "release:before"].map((death) =>
  ordersOf(`undo-${death.replace(":", "-")}`, death, "ship")
)

describe("a runner that is killed", () => {
  const signals = new Map<string, string>()

  beforeAll(async () => {
    const waiting = [...forward, ...unwinding]
    const work = async () => {
      for (let orders = waiting.shift(); orders !== undefined; orders = waiting.shift()) {
        signals.set(orders.id, await kill(orders))
      }
    }
    await Promise.all([work(), work(), work()])
  }, 300_000)

  for (const orders of forward) {
    it.live(`at ${orders.death} is succeeded by another one, and the payer pays once`, () =>
      Effect.gen(function*() {
        assert.strictEqual(signals.get(orders.id), "SIGKILL")
        assert.deepStrictEqual(yield* goOn(orders), {
          end: "Completed",
          done: ["authorize", "capture", "reserve", "ship", "receipt"],
          lines: 5
        })
      }))
  }

  for (const orders of unwinding) {
    it.live(`at ${orders.death} while it unwinds is succeeded by another one, and everything is undone once`, () =>
      Effect.gen(function*() {
        assert.strictEqual(signals.get(orders.id), "SIGKILL")
        assert.deepStrictEqual(yield* goOn(orders), {
          end: "Compensated",
          done: ["authorize", "capture", "refund", "reserve", "release"],
          lines: 5
        })
      }))
  }
})
