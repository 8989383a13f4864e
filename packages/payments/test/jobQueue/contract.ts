/** What a queue does over every store. Runs on the live clock: Effect's stores have their own. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer, Option, Schedule, Schema } from "effect"
import { JobQueue } from "effect-payments"

const Payload = Schema.Struct({ n: Schema.Int, at: Schema.DateFromString })
const at = new Date(0)
const payload = (n: number) => ({ n, at })

class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {
  readonly disposition = "Refused" as const
}

let names = 0
const unused = () => `q${process.pid}.${names++}`

const make = (
  options?: {
    readonly name?: string
    readonly attemptsMax?: number
    readonly retry?: Schedule.Schedule<unknown, number>
  }
) => JobQueue.make({ name: unused(), payload: Payload, retry: Schedule.spaced(0), ...options })

/** Works until the condition holds. */
const workUntil = <A, E>(
  queue: JobQueue.JobQueue<A>,
  handler: (payload: A, job: JobQueue.Job) => Effect.Effect<unknown, E>,
  isDone: () => boolean,
  workers = 2
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(queue.work(handler, { workers }))
    yield* Effect.sleep("5 millis").pipe(Effect.repeat({ until: isDone }), Effect.timeout("20 seconds"), Effect.orDie)
    yield* Fiber.interrupt(fiber)
  })

