/**
 * How a claim ends: saved, freed or given up, and what the callers are told.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { StoreUnavailable } from "../../IdempotencyStore.ts"
import { dispositionOf } from "../../PaymentError.ts"
import { InvalidOption } from "../../Resilience.ts"
import { downstreamKey } from "../stack/makeClaim.ts"
import { askBounded } from "./ask.ts"
import type { Call, Resolution, Shared } from "./call.ts"
import { type EngineClaim, LeaseOver, Misplaced } from "./claim.ts"
import type { Entry, How } from "./entry.ts"
import { DownstreamKeyReused, IdempotencyError, OutcomeUnknown, ResultInvalid } from "./errors.ts"
import { type Incident, reportIncident, reportLookUp } from "./observe.ts"
import type { Completion } from "./record.ts"

const backoffMinMillis = 20
const backoffMaxMillis = 1000
// What ends without a result to keep is saved for this long at the most: a lapsed claim says the same.
const giveUpAfterMillis = 2000

/** @internal `ran: false` when only a look-up ran; `counted: false` leaves the count of unresolved ends alone. */
export interface Unresolved {
  readonly ran: boolean
  readonly counted: boolean
}

/**
 * @internal The keys under which the gateway may know the operation: of the phases that its resolver asks for, else of
 * those that have left, else of the one that is usual.
 */
export const downstreamKeys = (
  shared: Shared,
  call: Call,
  claim: EngineClaim | undefined
): Effect.Effect<{ readonly downstreamKey: string; readonly others?: ReadonlyArray<string> }> =>
  Effect.map(
    Effect.forEach(phasesOf(call, claim), (phase) => downstreamKey(shared.digest, call.id, phase)),
    ([downstreamKey = "", ...others]) => others.length === 0 ? { downstreamKey } : { downstreamKey, others }
  )

const phasesOf = (call: Call, claim: EngineClaim | undefined): ReadonlyArray<string> => {
  if (call.policy.phase !== undefined) return [call.policy.phase]
  if (call.resolve?.phases !== undefined) return call.resolve.phases.slice(0, keysMax)
  const left = claim?.phases ?? []
  return left.length > 0 ? left.slice(0, keysMax) : ["authorize"]
}

const keysMax = 64

/** @internal The answer of an operation of which nobody knows whether it happened. */
export const unknownExit = (
  shared: Shared,
  call: Call,
  claim: EngineClaim | undefined
): Effect.Effect<Exit.Exit<never, IdempotencyError>> =>
  Effect.map(
    downstreamKeys(shared, call, claim),
    (keys) => Exit.fail(new IdempotencyError({ reason: new OutcomeUnknown(keys) }))
  )

/** @internal */
export const settleUnknown = (shared: Shared, entry: Entry, call: Call, how: How): Effect.Effect<void> =>
  Effect.andThen(
    entry.isLost ? report(shared, entry, call, "lease-lost") : Effect.void,
    Effect.map(unknownExit(shared, call, entry.claim), (exit) => shared.settle(entry, exit, how))
  )

/** @internal What an operator has to know of: logged and counted, with the keys under which the gateway knows it. */
export const report = (shared: Shared, entry: Entry, call: Call, incident: Incident): Effect.Effect<void> =>
  Effect.flatMap(
    downstreamKeys(shared, call, entry.claim),
    ({ downstreamKey, others = [] }) => reportIncident(incident, call, entry, [downstreamKey, ...others].join(", "))
  )

/** @internal */
export const keepSuccess = (
  shared: Shared,
  entry: Entry,
  call: Call,
  value: unknown,
  how: How
): Effect.Effect<void> | undefined =>
  keep(
    shared,
    entry,
    call,
    Exit.succeed(value),
    call.successCodec.store(value, call.policy.resultLimitBytes),
    "Succeeded",
    how
  )

/** @internal */
export const keepRefusal = (
  shared: Shared,
  entry: Entry,
  call: Call,
  error: unknown,
  how: How
): Effect.Effect<void> | undefined =>
  keep(
    shared,
    entry,
    call,
    Exit.fail(error),
    call.errorCodec.store(error, call.policy.resultLimitBytes),
    "Refused",
    how
  )

