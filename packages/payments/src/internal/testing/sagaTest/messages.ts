/**
 * Messages from outside: when each of them comes, whether the log has kept it, and what its sender was told.
 *
 * Nothing of a run depends on a message before the run looks for it. So one that comes early comes before there is a run,
 * or right before the run comes to its step; one that comes between a crash and the next owner is as one of these.
 *
 * @internal
 */
import type { Alternative } from "./choices.ts"

/** @internal A message of the world, as it was given. */
export interface Given {
  readonly step: string
  readonly event: string
  /** The value, from the results that the saga has at its step where it is made from them. */
  readonly valueOf: (results: Readonly<Record<string, unknown>>) => unknown
  /** It does not come before its step. */
  readonly isFromResults: boolean
}

/** @internal For how long a step waits; Infinity is for ever. */
export interface Awaited {
  readonly name: string
  readonly millis: number
  /** Undefined: no message ends it. */
  readonly isArrival: boolean | undefined
}

/** @internal When it comes otherwise than to the process that waits for it, once. */
export const plan = {
  beforeRun: "comes before the run",
  beforeWait: "comes before the wait",
  twice: "comes twice",
  elsewhere: "comes elsewhere",
  last: "comes at the last moment",
  late: "comes a second too late",
  decided: "comes as it is decided",
  behind: "comes behind the deadline"
} as const

const { beforeRun, beforeWait, behind, decided, elsewhere, last, late, twice } = plan

const early: ReadonlyArray<string> = [beforeRun, beforeWait]

/** @internal */
export class Message {
  readonly given: Given
  readonly index: number
  plan: string | undefined = undefined
  /** Its place among those that the log has kept; undefined until then. */
  kept: { readonly place: number; readonly at: number; readonly value: string } | undefined = undefined
  /** Its sender has an answer. */
  isConfirmed = false
  /** Its sender was told that it is new. */
  isNews = false

  constructor(given: Given, index: number) {
    this.given = given
    this.index = index
  }

  get name(): string {
    return `${this.given.event} of ${this.given.step}`
  }
}

/** @internal How the waits of a run have ended: by the message of this number, or by their time. */
export type Taken = ReadonlyMap<string, number | "deadline">

/** @internal */
export class Messages {
  readonly all: ReadonlyArray<Message>
  readonly awaited: ReadonlyArray<Awaited>
  private places = 0

  constructor(given: ReadonlyArray<Given>, awaited: ReadonlyArray<Awaited>) {
    this.all = given.map((one, index) => new Message(one, index))
    this.awaited = awaited
  }

  awaitedAt(step: string): Awaited | undefined {
    return this.awaited.find(({ name }) => name === step)
  }

  /** How else it can come. */
  alternativesOf({ given: { isFromResults, step } }: Message): ReadonlyArray<Alternative> {
    const isEndless = this.awaitedAt(step)?.millis === Number.POSITIVE_INFINITY
    return [
      ...isFromResults ? [] : early,
      twice,
      elsewhere,
      ...isEndless ? [] : [behind, last, late, decided]
    ].map((name) => ({ name, cost: "fault" }))
  }

  /** Those that are to come in this way and have not. */
  due(how: string | undefined, step?: string): ReadonlyArray<Message> {
    return this.all.filter(({ given, kept, plan }) =>
      plan === how && kept === undefined && (step === undefined || given.step === step)
    )
  }

  /** Those that come to whoever waits for this step, the first one first. */
  next(step: string): Message | undefined {
    return this.all.find(({ given, kept, plan }) =>
      given.step === step && kept === undefined && (plan === undefined || plan === twice || plan === elsewhere)
    )
  }

  find(step: string, event: string): Message | undefined {
    return this.all.find(({ given }) => given.step === step && given.event === event)
  }

  keep(step: string, event: string, value: string, at: number): void {
    const message = this.find(step, event)
    if (message !== undefined) message.kept ??= { place: this.places++, at, value }
  }

  /** The first one that the log has kept for the step, but for those that the run has passed over. */
  firstOf(step: string, ignored: ReadonlyArray<string>): Message | undefined {
    return this.all
      .filter(({ given, kept }) => given.step === step && kept !== undefined && !ignored.includes(given.event))
      .sort((a, b) => (a.kept?.place ?? 0) - (b.kept?.place ?? 0))[0]
  }

  /** How they come in a run whose waits end so, and nothing else happens. */
  planFor(taken: Taken): ReadonlyArray<string | undefined> {
    return this.all.map(({ given: { isFromResults, step }, index }) => {
      const end = taken.get(step)
      if (end === "deadline") return behind
      return end === index && !isFromResults ? beforeRun : undefined
    })
  }

  /** What the future depends on. */
  get fingerprint(): string {
    return this.all.map(({ isConfirmed, isNews, kept, plan }) => [plan, kept?.place, isConfirmed, isNews].join(":"))
      .join("&")
  }
}
