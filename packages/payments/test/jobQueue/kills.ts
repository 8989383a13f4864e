/** What becomes of a job whose worker is killed or frozen, in processes of their own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import type { JobQueue } from "effect-payments"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { layerOf, makeQueue, type Store } from "./worker.ts"

const file = fileURLToPath(new URL("worker.ts", import.meta.url))

interface Worker {
  readonly process: ChildProcess
  readonly said: ReadonlyArray<string>
}

const until = (isTrue: () => boolean) =>
  Effect.sleep("5 millis").pipe(Effect.repeat({ until: isTrue }), Effect.timeout("30 seconds"), Effect.orDie)

/** Another process at work on the queue, gone with the scope. */
const start = (store: Store, queue: string): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const said: Array<string> = []
      const child = spawn(process.execPath, [
        "--conditions=@effect-payments/source",
        file,
        JSON.stringify({ queue, store })
      ], { stdio: ["pipe", "pipe", "inherit"] })
      child.stdout.on("data", (text) => said.push(...String(text).trim().split("\n")))
      return { process: child, said }
    }),
    ({ process }) => Effect.sync(() => process.kill("SIGKILL"))
  )

/** Works here too, and notes what it was given. */
const workHere = (
  queue: JobQueue.JobQueue<number>,
  given: Array<string>,
  answer: Effect.Effect<void, string> = Effect.void
) =>
  Effect.forkChild(
    queue.work(
      (_, { attempt, id }) => Effect.andThen(Effect.sync(() => void given.push(`${id} ${attempt}`)), answer),
      { workers: 1 }
    )
  )

let queues = 0

export const jobKills = (name: string, storeOf: Effect.Effect<Store, never, Scope.Scope>) =>
  describe(`a job on ${name}`, () => {
    const test = (
      title: string,
      self: (queue: JobQueue.JobQueue<number>, worker: Worker) => Effect.Effect<void, unknown, Scope.Scope>
    ) =>
      it.live(title, () =>
        Effect.gen(function*() {
          const store = yield* storeOf
          const queueName = `kills-${process.pid}-${queues++}`
          yield* Effect.gen(function*() {
            const queue = yield* makeQueue(queueName)
            yield* queue.offer(1, { id: "job" })
            const worker = yield* start(store, queueName)
            yield* until(() => worker.said.includes("started job 1"))
            yield* self(queue, worker)
          }).pipe(Effect.provide(layerOf(store)))
        }), 60_000)

    test(
      "is left to a worker that lives, and taken once that was killed and its lock is over",
      (queue, worker) =>
        Effect.gen(function*() {
          const given: Array<string> = []
          const fiber = yield* workHere(queue, given)
          // Longer than a lock holds that is not renewed.
          yield* Effect.sleep("4500 millis")
          assert.deepStrictEqual(given, [])
          worker.process.kill("SIGKILL")
          yield* until(() => given.length > 0)
          assert.deepStrictEqual(given, ["job 2"])
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* queue.deadLetterCount, 0)
        })
    )

    test("has the attempt of a killed worker counted", (queue, worker) =>
      Effect.gen(function*() {
        worker.process.kill("SIGKILL")
        const given: Array<string> = []
        const fiber = yield* workHere(queue, given, Effect.fail("no"))
        yield* Effect.sleep("5 millis").pipe(
          Effect.andThen(queue.deadLetterCount),
          Effect.repeat({ until: (count) => count === 1 })
        )
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(given, ["job 2"])
        assert.deepStrictEqual((yield* queue.deadLetters()).map(({ attempts, id }) => [id, attempts]), [["job", 2]])
      }))

    test(
      "is recorded by who took it, and not by the worker that was frozen meanwhile",
      (queue, worker) =>
        Effect.gen(function*() {
          worker.process.kill("SIGSTOP")
          const given: Array<string> = []
          const fiber = yield* workHere(queue, given, Effect.fail("no"))
          yield* Effect.sleep("5 millis").pipe(
            Effect.andThen(queue.deadLetterCount),
            Effect.repeat({ until: (count) => count === 1 })
          )
          yield* Fiber.interrupt(fiber)
          const before = yield* queue.deadLetters()
          worker.process.kill("SIGCONT")
          // It ends its job, and would have it recorded as done.
          worker.process.stdin?.write("\n")
          yield* until(() => worker.said.includes("lost"))
          // It goes on with the next one, so it is through with this.
          yield* queue.offer(2, { id: "next" })
          yield* until(() => worker.said.includes("started next 1"))
          assert.deepStrictEqual(given, ["job 2"])
          assert.deepStrictEqual(worker.said, ["started job 1", "lost", "started next 1"])
          assert.deepStrictEqual(yield* queue.deadLetters(), before)
        })
    )
  })
