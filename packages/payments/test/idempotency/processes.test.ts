/** What the contract says of stores that only several processes can show to be wrong. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Sink, Stdio, Stream } from "effect"
import { IdempotencyStore } from "effect-payments"
import { StoreContract } from "effect-payments/testing"
import { ChildProcess } from "effect/process"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { layerFile, mutantNames, shiftFile } from "./fileStore.ts"
import { layerProgram, StoreProgram } from "./storeProcesses.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "processes-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** The names of the cases that a store fails, up to the first. */
const failed = <R>(cases: ReadonlyArray<StoreContract.Case<R, StoreContract.WorkerFailed>>, atMost: number) =>
  Effect.gen(function*() {
    const names: Array<string> = []
    for (const { name, run } of cases) {
      const exit = yield* Effect.exit(run)
      if (Exit.isFailure(exit)) {
        assert.include(`${exit}`, "ContractBroken", name)
        names.push(name)
      }
      if (names.length === atMost) break
    }
    return names
  })

const workersOf = Effect.fnUntraced(function*(name: string, flags: ReadonlyArray<string> = [], filename?: string) {
  const { env, path } = yield* StoreProgram
  const file = filename ?? join(yield* directory, "store.db")
  return StoreContract.layerWorkers(ChildProcess.make(process.execPath, [...flags, path, file, name], { env }))
})

const inProcesses = Effect.fnUntraced(function*(name: string, atMost: number) {
  const filename = join(yield* directory, "store.db")
  const cases = StoreContract.idempotencyStoreProcesses({ advance: shiftFile(filename) })
  return yield* Effect.provide(failed(cases, atMost), yield* workersOf(name, [], filename))
})

const inOne = Effect.fnUntraced(function*(name: string) {
  const filename = join(yield* directory, "store.db")
  const cases = StoreContract.idempotencyStore({ advance: shiftFile(filename) })
  return yield* Effect.provide(failed(cases, 100), layerFile(filename, name))
})

layer(layerProgram, { excludeTestServices: true })("the contract of a store in several processes", (it) => {
  it.effect("passes the store that is right", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* inProcesses("nothing", 100), [])
    }).pipe(Effect.provide(NodeServices.layer)), 120_000)

  it.effect(
    "needs no clock that can be moved, and its cases may run at once: then it waits",
    () =>
      Effect.gen(function*() {
        const cases = StoreContract.idempotencyStoreProcesses({ lease: "5 seconds" })
        const workers = yield* workersOf("nothing")
        yield* Effect.forEach(cases, ({ run }) => run, { concurrency: "unbounded" }).pipe(Effect.provide(workers))
      }).pipe(Effect.provide(NodeServices.layer)),
    120_000
  )

  for (const name of mutantNames) {
    it.effect(`catches a store that ${name}, which passes in one`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* inOne(name), [])
        assert.strictEqual((yield* inProcesses(name, 1)).length, 1)
      }).pipe(Effect.provide(NodeServices.layer)), 120_000)
  }

  it.effect("passes over what a process prints besides", () =>
    Effect.gen(function*() {
      const [first] = StoreContract.idempotencyStoreProcesses()
      assert.isDefined(first)
      const workers = yield* workersOf("nothing", ["--import", "data:text/javascript,console.log('{}')"])
      yield* Effect.provide(first.run, workers)
    }).pipe(Effect.provide(NodeServices.layer)), 120_000)
})

describe("a process of the contract that fails", () => {
  const up = `console.log('@store-contract {"_tag":"Up"}')`
  const detailOf = <A, R>(self: Effect.Effect<A, StoreContract.WorkerFailed, R>) =>
    Effect.map(Effect.flip(self), ({ detail }) => detail)
  const script = (text: string) => StoreContract.layerWorkers(ChildProcess.make(process.execPath, ["-e", text]))
  const built = (layer: ReturnType<typeof script>) =>
    detailOf(Effect.scoped(Layer.build(layer))).pipe(Effect.provide(NodeServices.layer))

  it.live("does not start", () =>
    Effect.gen(function*() {
      const layer = StoreContract.layerWorkers(ChildProcess.make("/nowhere/at/all"))
      assert.strictEqual(yield* built(layer), "it does not start (NotFound)")
    }))

  it.live.each(
    [
      ["ends", "0", "it has ended"],
      ["says what is no answer", "console.log('@store-contract {}')", "what it says is no answer (SchemaError)"],
      [
        "answers what nobody has asked",
        `console.log('@store-contract {"_tag":"Answered","number":7,"reply":true}')`,
        "it answers what nobody has asked"
      ],
      ["says too much", "process.stdout.write('x'.repeat(9e6))", "what it says is no answer (TooLong)"]
    ] as const
  )("%s", ([, text, detail]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* built(script(text)), detail)
    }), 60_000)

  it.effect("is silent for a minute", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(built(script("setInterval(() => undefined, 1e6)")))
      while (fiber.pollUnsafe() === undefined) {
        yield* Effect.promise(() => setImmediate())
        yield* TestClock.adjust("1 minute")
      }
      assert.strictEqual(yield* Fiber.join(fiber), "it has been silent for 1 minute")
    }), 60_000)

  it.live.each(
    [
      ["ends when it is asked", "process.exit(3)", "it has ended"],
      [
        "answers with something else",
        `console.log('@store-contract {"_tag":"Answered","number":0,"reply":true}')`,
        "its answer to claim is none"
      ]
    ] as const
  )("%s: its case fails", ([, text, detail]) =>
    Effect.gen(function*() {
      const layer = script(`${up}; process.stdin.once("data", () => ${text})`)
      const [first] = StoreContract.idempotencyStoreProcesses()
      assert.isDefined(first)
      const error = yield* Effect.flip(Effect.provide(first.run, layer))
      assert.deepStrictEqual(error, new StoreContract.WorkerFailed({ detail }))
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)
})

describe("StoreContract.worker", () => {
  const told = (text: string, layer: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const stdio = Stdio.layerTest({
        stdin: Stream.concat(Stream.encodeText(Stream.make(text)), Stream.never),
        stdout: () => Sink.forEach((line) => Effect.sync(() => lines.push(String(line))))
      })
      const exit = yield* StoreContract.worker(layer).pipe(
        Effect.provide(stdio),
        Effect.timeoutOption(200),
        Effect.exit
      )
      return { exit, lines }
    })
  const memory = IdempotencyStore.layerStoreMemory()
  const ask = `@store-contract {"number":3,"operation":"list","request":{"limit":`

  it.live("says what the store answers, and that it did not", () =>
    Effect.gen(function*() {
      const { lines } = yield* told(`a log\n${ask}10}}\n${ask}5000}}\n`, memory)
      assert.strictEqual(lines[0], `@store-contract {"_tag":"Up"}\n`)
      assert.include(lines[1], `"Answered"`)
      assert.include(lines[2], `"Unavailable"`)
    }))

  it.live.each(["{", "{}", `{"number":1,"operation":"list","request":{}}`])(
    "refuses what is no question: %s",
    (text) =>
      Effect.gen(function*() {
        const { exit } = yield* told(`@store-contract ${text}\n`, memory)
        assert.include(`${exit}`, "it was told what is no question")
      })
  )

  it.live("fails as the layer does", () =>
    Effect.gen(function*() {
      const { exit, lines } = yield* told("", IdempotencyStore.layerStoreMemory({ capacity: 0 }))
      assert.include(`${exit}`, "StoreUnavailable")
      assert.deepStrictEqual(lines, [])
    }))
})
