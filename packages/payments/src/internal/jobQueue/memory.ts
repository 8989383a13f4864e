/**
 * Jobs in the memory of this process, bounded.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { isDeadLetter, PersistedQueue } from "../effect/persistedQueue.ts"
import { JobQueueError, JobQueueFull } from "./errors.ts"
import type { Dead, Store } from "./store.ts"

interface Entry {
  readonly id: string
  readonly element: unknown
  attempts: number
  state: "dead" | "done" | "running" | "waiting"
  visibleAt: number
  changedAt: number
  failure: string
  /** In the order in which jobs died. */
  diedAs: number
}

interface Jobs {
  readonly all: Map<string, Entry>
  readonly waiting: Set<Entry>
  readonly dead: Map<string, Entry>
  /** Ids of jobs that are done, oldest first: they stay taken. */
  readonly done: Set<string>
  /** Open when something has come since the last look. */
  readonly changed: Latch.Latch
}

interface Memory {
  readonly clock: Clock.Clock
  readonly capacity: number
  readonly jobs: (queue: string) => Jobs
  readonly each: () => Iterable<Jobs>
  deaths: number
}

/** @internal `capacity` bounds the jobs of each queue, and as many ids of jobs that are done. */
export const make = (capacity: number): Effect.Effect<Store> =>
  Effect.map(Clock.Clock, (clock) => {
    const queues = new Map<string, Jobs>()
    const jobs = (queue: string): Jobs => {
      const known = queues.get(queue)
      if (known !== undefined) return known
      const made: Jobs = {
        all: new Map(),
        waiting: new Set(),
        dead: new Map(),
        done: new Set(),
        changed: Latch.makeUnsafe(false)
      }
      queues.set(queue, made)
      return made
    }
    const memory: Memory = { clock, capacity, jobs, each: () => queues.values(), deaths: 0 }
    return {
      elements: PersistedQueue.PersistedQueueStore.of({
        offer: (options) => offer(memory, options),
        take: (options) => take(memory, options),
        cleanup: ({ failedTimeToLive, timeToLive }) => Effect.sync(() => cleanup(memory, timeToLive, failedTimeToLive))
      }),
      lease: undefined,
      dead: (queue, { after, limit }) =>
        Effect.sync(() =>
          [...jobs(queue).dead.values()]
            .filter(({ diedAs }) => after === undefined || diedAs > Number(after))
            .slice(0, limit)
            .map(toDead)
        ),
      countDead: (queue) => Effect.sync(() => jobs(queue).dead.size),
      requeue: (queue, id) => Effect.sync(() => revive(memory, jobs(queue), id)),
      discard: (queue, id) =>
        Effect.sync(() => {
          const entry = jobs(queue).dead.get(id)
          if (entry === undefined) return false
          jobs(queue).dead.delete(id)
          finish(memory, jobs(queue), entry)
          return true
        })
    }
  })

const toDead = ({ attempts, changedAt, diedAs, element, failure, id }: Entry): Dead => ({
  id,
  element,
  attempts,
  failure,
  failedAtMillis: changedAt,
  cursor: `${diedAs}`
})

type Elements = PersistedQueue.PersistedQueueStore["Service"]

const offer = (
  memory: Memory,
  { delay, element, id, name }: Parameters<Elements["offer"]>[0]
): Effect.Effect<void, PersistedQueue.PersistedQueueError> =>
  Effect.suspend(() => {
    const jobs = memory.jobs(name)
    if (jobs.all.has(id)) return Effect.void
    if (jobs.all.size - jobs.done.size >= memory.capacity) {
      const cause = new JobQueueError({ reason: new JobQueueFull({ capacity: memory.capacity }) })
      return Effect.fail(new PersistedQueue.PersistedQueueError({ message: cause.message, cause }))
    }
    const now = memory.clock.currentTimeMillisUnsafe()
    const entry: Entry = {
      id,
      element,
      attempts: 0,
      state: "waiting",
      visibleAt: delay === undefined ? now : now + Duration.toMillis(delay),
      changedAt: now,
      failure: "",
      diedAs: 0
    }
    jobs.all.set(id, entry)
    wait(jobs, entry)
    return Effect.void
  })

const wait = (jobs: Jobs, entry: Entry): void => {
  entry.state = "waiting"
  jobs.waiting.add(entry)
  jobs.changed.openUnsafe()
}

