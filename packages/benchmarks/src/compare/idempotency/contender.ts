/** What a comparison of idempotency asks of a contender, in words that both have. */

/** What the gateway has done. A date is in it as in most answers of a gateway. */
export interface Charge {
  readonly id: string
  readonly amount: number
  readonly at: Date
  /** The process that had it executed, or looked it up. */
  readonly by: string
}

export interface Payload {
  readonly amount: number
  readonly currency: string
}

export interface Call {
  readonly operation: string
  readonly key: string | undefined
  readonly payload: Payload
  /** How long a claim holds. */
  readonly leaseMillis: number
  /** Moves the money. Fails with one of the three below, or with anything else: a defect. */
  readonly work: () => Promise<Charge>
}

/** Surely nothing was sent. */
export class NotSent extends Error {}

/** The issuer said no. */
export class Declined extends Error {}

/** There was no answer in time: it may have been charged. */
export class TimedOut extends Error {}

/** What a caller is told: the answer, how the work failed, or why there is neither. */
export type Answer =
  | { readonly _tag: "Answered"; readonly charge: Charge }
  | { readonly _tag: "Declined" | "Defect" | "InFlight" | "KeyMissing" | "NotSent" | "OtherPayload" | "TimedOut" }
  | { readonly _tag: "Failed"; readonly detail: string }

/** What one process makes its calls with. */
export interface Caller {
  readonly call: (call: Call) => Promise<Answer>
  readonly close: () => Promise<void>
}

export interface Contender {
  readonly open: (options: {
    readonly url: string
    /** Where it may look up what became of a call. */
    readonly find: (operation: string, key: string) => Promise<Charge | undefined>
  }) => Promise<Caller>
}
