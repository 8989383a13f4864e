/**
 * How a service misbehaves, as text: `refuse;times=2, delay=300`. The form is that of the gateway simulator's plans.
 *
 * A plan is for one operation; each fault meets one request, or `times` of them, in order, until the plans are cleared.
 *
 * | fault | the service acts | the client sees |
 * |---|---|---|
 * | `none` | yes | the answer |
 * | `delay=MS` | after MS | the answer |
 * | `refuse` | says no, finally under the key | 409; 500 where the operation has no way to say no |
 * | `fail-before` | no | 503 `Unavailable`: a promise that nothing was done |
 * | `fault-500-before`, `fault-500-after` | no, yes | 500 |
 * | `hang-after` | yes | nothing |
 * | `lost-reply` | yes | the connection closes |
 * | `crash-before`, `crash-after` | the process is killed right before its commit, right after it | the connection closes |
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Context, Effect, Layer, Result } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { ServerResponse } from "node:http"
import { parseWith } from "../gateway-sim/Faults.ts"

const names = [
  "none",
  "refuse",
  "fail-before",
  "fault-500-before",
  "fault-500-after",
  "hang-after",
  "lost-reply",
  "crash-before",
  "crash-after"
] as const

export type Fault =
  | { readonly name: (typeof names)[number] }
  | { readonly name: "delay"; readonly millis: number }

const none: Fault = { name: "none" }
const plansMax = 100

const parseFault = (text: string): Result.Result<Fault, string> => {
  const name = names.find((name) => name === text)
  if (name !== undefined) return Result.succeed({ name })
  const millis = /^delay=([0-9]{1,5})$/.exec(text)?.[1]
  return millis === undefined ? Result.fail("unknown fault") : Result.succeed({ name: "delay", millis: Number(millis) })
}

export class Faults extends Context.Service<Faults, {
  readonly plan: (operation: string, plan: string) => Result.Result<void, string>
  readonly clear: () => void
  /** What the next request of the operation meets. */
  readonly take: (operation: string) => Fault
}>()("@effect-payments/examples/Faults") {}

export const layer = Layer.sync(Faults, () => {
  const plans = new Map<string, Array<Fault>>()
  return {
    plan: (operation, text) =>
      Result.flatMap(parseWith(text, parseFault), (faults) => {
        const before = plans.get(operation) ?? []
        if (plans.size >= plansMax || before.length > 0) return Result.fail("clear the plans before")
        plans.set(operation, [...faults])
        return Result.void
      }),
    clear: () => plans.clear(),
    take: (operation) => plans.get(operation)?.shift() ?? none
  }
})

/** What this request meets. */
export const CurrentFault = Context.Reference<Fault>("@effect-payments/examples/CurrentFault", {
  defaultValue: () => none
})

/** What is met outside of the operation: before it is asked for, or on the way back. */
export const middleware = HttpRouter.middleware(
  Effect.map(
    Faults,
    (faults) => (handler) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const fault = request.method === "POST" ? faults.take(request.url.slice(1)) : none
        const broken = Effect.succeed(HttpServerResponse.empty({ status: 500 }))
        if (fault.name === "fault-500-before") return broken
        const handled = Effect.provideService(handler, CurrentFault, fault)
        switch (fault.name) {
          case "fault-500-after":
            return Effect.andThen(handled, broken)
          case "hang-after":
            return Effect.andThen(handled, silence)
          case "lost-reply":
            return Effect.andThen(handled, cut(request))
          default:
            return handled
        }
      })
  ),
  { global: true }
)

/** The router runs its middlewares uninterruptibly. This ends when the client is gone, or the server. */
const silence = Effect.interruptible(Effect.never)

/** Takes the connection away. */
const cut = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<never> =>
  Effect.suspend(() => {
    const response = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
    response.socket?.destroy()
    return silence
  })

/** The end of this process: no handler, no finalizer. */
export const crash: Effect.Effect<never> = Effect.suspend(() => {
  process.kill(process.pid, "SIGKILL")
  return Effect.never
})
