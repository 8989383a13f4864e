/** Recorded histories of the stores over servers, judged by the machine. */
import { NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { ClockStore, layer as clockStore } from "../idempotency/clockStore.ts"
import { type Event, judge, judgeStore, record } from "../idempotency/history.ts"
import { layer as redisClockStore } from "../idempotency/redisClockStore.ts"
import { client, makeSchema } from "../support/postgres.ts"

const stores: { readonly [name: string]: Layer.Layer<ClockStore, unknown> } = {
  Postgres: Layer.unwrap(Effect.map(makeSchema("histories"), (schema) => Layer.provide(clockStore, client(schema)))),
  Redis: Layer.provide(redisClockStore(`histories-${process.pid}`), NodeRedis.layer({ url: inject("redis") }))
}

const worker = fileURLToPath(new URL("../support/historyWorker.ts", import.meta.url))

/** Processes over one schema, each of which answers a line with a line. */
const spawnWorkers = (schema: string, count: number) =>
  Effect.forEach(Array.from({ length: count }, (_, name) => `${name}`), (name) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const child = spawn(process.execPath, [
            "--conditions=@effect-payments/source",
            worker,
            inject("postgres"),
            schema
          ], { stdio: ["pipe", "pipe", "inherit"] })
          return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
        }),
        ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
      ),
      ({ child, lines }) => (seed: string) =>
        Effect.promise(async (): Promise<ReadonlyArray<Event>> => {
          child.stdin.write(`${seed}-${name}\n`)
          const { done, value } = await lines.next()
          return done === true ? [] : JSON.parse(value)
        })
    ))

describe("histories of stores", () => {
  for (const [name, layer] of Object.entries(stores)) {
    it.live(`of ${name} are linearizable`, () =>
      Effect.gen(function*() {
        const judged = yield* judgeStore({ ...(yield* ClockStore), histories: 40 })
        assert.deepStrictEqual(judged.wrong, [])
        console.log(`${name}: ${judged.operations} operations, ${judged.steps} configurations`)
        // Callers do come in between each other.
        assert.isAbove(judged.steps, judged.operations * 2)
      }).pipe(Effect.provide(layer)), 120_000)
  }

  it.live("of four processes over Postgres are linearizable", () =>
    Effect.gen(function*() {
      const schema = yield* makeSchema("histories")
      const context = yield* Layer.build(Layer.provide(clockStore, client(schema)))
      const { reset, setTime } = Context.get(context, ClockStore)
      const workers = yield* spawnWorkers(schema, 4)
      const together = (seed: string) =>
        Effect.map(Effect.forEach(workers, (work) => work(seed), { concurrency: "unbounded" }), (all) => all.flat())
      let [operations, steps] = [0, 0]
      for (let seed = 0; seed < 12; seed++) {
        yield* reset
        const events = yield* record(`${seed}`, setTime, 10, together)
        operations += events.length
        for (const verdict of judge(events)) {
          steps += verdict.steps
          assert.isTrue(
            verdict.linearizable,
            `history ${seed} of ${verdict.key}: no order of more than ${verdict.longest}`
          )
        }
      }
      console.log(`four processes: ${operations} operations, ${steps} configurations`)
      assert.strictEqual(operations, 12 * 10 * (1 + 4 * 3 * 3))
      assert.isAbove(steps, operations * 2)
    }).pipe(Effect.scoped), 120_000)
})