const take = (memory: Memory, options: Parameters<Elements["take"]>[0]): ReturnType<Elements["take"]> =>
  Effect.gen(function*() {
    const jobs = memory.jobs(options.name)
    while (true) {
      // Closed before the look, so that what comes after it opens it again.
      jobs.changed.closeUnsafe()
      const now = memory.clock.currentTimeMillisUnsafe()
      const { entry, nextAt } = next(jobs, now)
      if (entry === undefined) {
        yield* nextAt === Infinity
          ? jobs.changed.await
          : Effect.race(jobs.changed.await, Effect.sleep(nextAt - now))
        continue
      }
      jobs.waiting.delete(entry)
      entry.state = "running"
      entry.attempts++
      // Others look for themselves.
      jobs.changed.openUnsafe()
      yield* Effect.addFinalizer((exit) => settle(memory, jobs, entry, options, exit))
      return { id: entry.id, attempts: entry.attempts, element: entry.element }
    }
  })

const next = (jobs: Jobs, now: number): { readonly entry: Entry | undefined; readonly nextAt: number } => {
  let nextAt = Infinity
  for (const entry of jobs.waiting) {
    if (entry.visibleAt <= now) return { entry, nextAt }
    nextAt = Math.min(nextAt, entry.visibleAt)
  }
  return { entry: undefined, nextAt }
}

const settle = (
  memory: Memory,
  jobs: Jobs,
  entry: Entry,
  { maxAttempts, retryDelay }: Parameters<Elements["take"]>[0],
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (exit._tag === "Success") return Effect.sync(() => finish(memory, jobs, entry))
    if (Cause.hasInterruptsOnly(exit.cause)) {
      entry.attempts--
      return Effect.sync(() => wait(jobs, entry))
    }
    const dead = exit.cause.reasons.find((reason) => Cause.isFailReason(reason) && isDeadLetter(reason.error))
    entry.failure = Cause.pretty(
      dead !== undefined && Cause.isFailReason(dead) && isDeadLetter(dead.error) ? dead.error.cause : exit.cause
    )
    if (dead !== undefined || entry.attempts >= maxAttempts) return Effect.sync(() => die(memory, jobs, entry))
    return Effect.map(retryDelay(entry.attempts), (delay) => {
      entry.visibleAt = memory.clock.currentTimeMillisUnsafe() + Duration.toMillis(delay)
      wait(jobs, entry)
    })
  })

const finish = (memory: Memory, jobs: Jobs, entry: Entry): void => {
  entry.state = "done"
  entry.changedAt = memory.clock.currentTimeMillisUnsafe()
  jobs.done.add(entry.id)
  if (jobs.done.size <= memory.capacity) return
  const [oldest] = jobs.done
  if (oldest === undefined) return
  jobs.done.delete(oldest)
  jobs.all.delete(oldest)
}

const die = (memory: Memory, jobs: Jobs, entry: Entry): void => {
  entry.state = "dead"
  entry.changedAt = memory.clock.currentTimeMillisUnsafe()
  entry.diedAs = ++memory.deaths
  jobs.dead.set(entry.id, entry)
}

const revive = (memory: Memory, jobs: Jobs, id: string): boolean => {
  const entry = jobs.dead.get(id)
  if (entry === undefined) return false
  jobs.dead.delete(id)
  entry.attempts = 0
  entry.visibleAt = memory.clock.currentTimeMillisUnsafe()
  wait(jobs, entry)
  return true
}

const cleanup = (
  memory: Memory,
  timeToLive: Duration.Duration,
  failedTimeToLive: Duration.Duration | undefined
): void => {
  const now = memory.clock.currentTimeMillisUnsafe()
  const isOld = (entry: Entry, lifetime: Duration.Duration) => entry.changedAt <= now - Duration.toMillis(lifetime)
  for (const jobs of memory.each()) {
    for (const [id, entry] of jobs.all) {
      if (entry.state === "done" && isOld(entry, timeToLive)) {
        jobs.done.delete(id)
        jobs.all.delete(id)
      }
      if (entry.state === "dead" && failedTimeToLive !== undefined && isOld(entry, failedTimeToLive)) {
        jobs.dead.delete(id)
        jobs.all.delete(id)
      }
    }
  }
}