const keep = (
  shared: Shared,
  entry: Entry,
  call: Call,
  exit: Exit.Exit<unknown, unknown>,
  stored: Result.Result<string, string>,
  state: "Refused" | "Succeeded",
  how: How
): Effect.Effect<void> | undefined => {
  if (Result.isFailure(stored)) return keepNothing(shared, entry, call, stored.failure, how)
  const completion = { _tag: state, result: stored.success, ttlMillis: call.policy.ttlMillis }
  const { local } = shared.store
  if (local !== undefined) {
    if (!local.complete({ ...ownership(entry), completion })) return settleUnknown(shared, entry, call, how)
    shared.settle(entry, exit, how)
    return undefined
  }
  return Effect.flatMap(save(shared, entry, completion, shared.leases.nowMillis() + entry.leaseMillis), (written) => {
    if (written !== "Written") return settleUnknown(shared, entry, call, how)
    shared.settle(entry, exit, how)
    return Effect.void
  })
}

// It happened and its result cannot be kept: never run again, to be looked up.
const keepNothing = (shared: Shared, entry: Entry, call: Call, detail: string, how: How): Effect.Effect<void> =>
  Effect.flatMap(
    giveUp(shared, entry, call, { ran: true, counted: true }),
    () => Effect.map(invalidResult(shared, entry, call, detail), (exit) => shared.settle(entry, exit, how))
  )

/** @internal */
export const invalidResult = (
  shared: Shared,
  entry: Entry,
  call: Call,
  detail: string
): Effect.Effect<Exit.Exit<never, IdempotencyError>> =>
  Effect.map(
    downstreamKeys(shared, call, entry.claim),
    (keys) => Exit.fail(new IdempotencyError({ reason: new ResultInvalid({ detail, ...keys }) }))
  )

/** @internal Ends a claim without a known outcome. */
export const giveUp = (shared: Shared, entry: Entry, call: Call, unresolved: Unresolved): Effect.Effect<void> => {
  const { attemptsMax } = call.policy
  const isParked = unresolved.counted && entry.unresolved + 1 >= attemptsMax
  return Effect.andThen(
    save(shared, entry, { _tag: "Indeterminate", ...unresolved, attemptsMax }, soon(shared)),
    // A run that ended in doubt, and the last look-up that may be tried. Those between are in the answers' metric.
    isParked || unresolved.ran
      ? report(shared, entry, call, isParked ? "parked" : "indeterminate")
      : Effect.void
  )
}

/** @internal What became of a write: `NotOwned` when another owner has taken over, or the record is gone. */
export type Written = "Written" | "NotOwned" | "NoAnswer"

/**
 * @internal Frees the slot of what surely did not happen, and says how it ended. Where another owner has taken over it
 * may have done it, so that nobody is told that nothing has happened.
 */
