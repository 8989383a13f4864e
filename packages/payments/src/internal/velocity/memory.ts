/**
 * Counters in a map, the least lately used first.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Velocity } from "../../Velocity.ts"
import { failUnavailable, type VelocityError } from "./errors.ts"
import type { CounterId, Event, Measure } from "./event.ts"
import * as log from "./log.ts"
import * as store from "./store.ts"

interface Kept {
  readonly log: log.Log
  readonly expiresAt: number
}

// How many counters a new one looks at for expired ones: more than one, so that they go faster than they come.
const stepsPerRecord = 2

const evicted = Metric.counter("effect_payments_velocity_evicted_total", {
  description: "Counters that were dropped before their window was over, because the store was full",
  incremental: true
})

/** @internal */
export const make = (capacity: number): Effect.Effect<Velocity["Service"], VelocityError> =>
  Number.isSafeInteger(capacity) && capacity >= 1
    ? Effect.map(Clock.Clock, (clock) => store.make(new Memory(capacity, () => clock.currentTimeMillisUnsafe())))
    : failUnavailable("start", "capacity must be a whole number from 1")

class Memory implements store.Backend {
  private readonly counters = new Map<string, Kept>()
  private readonly capacity: number
  private readonly now: () => number
  private hand = this.counters.entries()

  constructor(capacity: number, now: () => number) {
    this.capacity = capacity
    this.now = now
  }

  readonly record = (events: ReadonlyArray<Event>): Effect.Effect<ReadonlyArray<Measure>> =>
    Effect.suspend(() => {
      const now = this.now()
      let dropped = 0
      const measures = events.map((event) => {
        dropped += this.put(event, now)
        return log.measure(this.counters.get(event.id)?.log ?? log.empty, event.windowMillis, now)
      })
      return dropped === 0 ? Effect.succeed(measures) : Effect.as(Metric.update(evicted, dropped), measures)
    })

  readonly measure = ({ id, windowMillis }: CounterId): Effect.Effect<Measure> =>
    Effect.sync(() => log.measure(this.counters.get(id)?.log ?? log.empty, windowMillis, this.now()))

  readonly forget = ({ id }: CounterId): Effect.Effect<boolean> =>
    Effect.sync(() => {
      const kept = this.counters.get(id)
      this.counters.delete(id)
      return kept !== undefined && kept.expiresAt > this.now()
    })

  /** Answers how many live counters had to go. */
  private put(event: Event, now: number): number {
    const kept = this.counters.get(event.id)
    // Back at the end: the first one is the one that was used least lately.
    this.counters.delete(event.id)
    this.dropExpired(now)
    const dropped = this.counters.size >= this.capacity && this.dropFirst(now)
    this.counters.set(event.id, {
      log: log.record(kept?.log ?? log.empty, event, now),
      expiresAt: now + event.windowMillis
    })
    return dropped ? 1 : 0
  }

  /** Whether it was still counting. */
  private dropFirst(now: number): boolean {
    for (const [id, { expiresAt }] of this.counters) {
      this.counters.delete(id)
      return expiresAt > now
    }
    return false
  }

  private dropExpired(now: number): void {
    for (let step = 0; step < stepsPerRecord; step++) {
      const { value } = this.hand.next()
      if (value === undefined) {
        this.hand = this.counters.entries()
        return
      }
      if (value[1].expiresAt <= now) this.counters.delete(value[0])
    }
  }
}
