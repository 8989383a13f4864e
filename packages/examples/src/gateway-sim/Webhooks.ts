/**
 * Events about what the gateway did, signed and sent to the endpoints that asked for them.
 *
 * The header is `sim-signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 of `SECONDS.BODY` under the endpoint's
 * secret. A delivery that is not answered with 2xx is tried 5 times in all, 200 ms to 1.6 s apart, then given up.
 */
import * as Clock from "effect/Clock"
import * as Mac from "effect/crypto/Mac"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type { Endpoint, Event, WebhookStats } from "./Wire.ts"

const endpointsMax = 10
const queueMax = 10_000
const keptMax = 10_000
const workers = 4
const answerWithin = Duration.seconds(5)
const backoff = Schedule.exponential("200 millis")
const retries = 4

interface Delivery {
  readonly url: string
  readonly secret: string
  readonly body: string
}

export interface Webhooks {
  /** False: there are too many endpoints. */
  readonly register: (endpoint: typeof Endpoint.Type) => boolean
  readonly emit: (type: string, data: Event["data"]) => Effect.Effect<void>
  /** Sends an event again. False: it is unknown, or too old. */
  readonly redeliver: (id: string) => Effect.Effect<boolean>
  readonly stats: () => typeof WebhookStats.Type
}

const encoder = new TextEncoder()

export const make = Effect.gen(function*() {
  const queue = yield* Queue.dropping<Delivery>(queueMax)
  const endpoints: Array<typeof Endpoint.Type> = []
  const kept = new Map<string, string>()
  const counts = { pending: 0, delivered: 0, failedAttempts: 0, givenUp: 0, dropped: 0 }
  let events = 0
  yield* work(queue, counts)

  const send = (body: string): Effect.Effect<void> =>
    Effect.sync(() => {
      for (const { deliveries = 1, secret, url } of endpoints) {
        for (let i = 0; i < deliveries; i++) {
          if (Queue.offerUnsafe(queue, { url, secret, body })) counts.pending++
          else counts.dropped++
        }
      }
    })

  const webhooks: Webhooks = {
    register: (endpoint) => endpoints.length < endpointsMax && endpoints.push(endpoint) > 0,
    emit: Effect.fnUntraced(function*(type, data) {
      const id = `evt_${String(++events).padStart(8, "0")}`
      const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const body = JSON.stringify({ id, type, created, data } satisfies Event)
      kept.set(id, body)
      for (const oldest of kept.keys()) {
        if (kept.size <= keptMax) break
        kept.delete(oldest)
      }
      yield* send(body)
    }),
    redeliver: (id) =>
      Effect.suspend(() => {
        const body = kept.get(id)
        return body === undefined ? Effect.succeed(false) : Effect.as(send(body), true)
      }),
    stats: () => ({ ...counts })
  }
  return webhooks
})

const work = Effect.fnUntraced(function*(
  queue: Queue.Dequeue<Delivery>,
  counts: { pending: number; delivered: number; failedAttempts: number; givenUp: number }
) {
  const mac = yield* Mac.Mac
  const worker = Effect.forever(Effect.flatMap(Queue.take(queue), (delivery) =>
    attempt(mac, delivery).pipe(
      Effect.tapError(() => Effect.sync(() => counts.failedAttempts++)),
      Effect.retry({ schedule: backoff, times: retries }),
      Effect.match({ onSuccess: () => void counts.delivered++, onFailure: () => void counts.givenUp++ }),
      Effect.ensuring(Effect.sync(() => void counts.pending--))
    )))
  yield* Effect.forkScoped(
    Effect.all(Array.from({ length: workers }, () => worker), { concurrency: workers }).pipe(
      Effect.provide(FetchHttpClient.layer),
      // A redirect would lead away from this machine.
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "error" })
    )
  )
})

// Signed anew for each attempt: the receiver refuses a timestamp that is too old.
const attempt = Effect.fnUntraced(function*(mac: Mac.Mac["Service"], { body, secret, url }: Delivery) {
  const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  const key = yield* Mac.key(Mac.hmacSha256, encoder.encode(secret))
  const tag = yield* mac.sign(key, encoder.encode(`${seconds}.${body}`))
  const request = HttpClientRequest.post(url).pipe(
    HttpClientRequest.bodyText(body, "application/json"),
    HttpClientRequest.setHeader("sim-signature", `t=${seconds},v1=${Hex.encode(tag)}`)
  )
  yield* Effect.flatMap(HttpClient.execute(request), HttpClientResponse.filterStatusOk)
}, Effect.timeout(answerWithin))
