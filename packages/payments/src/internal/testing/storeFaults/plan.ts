/**
 * Which requests are struck, and what has been seen.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

/** @internal */
export type Cut = "close" | "halfOpen" | "reset"

/** @internal */
export type Fault =
  | { readonly _tag: "DropReply" | "DropRequest"; readonly cut: Cut }
  | { readonly _tag: "DelayReply" | "DelayRequest"; readonly until: Duration.Input | Effect.Effect<unknown> }

/** @internal */
export interface Request {
  readonly number: number
  readonly connection: number
  readonly text: string
}

/** @internal */
export interface Rule {
  readonly when?: RegExp | ((request: Request) => boolean) | undefined
  readonly nth?: number | undefined
  readonly times?: number | undefined
  readonly fault: Fault
}

// What is remembered of the past.
const requestsMax = 1_000

/** @internal */
export class Plans {
  private rules: Array<{ readonly rule: Rule; seen: number }> = []
  private readonly seen: Array<Request> = []
  private total = 0
  private struckCount = 0
  private readonly waiting = new Set<{ readonly count: number; readonly latch: Latch.Latch }>()

  plan(rules: ReadonlyArray<Rule>): void {
    this.rules = rules.map((rule) => ({ rule, seen: 0 }))
    this.struckCount = 0
  }

  get requests(): ReadonlyArray<Request> {
    return [...this.seen]
  }

  get struck(): number {
    return this.struckCount
  }

  /** What the request meets: each rule counts it, and the first that strikes has it. */
  meet(connection: number, text: string): Fault | undefined {
    const request = { number: ++this.total, connection, text }
    this.seen.push(request)
    if (this.seen.length > requestsMax) this.seen.shift()
    let fault: Fault | undefined
    for (const entry of this.rules) {
      if (!isMet(entry.rule, request)) continue
      entry.seen++
      const { nth = 1, times = 1 } = entry.rule
      if (entry.seen >= nth && entry.seen < nth + times) fault ??= entry.rule.fault
    }
    return fault
  }

  strike(): void {
    this.struckCount++
    for (const each of this.waiting) {
      if (this.struckCount < each.count) continue
      this.waiting.delete(each)
      each.latch.openUnsafe()
    }
  }

  untilStruck(count: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.struckCount >= count) return Effect.void
      const waiting = { count, latch: Latch.makeUnsafe(false) }
      this.waiting.add(waiting)
      return Effect.ensuring(Effect.asVoid(waiting.latch.await), Effect.sync(() => this.waiting.delete(waiting)))
    })
  }
}

const isMet = ({ when }: Rule, request: Request): boolean => {
  if (when === undefined) return true
  if (typeof when === "function") return when(request)
  when.lastIndex = 0
  return when.test(request.text)
}