export const jobQueueContract = <R, E>(name: string, layer: Layer.Layer<JobQueue.JobQueueStore | R, E>) =>
  describe(`JobQueue on ${name}`, () => {
    const test = <E2>(title: string, self: () => Effect.Effect<void, E2, JobQueue.JobQueueStore>) =>
      it.live(title, () => Effect.suspend(self).pipe(Effect.provide(layer)), 30_000)

    test("runs each job once, with its payload and its id", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        const ids = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => queue.offer(payload(n), { id: `job-${n}` }))
        assert.deepStrictEqual(ids, ["job-1", "job-2", "job-3", "job-4", "job-5"])
        const random = yield* queue.offer(payload(6))
        const ran: Array<readonly [string, number, Date, number]> = []
        yield* workUntil(
          queue,
          ({ at, n }, { attempt, id }) => Effect.sync(() => void ran.push([id, n, at, attempt])),
          () => ran.length === 6,
          1
        )
        assert.deepStrictEqual(
          ran.toSorted(([, a], [, b]) => a - b),
          [...ids, random].map((id, index) => [id, index + 1, at, 1] as const)
        )
        assert.deepStrictEqual(yield* queue.deadLetters(), [])
      }))

    test("takes an id once, also after it is done", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        const ran: Array<number> = []
        const handler = ({ n }: { readonly n: number }) => Effect.sync(() => void ran.push(n))
        yield* queue.offer(payload(1), { id: "same" })
        yield* queue.offer(payload(2), { id: "same" })
        yield* workUntil(queue, handler, () => ran.length === 1)
        yield* queue.offer(payload(3), { id: "same" })
        yield* queue.offer(payload(4), { id: "other" })
        yield* workUntil(queue, handler, () => ran.includes(4))
        assert.deepStrictEqual(ran, [1, 4])
      }))

    test("tries again what failed, until it is done", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        yield* queue.offer(payload(1))
        const attempts: Array<number> = []
        yield* workUntil(
          queue,
          (_, { attempt }) =>
            Effect.suspend(() => {
              attempts.push(attempt)
              return attempt === 1 ? Effect.fail("no") : attempt === 2 ? Effect.die("bug") : Effect.void
            }),
          () => attempts.length === 3
        )
        assert.deepStrictEqual(attempts, [1, 2, 3])
        assert.strictEqual(yield* queue.deadLetterCount, 0)
      }))

    test("keeps what failed for good, oldest first and in pages, without card data", () =>
      Effect.gen(function*() {
        const queue = yield* make({ attemptsMax: 2 })
        yield* Effect.forEach([1, 2, 3], (n) => queue.offer(payload(n), { id: `job-${n}` }))
        const ran: Array<number> = []
        yield* workUntil(
          queue,
          ({ n }) =>
            Effect.suspend(() => {
              ran.push(n)
              return Effect.fail(`${n}: card 4111 1111 1111 1111`)
            }),
          () => ran.length === 6,
          1
        )
        const dead = yield* queue.deadLetters()
        assert.strictEqual(yield* queue.deadLetterCount, 3)
        assert.deepStrictEqual(dead.map(({ attempts }) => attempts), [2, 2, 2])
        for (const { failedAt, failure, id, payload } of dead) {
          const n = Option.getOrThrow(payload).n
          assert.strictEqual(id, `job-${n}`)
          assert.include(failure, `${n}: card`)
          assert.notInclude(failure, "4111 1111 1111 1111")
          assert.isBelow(Math.abs(Date.now() - failedAt.epochMilliseconds), 60_000)
        }
        const first = yield* queue.deadLetters({ limit: 2 })
        const rest = yield* queue.deadLetters({ limit: 2, after: first[1]?.cursor })
        assert.deepStrictEqual([...first, ...rest].map(({ id }) => id), dead.map(({ id }) => id))
      }))

    test("does not try again what was refused", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        yield* queue.offer(payload(1), { id: "declined" })
        let runs = 0
        yield* workUntil(
          queue,
          () =>
            Effect.suspend(() => {
              runs++
              return Effect.fail(new Declined())
            }),
          () => runs > 0
        )
        yield* workUntil(queue, () => Effect.sync(() => void runs++), () => true)
        const [dead] = yield* queue.deadLetters()
        assert.strictEqual(runs, 1)
        assert.deepStrictEqual([dead?.id, dead?.attempts], ["declined", 1])
        assert.include(dead?.failure, "Declined")
      }))

    test("gives a dead letter all its attempts again", () =>
      Effect.gen(function*() {
        const queue = yield* make({ attemptsMax: 1 })
        yield* queue.offer(payload(1), { id: "a" })
        yield* queue.offer(payload(2), { id: "b" })
        let runs = 0
        yield* workUntil(
          queue,
          () =>
            Effect.suspend(() => {
              runs++
              return Effect.fail("no")
            }),
          () => runs === 2
        )
        assert.isTrue(yield* queue.requeue("a"))
        assert.isFalse(yield* queue.requeue("a"))
        assert.isFalse(yield* queue.requeue("unknown"))
        assert.deepStrictEqual((yield* queue.deadLetters()).map(({ id }) => id), ["b"])
        const done: Array<readonly [string, number, number]> = []
        yield* workUntil(
          queue,
          ({ n }, { attempt, id }) => Effect.sync(() => void done.push([id, n, attempt])),
          () => done.length === 1
        )
        assert.deepStrictEqual(done, [["a", 1, 1]])
      }))

    test("takes a dead letter for done, and its id stays taken", () =>
      Effect.gen(function*() {
        const queue = yield* make({ attemptsMax: 1 })
        yield* queue.offer(payload(1), { id: "a" })
        let runs = 0
        const failing = () =>
          Effect.suspend(() => {
            runs++
            return Effect.fail("no")
          })
        yield* workUntil(queue, failing, () => runs === 1)
        assert.isTrue(yield* queue.discard("a"))
        assert.isFalse(yield* queue.discard("a"))
        assert.isFalse(yield* queue.requeue("a"))
        assert.strictEqual(yield* queue.deadLetterCount, 0)
        yield* queue.offer(payload(1), { id: "a" })
        yield* queue.offer(payload(2), { id: "b" })
        yield* workUntil(queue, failing, () => runs === 2)
        assert.deepStrictEqual((yield* queue.deadLetters()).map(({ id }) => id), ["b"])
      }))

    test("gives a job back when its worker is stopped, and counts no attempt", () =>
      Effect.gen(function*() {
        const queue = yield* make({ attemptsMax: 1 })
        yield* queue.offer(payload(1))
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          queue.work(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never), { workers: 1 })
        )
        yield* Deferred.await(started)
        yield* Fiber.interrupt(fiber)
        const attempts: Array<number> = []
        yield* workUntil(
          queue,
          (_, { attempt }) => Effect.sync(() => void attempts.push(attempt)),
          () => attempts.length === 1
        )
        assert.deepStrictEqual(attempts, [1])
      }))

    test("counts it as a failure when a handler interrupts itself", () =>
      Effect.gen(function*() {
        const queue = yield* make({ attemptsMax: 2 })
        yield* queue.offer(payload(1), { id: "a" })
        let runs = 0
        yield* workUntil(
          queue,
          () => Effect.andThen(Effect.sync(() => void runs++), Effect.interrupt),
          () => runs === 2
        )
        assert.deepStrictEqual((yield* queue.deadLetters()).map(({ id }) => id), ["a"])
      }))

    test("keeps a job that does not fit its schema any more, and goes on", () =>
      Effect.gen(function*() {
        const name = unused()
        const old = yield* JobQueue.make({ name, payload: Schema.String })
        yield* old.offer("old", { id: "old" })
        const queue = yield* make({ name })
        yield* queue.offer(payload(1), { id: "new" })
        const ran: Array<string> = []
        yield* workUntil(queue, (_, { id }) => Effect.sync(() => void ran.push(id)), () => ran.length === 1)
        const dead = yield* queue.deadLetters()
        assert.deepStrictEqual(ran, ["new"])
        assert.deepStrictEqual(dead.map(({ id, payload }) => [id, payload]), [["old", Option.none()]])
      }))

    test("runs a job not before its delay", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        const ran: Array<number> = []
        const begin = performance.now()
        yield* queue.offer(payload(1), { delay: "500 millis" })
        yield* queue.offer(payload(2))
        let millis = 0
        yield* workUntil(
          queue,
          ({ n }) =>
            Effect.sync(() => {
              ran.push(n)
              millis = performance.now() - begin
            }),
          () => ran.length === 2
        )
        assert.deepStrictEqual(ran, [2, 1])
        assert.isAtLeast(millis, 495)
      }))

    test("runs several jobs at a time, and shares them between workers", () =>
      Effect.gen(function*() {
        const queue = yield* make()
        yield* Effect.forEach(Array.from({ length: 40 }, (_, n) => n), (n) => queue.offer(payload(n)), {
          concurrency: "unbounded"
        })
        const ran: Array<number> = []
        let [running, most] = [0, 0]
        const handler = ({ n }: { readonly n: number }) =>
          Effect.gen(function*() {
            most = Math.max(most, ++running)
            yield* Effect.sleep("5 millis")
            running--
            ran.push(n)
          })
        yield* Effect.all([
          workUntil(queue, handler, () => ran.length >= 40, 4),
          workUntil(queue, handler, () => ran.length >= 40, 4)
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(ran.toSorted((a, b) => a - b), Array.from({ length: 40 }, (_, n) => n))
        assert.isTrue(most > 1 && most <= 8)
      }))

    test("does not mix queues of other names", () =>
      Effect.gen(function*() {
        const [a, b] = [yield* make({ attemptsMax: 1 }), yield* make({ attemptsMax: 1 })]
        yield* a.offer(payload(1), { id: "same" })
        yield* b.offer(payload(2), { id: "same" })
        let runs = 0
        const failing = () => Effect.andThen(Effect.sync(() => void runs++), Effect.fail("no"))
        yield* workUntil(a, failing, () => runs === 1)
        assert.strictEqual(yield* a.deadLetterCount, 1)
        assert.strictEqual(yield* b.deadLetterCount, 0)
        assert.isFalse(yield* b.requeue("same"))
      }))

    test("refuses what is out of its bounds", () =>
      Effect.gen(function*() {
        const queue = yield* JobQueue.make({ name: unused(), payload: Schema.String, payloadLimitBytes: 10 })
        const field = (self: Effect.Effect<string, JobQueue.JobQueueError>) =>
          Effect.map(Effect.flip(self), ({ disposition, reason }) =>
            [disposition, reason._tag === "JobInvalid" && reason.field] as const)
        assert.deepStrictEqual(yield* field(queue.offer("12345678é")), ["Refused", "payload"])
        assert.strictEqual(yield* queue.offer("12345678", { id: "fits" }), "fits")
        for (const id of ["", "a b", "é", "x".repeat(201)]) {
          assert.deepStrictEqual(yield* field(queue.offer("x", { id })), ["Refused", "id"])
        }
        for (const delay of ["400 days", Infinity] as const) {
          assert.deepStrictEqual(yield* field(queue.offer("x", { delay })), ["Refused", "delay"])
        }
        assert.strictEqual(yield* queue.offer("x", { id: "now", delay: -5 }), "now")
        const exit = yield* Effect.exit(queue.deadLetters({ limit: 0 }))
        assert.isTrue(Exit.isFailure(exit))
      }))
  })
