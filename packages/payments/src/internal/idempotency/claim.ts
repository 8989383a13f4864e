/**
 * The claim of an idempotent operation: it lets nothing leave that must not.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Departure } from "../stack/claim.ts"
import { OperationClaim } from "../stack/makeClaim.ts"
import type { Call, Shared } from "./call.ts"
import type { Entry } from "./entry.ts"

/** @internal Whether a transaction of an idempotent operation is open around. */
export const InOperationTransaction = Context.Reference<boolean>("effect-payments/Idempotency/InTransaction", {
  defaultValue: () => false
})

/** @internal A call was held back since the operation that it belongs to is over, or another owner may have taken over. */
export class LeaseOver extends Error {
  readonly _tag = "LeaseOver"
  override readonly name = "LeaseOver"
  constructor(phase: string) {
    super(`the call "${phase}" was not sent: its operation has ended, or has lost its lease`)
  }
}

/** @internal A call was held back by a mistake of the program. */
export class Misplaced extends Error {
  readonly _tag = "Misplaced"
  override readonly name = "Misplaced"
}

const inTransaction =
  "a gateway call inside transactional: true was not sent: a rollback would forget that it has left. Use two operations"

/** @internal */
export class EngineClaim extends OperationClaim {
  private readonly entry: Entry
  private readonly shared: Shared
  private readonly listed: ReadonlyArray<string> | undefined

  constructor(shared: Shared, entry: Entry, call: Call, ageMillis: number) {
    const claimedAt = entry.confirmedAt
    super(
      call.id,
      entry,
      shared.digest,
      () => ageMillis + shared.leases.nowMillis() - claimedAt,
      call.policy.settleMillis
    )
    this.entry = entry
    this.shared = shared
    this.listed = call.resolve?.phases
  }

  override depart(departure: Departure): Effect.Effect<string> {
    return Effect.withFiber((fiber) => {
      // The types say so too, unless they are cast away.
      if (fiber.getRef(InOperationTransaction)) return Effect.die(new Misplaced(inTransaction))
      const { isBestEffort, phase } = departure
      if (this.listed !== undefined && isBestEffort !== true && !this.listed.includes(phase)) {
        return Effect.die(new Misplaced(unlisted(phase, this.listed)))
      }
      // An owner that was frozen, or cannot be interrupted, finds out here at the latest.
      if (this.entry.settled !== undefined || !this.shared.leases.isLive(this.entry)) {
        return Effect.die(new LeaseOver(phase))
      }
      return super.depart(departure)
    })
  }
}

const unlisted = (phase: string, listed: ReadonlyArray<string>): string =>
  `the call "${phase}" was not sent, since its end could not be looked up: add it to the phases of resolveByLookup, which are ${
    listed.map((phase) => `"${phase}"`).join(", ")
  }`