export const vacate = (
  shared: Shared,
  entry: Entry,
  call: Call,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.flatMap(
    free(shared, entry, call),
    (freed) =>
      freed === "Written" || (freed === "NoAnswer" && shared.leases.isLive(entry))
        ? Effect.sync(() => shared.settle(entry, exit, "executed"))
        : settleUnknown(shared, entry, call, "executed")
  )

/** @internal */
export const free = (shared: Shared, entry: Entry, call: Call): Effect.Effect<Written> =>
  Effect.suspend(() => {
    entry.isFreeing = true
    return persist(
      shared,
      entry,
      () => shared.store.release({ ...ownership(entry), ttlMillis: call.policy.ttlMillis }),
      soon(shared)
    )
  })

const save = (shared: Shared, entry: Entry, completion: Completion, untilMillis: number): Effect.Effect<Written> =>
  persist(shared, entry, () => shared.store.complete({ ...ownership(entry), completion }), untilMillis)

/** @internal */
export const ownership = (entry: Entry) => ({
  id: entry.id.id,
  scope: entry.id.scope,
  key: entry.id.key,
  owner: entry.owner,
  fence: entry.fence
})

const soon = (shared: Shared): number => shared.leases.nowMillis() + giveUpAfterMillis

// Asks until the store answers, the lease is gone or the time is up. Every write is guarded, so asking twice is safe, and
// asking after the lease is too: it is only of no use any more where another owner has taken over.
const persist = (
  shared: Shared,
  entry: Entry,
  write: () => Effect.Effect<boolean, StoreUnavailable>,
  untilMillis: number
): Effect.Effect<Written> =>
  shared.store.local === undefined || entry.isLost
    ? keepAsking(shared, entry, write, entry.isLost ? soon(shared) : untilMillis, backoffMinMillis, entry.isLost)
    : Effect.match(write(), { onFailure: noAnswer, onSuccess: writtenOf })

const noAnswer = (): Written => "NoAnswer"

const writtenOf = (isOwned: boolean): Written => isOwned ? "Written" : "NotOwned"

const keepAsking = (
  shared: Shared,
  entry: Entry,
  write: () => Effect.Effect<boolean, StoreUnavailable>,
  untilMillis: number,
  backoffMillis: number,
  isLate: boolean
): Effect.Effect<Written> => {
  const asked = askBounded(shared, write(), {
    ...saving(shared, entry, untilMillis),
    entry: isLate ? undefined : entry
  })
  return Effect.catch(Effect.map(asked, writtenOf), () => {
    const { leases } = shared
    // The store denies a renewal also because the write went through and its reply was lost.
    if (!isLate && entry.isDenied) return keepAsking(shared, entry, write, soon(shared), backoffMinMillis, true)
    if (leases.nowMillis() >= untilMillis || (!isLate && !leases.isLive(entry))) return Effect.succeed("NoAnswer")
    return Effect.flatMap(
      Effect.sleep(Duration.millis(backoffMillis)),
      () => keepAsking(shared, entry, write, untilMillis, Math.min(backoffMillis * 2, backoffMaxMillis), isLate)
    )
  })
}

// A lost request or reply is asked for again while there is a lease to save in.
const saving = (shared: Shared, entry: Entry, untilMillis: number) => ({
  operation: "save",
  millis: Math.max(1, Math.min(entry.leaseMillis / 3, untilMillis - shared.leases.nowMillis()))
})

/**
 * @internal Ends a claim by how the effect ended. `isFirst` is false when an earlier attempt of another owner may still
 * arrive: then what was not executed now is not free, and nobody may be told that nothing happened.
 */
export const conclude = (
  shared: Shared,
  entry: Entry,
  call: Call,
  claim: EngineClaim,
  exit: Exit.Exit<unknown, unknown>,
  isFirst: boolean
): Effect.Effect<void, never, unknown> | undefined => {
  const doubt = (): Effect.Effect<void, never, unknown> =>
    Effect.flatMap(unknownExit(shared, call, claim), (unknown) => concludeUnknown(shared, entry, call, unknown, claim))
  // The earlier attempt is settled by an answer of the gateway to its call, and by nothing else.
  const stays = (): Effect.Effect<void> =>
    Effect.flatMap(
      giveUp(shared, entry, call, { ran: false, counted: false }),
      () => settleUnknown(shared, entry, call, "executed")
    )
  const isOpen = !isFirst && call.resolve?.phases !== undefined
  // A call of this operation is in doubt, whatever the last one said, or the effect makes of it.
  const { isUncertain } = claim
  if (Exit.isSuccess(exit)) {
    if (isUncertain) return doubt()
    return isOpen && !claim.hasHappened ? stays() : keepSuccess(shared, entry, call, exit.value, "executed")
  }
  const error = onlyError(exit.cause)
  if (error === undefined) return concludeDefect(shared, entry, call, claim, exit.cause, isFirst)
  const disposition = dispositionOf(error.value)
  if (disposition === "Unknown") return concludeUnknown(shared, entry, call, Exit.failCause(exit.cause), claim)
  if (isUncertain) return doubt()
  if (disposition === "Refused") {
    if (isOpen && !claim.isRefused) return stays()
    const kept = keepRefusal(shared, entry, call, error.value, "executed")
    return claim.hasStanding
      ? Effect.andThen(kept ?? Effect.void, report(shared, entry, call, "left-behind"))
      : kept
  }
  if (!isFirst) return stays()
  // The last call was not executed, but one before it was.
  if (claim.hasHappened) return doubt()
  // What has happened inside has a record of its own: the key may be used again, but not another one.
  return claim.hasWitnessed
    ? Effect.flatMap(unknownExit(shared, call, claim), (unknown) => vacate(shared, entry, call, unknown))
    : vacate(shared, entry, call, exit)
}

/** @internal The typed error of a cause that holds one and nothing else. */
export const onlyError = (cause: Cause.Cause<unknown>): { readonly value: unknown } | undefined => {
  const reason = cause.reasons.length === 1 ? cause.reasons[0] : undefined
  return reason !== undefined && Cause.isFailReason(reason) ? { value: reason.error } : undefined
}

// A typed failure of something that may have happened: looked up at once, while the lease is ours.
const concludeUnknown = (
  shared: Shared,
  entry: Entry,
  call: Call,
  exit: Exit.Exit<never, unknown>,
  claim: EngineClaim
): Effect.Effect<void, never, unknown> =>
  Effect.flatMap(lookUp(shared, entry, call, claim), ({ resolution }) => {
    switch (resolution._tag) {
      case "Happened":
        return keepSuccess(shared, entry, call, resolution.result, "resolved") ?? Effect.void
      case "Refused":
        return keepRefusal(shared, entry, call, resolution.error, "resolved") ?? Effect.void
      default:
        return Effect.map(
          giveUp(shared, entry, call, { ran: true, counted: true }),
          () => shared.settle(entry, exit, "executed")
        )
    }
  })

const concludeDefect = (
  shared: Shared,
  entry: Entry,
  call: Call,
  claim: EngineClaim,
  cause: Cause.Cause<unknown>,
  isFirst: boolean
): Effect.Effect<void> => {
  if (entry.isLost) return settleUnknown(shared, entry, call, "executed")
  // A mistake of the program that was found before anything left: no reason to keep the key.
  if (isFirst && !claim.hasDeparted && isMistake(cause)) return vacate(shared, entry, call, Exit.failCause(cause))
  const ended = giveUp(shared, entry, call, { ran: true, counted: true })
  // An interruption is of the work: whoever waited has gone, or the layer is closed. It is not one of those who wait now.
  return Cause.hasInterrupts(cause) || hasDefect(cause, (defect) => defect instanceof LeaseOver)
    ? Effect.flatMap(ended, () => settleUnknown(shared, entry, call, "executed"))
    : Effect.map(ended, () => shared.settle(entry, Exit.failCause(reuseOrCause(cause)), "executed"))
}

const hasDefect = (cause: Cause.Cause<unknown>, isIt: (defect: unknown) => boolean): boolean =>
  cause.reasons.some((reason) => Cause.isDieReason(reason) && isIt(reason.defect))

const isMistake = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) =>
    Cause.isDieReason(reason) && (reason.defect instanceof InvalidOption || reason.defect instanceof Misplaced)
  )

