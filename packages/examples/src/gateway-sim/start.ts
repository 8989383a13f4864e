/**
 * Starts the simulator as a process of its own, and ends it with the scope.
 */
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import * as Child from "../child.ts"
import { type ChallengeAnswer, type Endpoint, Ledger, type Planned, WebhookStats } from "./Wire.ts"

export interface Options {
  readonly seed?: number
  readonly dedup?: "on" | "off"
  readonly faultRate?: number
  readonly latencyMillis?: number
  readonly operationsMax?: number
  readonly apiKey?: string
}

/** `detail` is a word on the cause, or the end of what the process wrote on standard error. */
export class GatewaySimError extends Schema.TaggedError<GatewaySimError>()("GatewaySimError", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `gateway simulator: ${this.operation} failed (${this.detail})`
  }
}

/** The process, and the hand on it. */
export class GatewaySim extends Context.Service<GatewaySim, {
  readonly baseUrl: string
  readonly port: number
  readonly pid: number
  readonly ledger: Effect.Effect<Ledger, GatewaySimError>
  readonly charges: Effect.Effect<number, GatewaySimError>
  /** What the next requests meet; see `Faults.ts` for the words. */
  readonly plan: (planned: typeof Planned.Type) => Effect.Effect<void, GatewaySimError>
  /** Forgets all operations, keys and plans. */
  readonly reset: Effect.Effect<void, GatewaySimError>
  readonly registerWebhook: (endpoint: typeof Endpoint.Type) => Effect.Effect<void, GatewaySimError>
  /** What the payer makes of a challenge. */
  readonly answerChallenge: (answered: typeof ChallengeAnswer.Type) => Effect.Effect<void, GatewaySimError>
  readonly redeliverWebhook: (id: string) => Effect.Effect<void, GatewaySimError>
  readonly webhookStats: Effect.Effect<typeof WebhookStats.Type, GatewaySimError>
  /** Ends the process now, before the scope does. Its port refuses connections afterwards. */
  readonly stop: Effect.Effect<void>
}>()("@effect-payments/examples/GatewaySim") {}

const answerWithinMillis = 10_000

/** Starts it on a free port of 127.0.0.1 and waits until it listens. */
export const start = (options: Options = {}): Effect.Effect<GatewaySim["Service"], GatewaySimError, Scope.Scope> =>
  Effect.gen(function*() {
    const { pid, port, stop } = yield* Child.start(new URL("main.ts", import.meta.url), argumentsOf(options)).pipe(
      Effect.mapError(({ detail }) => new GatewaySimError({ operation: "start", detail }))
    )
    const baseUrl = `http://127.0.0.1:${port}`
    const ledger = get(baseUrl, "/ledger", Ledger)
    return GatewaySim.of({
      baseUrl,
      port,
      pid,
      ledger,
      charges: Effect.map(ledger, ({ charges }) => charges),
      plan: (planned) => post(baseUrl, "/admin/plan", planned),
      reset: post(baseUrl, "/admin/reset", {}),
      registerWebhook: (endpoint) => post(baseUrl, "/admin/webhooks", endpoint),
      answerChallenge: (answered) => post(baseUrl, "/admin/challenges", answered),
      redeliverWebhook: (id) => post(baseUrl, "/admin/webhooks/redeliver", { id }),
      webhookStats: get(baseUrl, "/admin/webhooks", WebhookStats),
      stop
    })
  })

export const layer = (options?: Options): Layer.Layer<GatewaySim, GatewaySimError> =>
  Layer.effect(GatewaySim, start(options))

const argumentsOf = (options: Options): ReadonlyArray<string> => {
  const flags: Record<string, string | number | undefined> = {
    port: 0,
    seed: options.seed,
    dedup: options.dedup,
    "fault-rate": options.faultRate,
    latency: options.latencyMillis,
    "operations-max": options.operationsMax,
    "api-key": options.apiKey
  }
  return [
    ...Object.entries(flags).flatMap(([name, value]) => value === undefined ? [] : [`--${name}`, String(value)]),
    // The child ends when this process does, also when it is killed and no finalizer runs.
    "--until-stdin-closes"
  ]
}

const send = (baseUrl: string, path: string, init: RequestInit) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${baseUrl}${path}`, {
        ...init,
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMillis)])
      })
      return { status: response.status, text: await response.text() }
    },
    catch: () => new GatewaySimError({ operation: path, detail: "no answer" })
  }).pipe(
    Effect.filterOrFail(
      ({ status }) => status < 300,
      ({ status, text }) => new GatewaySimError({ operation: path, detail: `${status} ${text.slice(0, 200)}` })
    )
  )

const get = <A>(baseUrl: string, path: string, schema: Schema.Codec<A, unknown>): Effect.Effect<A, GatewaySimError> =>
  Effect.flatMap(send(baseUrl, path, {}), ({ text }) =>
    Effect.mapError(
      Schema.decodeEffect(Schema.fromJsonString(schema))(text),
      () => new GatewaySimError({ operation: path, detail: "unreadable answer" })
    ))

const post = (baseUrl: string, path: string, body: unknown): Effect.Effect<void, GatewaySimError> =>
  Effect.asVoid(send(baseUrl, path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  }))
