/**
 * The deadlines of all that a process waits for at a time, with one timer: nearly each is called off before it is over, so
 * that a timer and a fiber for each would be most of what waiting costs.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/** @internal */
export interface Deadline {
  readonly atMillis: number
  readonly over: () => void
}

/** @internal */
export interface Deadlines {
  readonly nowMillis: () => number
  /** Calls `over` once that much time is over, unless it is called off before. */
  readonly set: (millis: number, over: () => void) => Deadline
  readonly callOff: (deadline: Deadline) => void
}

/** @internal What is still waited for when the scope is closed keeps its deadline: ends are saved then too. */
export const make = (clock: Clock.Clock, scope: Scope.Scope): Effect.Effect<Deadlines> =>
  Effect.suspend(() => {
    const deadlines = new DeadlinesImpl(clock)
    return Effect.as(Scope.addFinalizer(scope, Effect.sync(() => deadlines.close())), deadlines)
  })

class DeadlinesImpl implements Deadlines {
  private readonly clock: Clock.Clock
  private readonly pending = new Set<Deadline>()
  private timer: Fiber.Fiber<void> | undefined = undefined
  private wakeAt = Number.POSITIVE_INFINITY
  private isClosed = false

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  nowMillis(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  set(millis: number, over: () => void): Deadline {
    const deadline = { atMillis: this.nowMillis() + millis, over }
    this.pending.add(deadline)
    if (deadline.atMillis < this.wakeAt) this.wake(deadline.atMillis, millis)
    return deadline
  }

  callOff(deadline: Deadline): void {
    this.pending.delete(deadline)
    if (this.isClosed) this.close()
  }

  close(): void {
    this.isClosed = true
    if (this.pending.size === 0) this.stop()
  }

  // While there is nothing to wait for it goes on, so that a call that comes alone starts none.
  private wake(atMillis: number, afterMillis: number): void {
    this.stop()
    this.wakeAt = atMillis
    // Whole milliseconds: a clock may not tell less from nothing.
    const sleep = this.clock.sleep(Duration.millis(Math.ceil(afterMillis)))
    this.timer = Effect.runFork(Effect.map(sleep, () => this.tick()))
  }

  private stop(): void {
    this.timer?.interruptUnsafe()
    this.timer = undefined
    this.wakeAt = Number.POSITIVE_INFINITY
  }

  private tick(): void {
    this.timer = undefined
    this.wakeAt = Number.POSITIVE_INFINITY
    const now = this.nowMillis()
    let next = Number.POSITIVE_INFINITY
    for (const deadline of this.pending) {
      if (deadline.atMillis <= now) {
        this.pending.delete(deadline)
        deadline.over()
      } else if (deadline.atMillis < next) {
        next = deadline.atMillis
      }
    }
    if (next < this.wakeAt) this.wake(next, next - now)
  }
}
