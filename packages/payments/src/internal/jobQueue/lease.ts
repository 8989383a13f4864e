/**
 * Jobs at work, each under a lease of the store: a handler is stopped when its time is over, when another worker has taken
 * its job, and when nobody can say any more whether one has.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { monotonicMillis } from "../stack/clock.ts"
import type { JobQueueError } from "./errors.ts"

/** @internal A job as it was taken: each taking counts an attempt. */
export interface Claim {
  readonly id: string
  readonly attempt: number
}

/** @internal */
export interface Lease {
  readonly lockMillis: number
  /** Renews those that are still held, and answers with them ({@link keyOf}). */
  readonly renew: (queue: string, claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlySet<string>, JobQueueError>
}

/** @internal */
export const keyOf = ({ attempt, id }: Claim): string => `${attempt} ${id}`

/**
 * @internal Why a handler was stopped: its time was over, another worker has its job, or the store did not confirm for one
 * lease that none has.
 */
export type Stop = "lost" | "silent" | "timeout"

/** @internal How a handler ended. */
export type End<E> =
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<unknown, E> }
  | { readonly _tag: "Stopped"; readonly why: Stop; readonly isGone: boolean }

interface Held {
  readonly claim: Claim
  /** On the monotonic clock, from before the store was asked. */
  confirmedAt: number
  readonly stopped: Deferred.Deferred<Stop>
}

/** @internal */
export interface Leases {
  /** Runs the handler in a fiber of its own until it ends or is stopped. */
  readonly hold: <E, R>(
    claim: Claim,
    handler: Effect.Effect<unknown, E, R>,
    timeoutMillis: number
  ) => Effect.Effect<End<E>, never, R>
  /** Renews the leases until it is interrupted. */
  readonly renewing: Effect.Effect<never>
}

// What is stopped may clean up for so long before its worker goes on without it.
const graceMillis = 10_000

/** @internal Those of one `work`. */
export const make = (queue: string, lease: Lease | undefined): Effect.Effect<Leases> =>
  lease === undefined ? Effect.succeed(unleased) : Effect.withFiber((fiber) => {
    const held = new Set<Held>()
    let lookedAt = monotonicMillis(fiber)
    const renew = (some: ReadonlyArray<Held>) => renewed(queue, lease, some)
    const look = Effect.withFiber<void>((fiber) => {
      lookedAt = monotonicMillis(fiber)
      const some = [...held]
      return some.length === 0 ? Effect.void : Effect.andThen(
        renew(some),
        Effect.sync(() => {
          const lapsed = monotonicMillis(fiber) - lease.lockMillis
          for (const one of some) if (one.confirmedAt <= lapsed) stop(one, "silent")
        })
      )
    })
    return Effect.succeed<Leases>({
      hold: (claim, handler, timeoutMillis) =>
        Effect.withFiber((fiber) => {
          // A process that was frozen may have taken the job before that.
          const confirmedAt = Math.min(monotonicMillis(fiber), lookedAt + lease.lockMillis / 2)
          const one: Held = { claim, confirmedAt, stopped: Deferred.makeUnsafe() }
          held.add(one)
          const check = Effect.withFiber<void>((fiber) =>
            monotonicMillis(fiber) - one.confirmedAt < lease.lockMillis ? Effect.void : renew([one])
          )
          return Effect.ensuring(
            supervise(handler, one.stopped, timeoutMillis, check),
            Effect.sync(() => held.delete(one))
          )
        }),
      renewing: Effect.forever(Effect.andThen(Effect.sleep(lease.lockMillis / 3), look))
    })
  })

/** In memory there is nobody else to take a job. */
const unleased: Leases = {
  hold: (_, handler, timeoutMillis) => supervise(handler, Deferred.makeUnsafe(), timeoutMillis, Effect.void),
  renewing: Effect.never
}

const stop = ({ stopped }: Held, why: Stop): void => {
  Deferred.doneUnsafe(stopped, Exit.succeed(why))
}

/** Those that are not renewed are lost. A store that does not answer says nothing. */
const renewed = (queue: string, { lockMillis, renew }: Lease, some: ReadonlyArray<Held>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const start = monotonicMillis(fiber)
    const asked = Effect.interruptible(Effect.option(renew(queue, some.map(({ claim }) => claim))))
    return Effect.map(Effect.timeoutOption(asked, lockMillis / 3), (answer) => {
      const keys = Option.getOrUndefined(Option.flatten(answer))
      if (keys === undefined) return
      for (const one of some) {
        if (keys.has(keyOf(one.claim))) one.confirmedAt = start
        else stop(one, "lost")
      }
    })
  })

const supervise = <E, R>(
  handler: Effect.Effect<unknown, E, R>,
  stopped: Deferred.Deferred<Stop>,
  timeoutMillis: number,
  check: Effect.Effect<void>
): Effect.Effect<End<E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const child = yield* Effect.forkDetach(restore(handler), { startImmediately: true })
      const timeout = Effect.as(Effect.sleep(timeoutMillis), "timeout" as const)
      const why = child.pollUnsafe() !== undefined ? undefined : yield* Effect.raceFirst(
        Effect.as(Fiber.await(child), undefined),
        Effect.raceFirst(Deferred.await(stopped), timeout)
      ).pipe(restore, Effect.onInterrupt(() => Fiber.interrupt(child)))
      if (why !== undefined) {
        yield* Effect.timeoutOption(Effect.interruptible(Fiber.interrupt(child)), graceMillis)
      }
      const exit = child.pollUnsafe()
      if (why === "lost" || why === "silent") return { _tag: "Stopped", why, isGone: exit !== undefined }
      // It may have come to its end in the very moment in which its time was over.
      if (exit === undefined || (why !== undefined && Exit.isFailure(exit))) {
        return { _tag: "Stopped", why: "timeout", isGone: exit !== undefined }
      }
      yield* check
      return Deferred.isDoneUnsafe(stopped) ? { _tag: "Stopped", why: "lost", isGone: true } : { _tag: "Ended", exit }
    })
  )
