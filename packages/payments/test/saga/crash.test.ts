import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Saga } from "effect-payments"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll } from "vitest"
import { checkout } from "./checkout.ts"
import { count, dieAt, gatewayLayer, logLayer, readBooks, shopLayer } from "./fileShop.ts"
import { shiftLog } from "./shiftLog.ts"

const directory = mkdtempSync(join(tmpdir(), "saga-crash-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const worker = fileURLToPath(new URL("crashWorker.ts", import.meta.url))

interface Order {
  readonly id: string
  /** Where its process dies. */
  readonly death: string
  readonly refuses: string
  readonly mode?: "execute" | "recover"
}

/** Runs a process until it dies: the signal that killed it, or what it said instead. */
const kill = ({ death, id, mode, refuses }: Order) =>
  new Promise<string>((resolve, reject) => {
    execFile(
      process.execPath,
      ["--conditions=@effect-payments/source", worker, directory, id, death, refuses, mode ?? "execute"],
      { timeout: 30_000 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim())
        else if (typeof error.signal === "string" && error.killed === false) resolve(error.signal)
        else reject(new Error(`${error.message} ${stderr}`))
      }
    )
  })

/** The lease of the dead process runs out. */
const outlive = (id: string) =>
  shiftLog("1 minute").pipe(Effect.provide(SqliteClient.layer({ filename: join(directory, `${id}.db`) })))

/** This process is another one: it takes over what the dead one has left, and tells how that has ended. */
const recover = (id: string, refuses: string) => {
  const books = join(directory, `${id}.books`)
  const layer = Saga.layer({ sweepEvery: false }).pipe(
    Layer.provideMerge(logLayer(join(directory, `${id}.db`))),
    Layer.provideMerge([gatewayLayer(books), shopLayer(books, refuses)]),
    Layer.provide(dieAt("")),
    Layer.provide([NodeCrypto.layer, Logger.layer([])])
  )
  return Effect.andThen(outlive(id), Saga.result(checkout, { id })).pipe(
    Effect.provide(Saga.layerRecover([checkout], { every: "50 millis" }).pipe(Layer.provideMerge(layer))),
    Effect.map((execution) => {
      const lines = readBooks(books)
      const methods = ["authorize", "capture", "void", "refund", "reserve", "release", "ship", "receipt"]
      return { end: execution._tag, done: methods.filter((method) => count(lines, method) > 0), lines: lines.length }
    })
  )
}

const forward: ReadonlyArray<Order> = [
  "entry:1",
  "entry:2",
  "entry:3",
  "entry:4",
  "entry:5",
  "reserve:after",
  "authorize:before",
  "authorize:after",
  "capture:before",
  "capture:after",
  "ship:before",
  "ship:after",
  "receipt:after"
].map((death) => ({ id: death.replace(":", "-"), death, refuses: "" }))

const unwinding: ReadonlyArray<Order> = [
  "entry:5",
  "entry:6",
  "entry:7",
  "refund:before",
  "refund:after",
  "release:after"
].map((death) => ({ id: `undo-${death.replace(":", "-")}`, death, refuses: "ship" }))

describe("a process that is killed", () => {
  const signals = new Map<string, string>()

  beforeAll(async () => {
    const waiting = [...forward, ...unwinding]
    const work = async () => {
      for (let order = waiting.shift(); order !== undefined; order = waiting.shift()) {
        signals.set(order.id, await kill(order))
      }
    }
    await Promise.all([work(), work(), work()])
  }, 300_000)

  for (const { death, id, refuses } of forward) {
    it.live(`at ${death} is finished by another one, and the payer pays once`, () =>
      Effect.gen(function*() {
        assert.strictEqual(signals.get(id), "SIGKILL")
        assert.deepStrictEqual(yield* recover(id, refuses), {
          end: "Completed",
          done: ["authorize", "capture", "reserve", "ship", "receipt"],
          lines: 5
        })
      }))
  }

  for (const { death, id, refuses } of unwinding) {
    it.live(`at ${death} while it unwinds is undone by another one, and everything once`, () =>
      Effect.gen(function*() {
        assert.strictEqual(signals.get(id), "SIGKILL")
        assert.deepStrictEqual(yield* recover(id, refuses), {
          end: "Compensated",
          done: ["authorize", "capture", "refund", "reserve", "release"],
          lines: 5
        })
      }))
  }

  it.live("again while it recovers is finished by a third one", () =>
    Effect.gen(function*() {
      const order = { id: "twice", death: "capture:after", refuses: "" }
      assert.strictEqual(yield* Effect.promise(() => kill(order)), "SIGKILL")
      yield* outlive(order.id)
      const again = yield* Effect.promise(() => kill({ ...order, death: "ship:after", mode: "recover" }))
      assert.strictEqual(again, "SIGKILL")
      assert.deepInclude(yield* recover("twice", ""), { end: "Completed", lines: 5 })
    }), 60_000)
})
