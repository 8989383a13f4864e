/**
 * A client of an external API: the second stack to copy.
 *
 * It asks for exchange rates. Asking moves no money, so `Idempotency.readOnly` stands where `idempotent` stands in
 * `charge.ts`: the same stages and no store. It refuses a call that pays, at compile time.
 */
import { Context, Duration, Effect, Layer, Schema, Stream } from "effect"
import { Cached, Idempotency, type Money, PaymentError, Resilience } from "effect-payments"
import { HttpClient, type HttpClientError, HttpClientResponse } from "effect/http"

/** What one unit of `base` is worth in other currencies, as decimals that `Money.convert` takes. */
const Rates = Schema.Struct({
  base: Schema.String,
  rates: Schema.Record(Schema.String, Schema.String.check(Schema.isPattern(/^[0-9]{1,9}\.[0-9]{1,9}$/)))
})

export class ExchangeRates extends Context.Service<ExchangeRates, {
  readonly get: (base: Money.Currency) => Effect.Effect<typeof Rates.Type, PaymentError.PaymentError>
}>()("@effect-payments/examples/ExchangeRates") {}

export const make = Effect.fnUntraced(function*(baseUrl: string) {
  const client = yield* HttpClient.HttpClient
  const fetchRates = (base: Money.Currency) =>
    client.get(`${baseUrl}/v1/rates/${base}`).pipe(
      Effect.flatMap(HttpClientResponse.filterStatusOk),
      // The stages ask one thing of an error: what is known about the call.
      Effect.mapError(reasonOf),
      Effect.flatMap(readRates),
      Effect.mapError(PaymentError.make),
      // An attempt that hangs ends.
      Resilience.timeout("2 seconds"),
      // Each attempt counts towards the quota of the API.
      Resilience.rateLimit({ key: "rates", limit: 100, window: "1 minute" }),
      // What may be asked again is, with growing pauses, or after the pause that the API asks for.
      Resilience.retry({ attempts: 3, base: "1 second", factor: 2 }),
      // An API that is down is left alone for a while.
      Resilience.circuitBreaker({ name: "rates", failures: 5, openFor: "60 seconds" }),
      // No side effect: asking twice costs nothing.
      Idempotency.readOnly,
      Idempotency.operation("exchangeRates")
    )
  // Outermost: a hit uses up no quota and works while the circuit is open. Callers who come at once share one request.
  // A failure is not kept: the next caller asks again.
  const { get } = yield* Cached.make(fetchRates, {
    name: "rates",
    success: Rates,
    error: PaymentError.PaymentError,
    ttl: "5 minutes",
    capacity: 200
  })
  return ExchangeRates.of({ get })
})

export const layer = (baseUrl: string) => Layer.effect(ExchangeRates, make(baseUrl))

/** Far above any answer, far below what would hurt. */
const answerMaxBytes = 64 * 1024
const decodeRates = Schema.decodeEffect(Schema.fromJsonString(Rates))

const readRates = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<typeof Rates.Type, PaymentError.Reason> =>
  response.stream.pipe(
    Stream.mapError(() => unreadable),
    Stream.limitBytes(answerMaxBytes, () => Stream.fail(unreadable)),
    Stream.decodeText,
    Stream.mkString,
    Effect.flatMap(decodeRates),
    Effect.mapError(() => unreadable)
  )

const unreadable = new PaymentError.GatewayFault({})

const reasonOf = ({ response }: HttpClientError.HttpClientError): PaymentError.Reason => {
  if (response === undefined) return new PaymentError.NetworkError({ sent: true })
  const { headers, status } = response
  if (status === 429) return rateLimited(headers["retry-after"])
  return status >= 400 && status < 500
    ? new PaymentError.InvalidRequest({ code: `status_${status}` })
    : new PaymentError.GatewayFault({ status })
}

const rateLimited = (retryAfter = ""): PaymentError.Reason =>
  new PaymentError.RateLimited({
    by: "gateway",
    ...(/^[0-9]{1,5}$/.test(retryAfter) ? { retryAfter: Duration.seconds(Number(retryAfter)) } : {})
  })
