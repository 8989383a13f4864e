/** Rows of the fault matrix with real processes over one store and the gateway simulator. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { GatewaySim, layer as layerSim } from "../../../examples/src/gateway-sim/start.ts"
import { programOf } from "../../../examples/src/soak/program.ts"
import { place } from "../../../examples/src/soak/stores.ts"
import type { StoreAt } from "../../../examples/src/soak/wire.ts"
import type { Program } from "../../../examples/src/soak/Worker.ts"
import type { Job } from "../support/idempotentWorker.ts"

class WorkerProgram extends Context.Service<WorkerProgram, Program>()("test/WorkerProgram") {}

const source = fileURLToPath(new URL("../support/idempotentWorker.ts", import.meta.url))

const services = Layer.merge(layerSim(), Layer.effect(WorkerProgram, programOf(source)))

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
const worker = Effect.fnUntraced(function*(store: StoreAt, given: Partial<Job>) {
  const { baseUrl } = yield* GatewaySim
  const { env, path } = yield* WorkerProgram
  const job: Job = {
    store,
    baseUrl,
    role: "charge",
    keys: ["key-1"],
    callers: 1,
    seed: 1,
    leaseMillis: 30_000,
    skewMillis: 0,
    ...given
  }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [path, JSON.stringify(job)], { stdio: ["pipe", "pipe", "inherit"], env })
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

/** All of them, over this kind of store at this address. */
export const processes = (kind: StoreAt["kind"], url: string): void =>
  layer(services, { excludeTestServices: true, timeout: "4 minutes" })(`fault matrix, processes over ${kind}`, (it) => {
    it.effect(
      "row 2: four processes of 250 callers each are one charge for each of 30 keys",
      () =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          yield* Effect.orDie(sim.reset)
          const store = yield* place(kind, url)
          const keys = Array.from({ length: 30 }, (_, index) => `key-${index}`)
          const workers = yield* Effect.forEach([1, 2, 3, 4], (seed) => worker(store, { keys, callers: 250, seed }))
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
            const store = yield* place(kind, url)
            const first = yield* worker(store, { role, leaseMillis: 2000 })
            yield* first.said(word)
            yield* first.kill("SIGKILL")
            const second = yield* worker(store, { leaseMillis: 2000 })
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
          const store = yield* place(kind, url)
          const first = yield* worker(store, { role: "hold", leaseMillis: 1500 })
          yield* first.said("started")
          yield* first.kill("SIGSTOP")
          yield* first.tell
          const second = yield* worker(store, { leaseMillis: 1500 })
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
          const store = yield* place(kind, url)
          const hours = 3_600_000
          const first = yield* worker(store, { role: "hold", skewMillis: -6 * hours })
          yield* first.said("started")
          const second = yield* worker(store, { role: "ask", skewMillis: 6 * hours })
          yield* second.said("InFlight")
          yield* first.tell
          const answers = yield* first.answers
          assert.match(answers["key-1"]?.[0] ?? "", isTransaction)
          assert.deepStrictEqual(yield* second.answers, answers)
          assert.strictEqual(yield* chargesOf(sim), 1)
        }),
      240_000
    )
  })
