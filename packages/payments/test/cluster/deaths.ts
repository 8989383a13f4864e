/** A runner that is killed, and the next one, over any storage that one runner has to itself. */
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
import { type Orders, runnerOf, type Storage } from "./runners.ts"

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

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

/** `places` are those of `fileShop.ts`; `storageOf` is where the runs of this one are kept. */
export const deaths = (
  database: string,
  places: { readonly forward: ReadonlyArray<string>; readonly unwinding: ReadonlyArray<string> },
  storageOf: (id: string, directory: string) => Storage | Promise<Storage>
) =>
  describe(`a runner over ${database} that is killed`, () => {
    const directory = mkdtempSync(join(tmpdir(), "cluster-crash-"))
    afterAll(() => rmSync(directory, { recursive: true, force: true }))
    const killed = new Map<string, { readonly orders: Orders; readonly signal: string }>()

    const strike = async (id: string, death: string, refuses: string) => {
      const orders: Orders = {
        storage: await storageOf(id, directory),
        books: join(directory, `${id}.books`),
        death,
        once: undefined,
        refuses,
        id,
        mode: "execute"
      }
      killed.set(id, { orders, signal: await kill(orders) })
    }

    beforeAll(async () => {
      const waiting: Array<readonly [id: string, death: string, refuses: string]> = [
        ...places.forward.map((death) => [death.replace(":", "-"), death, ""] as const),
        ...places.unwinding.map((death) => [`undo-${death.replace(":", "-")}`, death, "ship"] as const)
      ]
      const work = async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await strike(...next)
      }
      await Promise.all([work(), work(), work()])
    }, 300_000)

    const succeeded = (id: string) =>
      Effect.suspend(() => {
        const found = killed.get(id)
        assert.strictEqual(found?.signal, "SIGKILL")
        return found === undefined ? Effect.die(id) : goOn(found.orders)
      })

    for (const death of places.forward) {
      it.live(`at ${death} is succeeded by another one, and the payer pays once`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* succeeded(death.replace(":", "-")), {
            end: "Completed",
            done: ["authorize", "capture", "reserve", "ship", "receipt"],
            lines: 5
          })
        }), 60_000)
    }

    for (const death of places.unwinding) {
      it.live(`at ${death} while it unwinds is succeeded by another one, and everything is undone once`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* succeeded(`undo-${death.replace(":", "-")}`), {
            end: "Compensated",
            done: ["authorize", "capture", "refund", "reserve", "release"],
            lines: 5
          })
        }), 60_000)
    }
  })
