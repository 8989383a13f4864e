/**
 * What a step, or its undo, may have sent in earlier tries and processes, and the claim that does not let it leave again
 * where the other side would take it for new.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Departure } from "../stack/claim.ts"
import { OperationClaim } from "../stack/makeClaim.ts"

const keptMax = 10
const phaseLengthMax = 100

/** @internal By the phase of the call. */
export class Departures {
  /** An earlier owner may have sent anything, but for what has been looked up since. */
  private inherited: boolean
  private readonly sent: Array<string>
  private readonly absent: Array<string> = []
  private readonly decisive: Array<string> = []
  /** How long ago something of it can have left at the earliest, and at the latest. */
  readonly ageMillis: () => number
  readonly silenceMillis: () => number

  /** `sent`: the phases that may have left; undefined when nobody knows which. */
  constructor(sent: Iterable<string> | undefined, ageMillis: () => number, silenceMillis: () => number) {
    this.inherited = sent === undefined
    this.sent = sent === undefined ? [] : [...new Set(sent)]
    this.ageMillis = ageMillis
    this.silenceMillis = silenceMillis
  }

  mayHaveLeft(phase: string): boolean {
    return this.sent.includes(phase) || (this.inherited && !this.absent.includes(phase))
  }

  /** What may have left, to be kept; undefined when nobody knows, or it is too much to keep. */
  get kept(): ReadonlyArray<string> | undefined {
    const { sent } = this
    return this.inherited || sent.length > keptMax || sent.some(({ length }) => length > phaseLengthMax)
      ? undefined
      : [...sent]
  }

  /** Whether calls of another phase decide the end too: then one phase does not speak for all. */
  hasBeside(phase: string): boolean {
    return this.decisive.length > (this.decisive.includes(phase) ? 1 : 0)
  }

  /** The calls that decide the end, as far as they are known here. */
  get decisivePhases(): ReadonlyArray<string> {
    return [...this.decisive]
  }

  noteDecisive(phase: string): void {
    add(this.decisive, phase)
  }

  note(phase: string): void {
    add(this.sent, phase)
  }

  /** It did not happen, and will not any more. */
  forget(phase: string): void {
    const place = this.sent.indexOf(phase)
    if (place >= 0) this.sent.splice(place, 1)
    add(this.absent, phase)
  }

  forgetAll(): void {
    this.inherited = false
    this.sent.length = 0
  }
}

// A step makes a call or two: an array is all that they need.
const add = (phases: Array<string>, phase: string): void => {
  if (!phases.includes(phase)) phases.push(phase)
}

/**
 * A call that may have left before was held back, since its gateway does not know the key, or not any more: sent again,
 * it could happen twice.
 */
class NotSentAgain extends Error {
  readonly _tag = "NotSentAgain"
  override readonly name = "NotSentAgain"
  constructor(phase: string) {
    super(`the call "${phase}" may have happened, and its gateway does not recognise the key: look it up first`)
  }
}

/** @internal */
export class StepClaim extends OperationClaim {
  private readonly before: Departures

  constructor(before: Departures, ...args: ConstructorParameters<typeof OperationClaim>) {
    super(...args)
    this.before = before
  }

  override depart(departure: Departure): Effect.Effect<string> {
    return Effect.suspend(() => {
      const { deduplicatesMillis, isBestEffort, phase } = departure
      if (this.before.mayHaveLeft(phase) && !(this.ageMillis() < deduplicatesMillis)) {
        return Effect.die(new NotSentAgain(phase))
      }
      if (isBestEffort !== true) this.before.noteDecisive(phase)
      return super.depart(departure)
    })
  }

  /** Whether the gateway refused a call of this run, and answered all that earlier ones are known to have sent. */
  get isAnswered(): boolean {
    const phases = new Set(this.phases)
    return this.isRefused && this.before.decisivePhases.every((phase) => phases.has(phase))
  }

  override arrive(phase: string, isCertain: boolean | undefined): void {
    // Undefined: it surely was not executed.
    if (isCertain !== undefined) this.before.note(phase)
    super.arrive(phase, isCertain)
  }
}

/** @internal Of the step or undo that is running; undefined elsewhere. */
export const CurrentDepartures = Context.Reference<Departures | undefined>("effect-payments/Saga/Departures", {
  defaultValue: () => undefined
})
