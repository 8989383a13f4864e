import { assert, layer } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { GatewaySim, layer as layerSim } from "../../../examples/src/gateway-sim/start.ts"
import { checkTable } from "../support/faultTable.ts"
import type { Job } from "../support/idempotentWorker.ts"

/** A database in a folder of its own, which goes with the scope. */
const database: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "fault-matrix-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) => join(directory, "payments.db")
)

interface Worker {
  readonly child: ChildProcess
  /** Waits until the worker has said this. */
  readonly said: (word: string) => Effect.Effect<void>
  /** Its answers by key, once it has ended. */
  readonly answers: Effect.Effect<Record<string, ReadonlyArray<string>>>
  /** Tells one that holds to go on. */
  readonly tell: Effect.Effect<void>
  readonly kill: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

const patience = "3 minutes"

/** Starts a process; it is killed with the scope. */
const worker = Effect.fnUntraced(function*(filename: string, given: Partial<Job>) {
  const { baseUrl } = yield* GatewaySim
  const job: Job = {
    filename,
    baseUrl,
    role: "charge",
    keys: ["key-1"],
    callers: 1,
    seed: 1,
    leaseMillis: 30_000,
    skewMillis: 0,
    ...given
  }
  const path = fileURLToPath(new URL("../support/idempotentWorker.ts", import.meta.url))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--conditions=@effect-payments/source", path, JSON.stringify(job)], {
        stdio: ["pipe", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  let output = ""
  child.stdout.on("data", (chunk: Buffer) => {
    output += String(chunk)
  })
  const closed = Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("close", () => resume(Effect.void))
  })
  const made: Worker = {
    child,
    said: (word) =>
      Effect.callback<void>((resume) => {
        const look = (): void => {
          if (output.split("\n").includes(word)) resume(Effect.void)
        }
        child.stdout.on("data", look)
        child.once("close", () => resume(Effect.die(new Error(`the worker ended and has not said ${word}`))))
        look()
      }).pipe(Effect.timeout(patience), Effect.orDie),
    answers: closed.pipe(
      Effect.timeout(patience),
      Effect.orDie,
      Effect.map(() => JSON.parse(output.trim().split("\n").at(-1) ?? "") as Record<string, ReadonlyArray<string>>)
    ),
    tell: Effect.sync(() => void child.stdin.write("go\n")),
    kill: (signal) => Effect.sync(() => void child.kill(signal))
  }
  return made
})

const chargesOf = (sim: GatewaySim["Service"]) => Effect.orDie(sim.charges)

const isTransaction = /^auth_[0-9]+$/

layer(layerSim(), { excludeTestServices: true, timeout: "4 minutes" })(
  "fault matrix, processes over one SQLite file",
  (it) => {
    it.effect(
      "row 2: four processes of 250 callers each are one charge for each of 30 keys",
      () =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          yield* Effect.orDie(sim.reset)
          const filename = yield* database
          const keys = Array.from({ length: 30 }, (_, index) => `key-${index}`)
          const workers = yield* Effect.forEach([1, 2, 3, 4], (seed) => worker(filename, { keys, callers: 250, seed }))
          const answers = yield* Effect.forEach(workers, ({ answers }) => answers, { concurrency: "unbounded" })
          for (const key of keys) {
            const words = [...new Set(answers.flatMap((byKey) => byKey[key] ?? []))]
            assert.lengthOf(words, 1, `${key}: ${words.join()}`)
            assert.match(words[0] ?? "", isTransaction)
          }
          assert.strictEqual(yield* chargesOf(sim), keys.length)
        }),
      240_000
    )

    for (const [role, word] of [["dieAfter", "charged"], ["dieBefore", "claimed"]] as const) {
      it.effect(
        role === "dieAfter"
          ? "row 3: a process killed between the charge and the save is looked up after its lease, and charges nothing again"
          : "row 3: a process killed before the charge is charged once by the next one",
        () =>
          Effect.gen(function*() {
            const sim = yield* GatewaySim
            yield* Effect.orDie(sim.reset)
            const filename = yield* database
            const first = yield* worker(filename, { role, leaseMillis: 2000 })
            yield* first.said(word)
            yield* first.kill("SIGKILL")
            const second = yield* worker(filename, { leaseMillis: 2000 })
            const [answer] = (yield* second.answers)["key-1"] ?? []
            assert.match(answer ?? "", isTransaction)
            assert.strictEqual(yield* chargesOf(sim), 1)
          }),
        240_000
      )
    }

    it.effect(
      "row 4: a process stopped through its lease and woken later makes no second charge",
      () =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          yield* Effect.orDie(sim.reset)
          const filename = yield* database
          const first = yield* worker(filename, { role: "hold", leaseMillis: 1500 })
          yield* first.said("started")
          yield* first.kill("SIGSTOP")
          yield* first.tell
          const second = yield* worker(filename, { leaseMillis: 1500 })
          const [answer] = (yield* second.answers)["key-1"] ?? []
          assert.match(answer ?? "", isTransaction)
          assert.strictEqual(yield* chargesOf(sim), 1)
          yield* first.kill("SIGCONT")
          assert.deepStrictEqual(yield* first.answers, { "key-1": ["OutcomeUnknown"] })
          assert.strictEqual(yield* chargesOf(sim), 1)
        }),
      240_000
    )

    it.effect(
      "row 30: processes whose clocks are twelve hours apart keep one lease and one lifetime",
      () =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          yield* Effect.orDie(sim.reset)
          const filename = yield* database
          const hours = 3_600_000
          const first = yield* worker(filename, { role: "hold", skewMillis: -6 * hours })
          yield* first.said("started")
          const second = yield* worker(filename, { role: "ask", skewMillis: 6 * hours })
          yield* second.said("InFlight")
          yield* first.tell
          const answers = yield* first.answers
          assert.match(answers["key-1"]?.[0] ?? "", isTransaction)
          assert.deepStrictEqual(yield* second.answers, answers)
          assert.strictEqual(yield* chargesOf(sim), 1)
        }),
      240_000
    )
  }
)

checkTable(({ where }) => where === "processes.test.ts")