const reuseOrCause = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> => {
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason) && reason.defect instanceof DownstreamKeyReused) {
      return Cause.fail(new IdempotencyError({ reason: reason.defect }))
    }
  }
  return cause
}

const stillUnknown: Resolution = { _tag: "StillUnknown" }

/** @internal Asks the resolver. One that fails, hangs or dies does not know; `asked` is false when it was interrupted. */
export const lookUp = (
  shared: Shared,
  entry: Entry,
  call: Call,
  claim: EngineClaim
): Effect.Effect<{ readonly resolution: Resolution; readonly asked: boolean }, never, unknown> => {
  if (call.resolve === undefined) return Effect.succeed({ resolution: stillUnknown, asked: true })
  const { resolve } = call
  const asked = Effect.suspend(() =>
    resolve({
      scope: call.id.scope,
      key: call.id.key,
      attempt: entry.attempt,
      downstreamKey: (phase) => downstreamKey(shared.digest, call.id, phase),
      age: Duration.millis(claim.ageMillis()),
      phases: claim.phases
    })
  )
  return asked.pipe(
    Effect.flatMap((resolution) =>
      isResolution(resolution) ? Effect.succeed(resolution) : Effect.die(new NoResolution())
    ),
    Effect.timeoutOrElse({
      duration: Duration.millis(call.policy.resolveTimeoutMillis),
      orElse: () => Effect.succeed(stillUnknown)
    }),
    Effect.interruptible,
    Effect.map((resolution) => ({ resolution, asked: true })),
    Effect.catchCause((cause) =>
      Effect.as(
        Cause.hasInterruptsOnly(cause) ? Effect.void : reportLookUp(call, entry, cause),
        { resolution: stillUnknown, asked: !Cause.hasInterrupts(cause) }
      )
    )
  )
}

class NoResolution extends Error {
  readonly _tag = "NoResolution"
  override readonly name = "NoResolution"
}

// What is stored as a refusal is final: it has to be one.
const isResolution = (resolution: Resolution): boolean => {
  switch (resolution?._tag) {
    case "Happened":
    case "NeverHappened":
    case "StillUnknown":
      return true
    case "Refused":
      return dispositionOf(resolution.error) === "Refused"
    default:
      return false
  }
}
