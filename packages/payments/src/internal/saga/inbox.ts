/**
 * Watches, for all runs of a process that wait, what has come for them: one statement for all of them, once a second and
 * whenever this process knows of something.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { SagaLog } from "../../SagaLog.ts"
import { bounded } from "./bounded.ts"
import type { Inbox as Found, InboxRequest, RunId } from "./record.ts"

interface Waiter {
  readonly id: RunId
  readonly step: string
  /** Messages that it has passed over. */
  readonly except: ReadonlyArray<string>
  /** What the run knows already. */
  readonly isCancelKnown: boolean
  readonly found: Deferred.Deferred<Found>
}

const pollMillis = 1000
const pageMax = 1000

/** @internal */
export class Inbox {
  private readonly log: SagaLog["Service"]
  private readonly waiters = new Set<Waiter>()
  private readonly poked = Latch.makeUnsafe(false)

  private constructor(log: SagaLog["Service"]) {
    this.log = log
  }

  static make(log: SagaLog["Service"], scope: Scope.Scope): Effect.Effect<Inbox> {
    const inbox = new Inbox(log)
    return Effect.as(Effect.forkIn(inbox.watch, scope), inbox)
  }

  /** How many runs wait. */
  get size(): number {
    return this.waiters.size
  }

  /** Looks at once instead of in a second. */
  poke(): void {
    this.poked.openUnsafe()
  }

  /** Waits for the first message of the step or a new wish, or for the time to be up: then undefined. */
  next(
    id: RunId,
    step: string,
    except: ReadonlyArray<string>,
    isCancelKnown: boolean,
    millis: number
  ): Effect.Effect<Found | undefined> {
    return Effect.suspend(() => {
      const waiter: Waiter = { id, step, except, isCancelKnown, found: Deferred.makeUnsafe() }
      this.waiters.add(waiter)
      this.poke()
      const found = Deferred.await(waiter.found)
      const bound = Math.min(Math.max(0, millis), sleepMax)
      return Effect.onExitPrimitive(
        Effect.timeoutOrElse(found, { duration: Duration.millis(bound), orElse: () => Effect.undefined }),
        () => {
          this.waiters.delete(waiter)
          return undefined
        }
      )
    })
  }

  /** What has come until now; undefined when the log does not say. */
  once(id: RunId, step: string, except: ReadonlyArray<string>): Effect.Effect<Found | undefined> {
    return Effect.matchCause(this.asked([{ ...id, step, except }]), {
      onFailure: () => undefined,
      onSuccess: ([found]) => found
    })
  }

  private asked(requests: ReadonlyArray<InboxRequest>) {
    const asked = this.log.inbox(requests)
    return this.log.isLocal === true ? asked : bounded(asked, askMillis)
  }

  private get watch(): Effect.Effect<never> {
    return Effect.forever(Effect.suspend(() => {
      if (this.waiters.size === 0) return Effect.andThen(this.poked.await, this.look)
      const paused = Effect.timeoutOrElse(this.poked.await, {
        duration: Duration.millis(pollMillis),
        orElse: () => Effect.void
      })
      return Effect.andThen(paused, this.look)
    }))
  }

  private get look(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.poked.closeUnsafe()
      const all = [...this.waiters]
      const pages = Array.from(
        { length: Math.ceil(all.length / pageMax) },
        (_, i) => all.slice(i * pageMax, (i + 1) * pageMax)
      )
      return Effect.forEach(pages, (page) => this.ask(page), { discard: true })
    })
  }

  /** A log that fails or hangs is asked again in a second: a run that waits loses nothing. */
  private ask(page: ReadonlyArray<Waiter>): Effect.Effect<void> {
    return Effect.ignore(Effect.map(
      this.asked(page.map(({ except, id, step }) => ({ ...id, step, except }))),
      (all) => {
        for (const [index, found] of all.entries()) {
          const waiter = page[index]
          if (waiter === undefined) continue
          const isNews = found.value !== undefined || found.pauseRequested !== undefined ||
            (found.cancelRequested && !waiter.isCancelKnown)
          if (isNews) Deferred.doneUnsafe(waiter.found, Exit.succeed(found))
        }
      }
    ))
  }
}

const askMillis = 10_000

/** Timers of platforms end after 24 days; whoever waits longer looks again. */
const sleepMax = 24 * 60 * 60 * 1000
