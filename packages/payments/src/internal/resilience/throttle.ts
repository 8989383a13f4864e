/**
 * Adaptive throttling by the client (Site Reliability Engineering, "Handling Overload"): of the requests to a gateway that
 * turns most of them away, most are not sent.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { GatewayUnavailable, type HasDisposition, make as makeError, type PaymentError } from "../../PaymentError.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { outcomeOf } from "./outcome.ts"
import { durationExpected, InvalidOption, positiveMillis, reject } from "./stage.ts"

/** @internal */
export interface Options {
  readonly name?: string | undefined
  readonly k?: number | undefined
  readonly window?: Duration.Input | undefined
}

/** One of the parts of the window, which is forgotten part by part. */
interface Part {
  readonly index: number
  requests: number
  accepts: number
  /** Requests that are still out. */
  out: number
}

const partsMax = 24

/** @internal */
export class Window {
  readonly "~effect-payments/Throttle" = true as const
  readonly name: string
  readonly k: number
  private readonly partMillis: number
  private readonly parts: Array<Part> = []
  requests = 0
  accepts = 0

  constructor(name: string, k: number, windowMillis: number) {
    this.name = name
    this.k = k
    this.partMillis = windowMillis / partsMax
  }

  /**
   * How likely a request is not sent. Of those that are out the youngest do not count yet: at a start, or after a pause,
   * the first of many that come at once would turn away the rest.
   */
  get rejection(): number {
    const last = this.parts.at(-1)?.index ?? 0
    let requests = this.requests
    for (const { index, out } of this.parts.slice(-2)) if (index >= last - 1) requests -= out
    return Math.max(0, (requests - this.k * this.accepts) / (requests + 1))
  }

  at(millis: number): Part {
    const index = Math.floor(millis / this.partMillis)
    while (this.parts[0] !== undefined && this.parts[0].index <= index - partsMax) {
      const gone = this.parts.shift()
      this.requests -= gone?.requests ?? 0
      this.accepts -= gone?.accepts ?? 0
    }
    const last = this.parts.at(-1)
    if (last !== undefined && last.index >= index) return last
    const part = { index, requests: 0, accepts: 0, out: 0 }
    this.parts.push(part)
    return part
  }

  /** One that is not sent is a request too. */
  start(part: Part): void {
    part.requests++
    this.requests++
  }

  /** `isRequest` is false for one that never reached the gateway. Of a part that is forgotten there is nothing to take. */
  end(part: Part, isRequest: boolean): void {
    part.out--
    if (isRequest || !this.parts.includes(part)) return
    part.requests--
    this.requests--
  }

  accept(part: Part): void {
    part.accepts++
    this.accepts++
  }
}

/** @internal */
export const make = (options: Options): Window | InvalidOption => {
  const { k = 2, name = "throttle" } = options
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "makeThrottle", option, expected })
  const window = positiveMillis(options.window ?? "2 minutes")
  if (!(k >= 1 && k <= 100)) return invalid("k", "from 1 to 100")
  if (window === undefined) return invalid("window", durationExpected)
  return new Window(name, k, window)
}

/** @internal Counted when it starts, so that a gateway that hangs is seen to. */
export const throttle = <A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  window: Window
): Effect.Effect<A, E | PaymentError, R> =>
  Effect.withFiber((fiber): Effect.Effect<A, E | PaymentError, R> => {
    const part = window.at(monotonicMillis(fiber))
    const { rejection } = window
    window.start(part)
    return rejection === 0 ? send(self, fiber, window, part) : Effect.flatMap(
      Random.next,
      (random): Effect.Effect<A, E | PaymentError, R> =>
        random < rejection ? turnedAway : send(self, fiber, window, part)
    )
  })

const turnedAway: Effect.Effect<never, PaymentError> = Effect.suspend(() =>
  reject("throttle", makeError(new GatewayUnavailable({ by: "throttle" })))
)

const send = <A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  window: Window,
  part: Part
): Effect.Effect<A, E, R> => {
  part.out++
  return Effect.onExitPrimitive(self, (exit) => {
    const outcome = outcomeOf(exit, fiber)
    window.end(part, outcome !== "Ignored")
    if (outcome === "Success") window.accept(window.at(monotonicMillis(fiber)))
    return undefined
  })
}
