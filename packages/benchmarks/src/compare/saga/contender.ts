/** What a comparison of sagas asks of a contender, in words that all have. */
import type { Payload } from "./world.ts"

/** How a saga stands. */
export interface End {
  /** `Open`: not ended in the time that it was given. */
  readonly state: "Completed" | "Failed" | "Missing" | "Open" | "Refused"
  /** What the saga failed with, as it is told to whoever asks. */
  readonly error: string | undefined
  /** The undos that have failed, as far as they are told. */
  readonly failedUndos: ReadonlyArray<string>
}

export const end = (state: End["state"], error?: string, failedUndos: ReadonlyArray<string> = []): End => ({
  state,
  error,
  failedUndos
})

export interface Cancellation {
  /** The engine has it. */
  readonly taken: Promise<unknown>
  /** Some answer at once, some when all is undone. */
  readonly answered: Promise<unknown>
}

/** What one process runs its sagas with. */
export interface Caller {
  /** Begins it; refused where its id stands for another payload. */
  readonly start: (payload: Payload) => Promise<"Refused" | "Started">
  /** How it has ended, awaited for so long. */
  readonly ended: (payload: Payload, millis: number) => Promise<End>
  readonly cancel: (payload: Payload) => Cancellation
  /** What an operator does about an undo that has failed. */
  readonly resume: (payload: Payload) => Promise<void>
  readonly close: () => Promise<void>
}

export interface Place {
  /** A file of its own. */
  readonly file: string
  /** Of a Postgres. */
  readonly url: string
  readonly executor: string
  readonly version: string
  /** Its saga has one more step at the end, `notify`. */
  readonly isExtended: boolean
}

export interface Contender {
  readonly name: string
  readonly open: (place: Place) => Promise<Caller>
}
