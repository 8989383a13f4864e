/**
 * An adapter from `PaymentGateway` to a gateway that speaks HTTP: the one in `gateway-sim`. Copy it to write your own.
 *
 * What an adapter has to get right is one question per failure: did it happen? There are three answers and no fourth.
 *
 * - `NotExecuted` is a promise, made only on proof: no connection was made, or the gateway itself says so.
 * - `Refused` is an answer, taken only from a body that is the gateway's own. A proxy answers 4xx too.
 * - `Unknown` is all the rest: a broken connection, a 5xx, an answer that cannot be read, an amount nobody asked for.
 *
 * It retries nothing and has no timeout: `Resilience` does both, and knows what a retry may cost. Do not put a retrying
 * or redirect-following `HttpClient` under it. No token, key or body of an answer ends up in an error.
 */
import { Clock, Config, Duration, Effect, Layer, Option, type Redacted, Result, Schema, Stream } from "effect"
import { Money, PaymentError, PaymentGateway } from "effect-payments"
import {
  FetchHttpClient,
  type Headers,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse
} from "effect/http"

/**
 * | option | default | |
 * |---|---|---|
 * | `baseUrl` | | where the gateway listens |
 * | `apiKey` | none | sent as a bearer token |
 * | `name` | `"sim"` | for spans and metrics, and in the transaction ids of a failover |
 * | `deduplicates` | `"24 hours"` | for how long the gateway knows a key; take it from the gateway's manual |
 */
export interface Options {
  readonly baseUrl: string | URL
  readonly apiKey?: Redacted.Redacted | undefined
  readonly name?: string
  readonly deduplicates?: Duration.Input | false
}

/** The gateway counts minor units as ISO 4217 does. One that counts otherwise says so here: `{ ISK: 2 }`. */
const exponents: Money.Exponents = {}

/** Far above any answer of this gateway, far below what would hurt. */
const answerMaxBytes = 64 * 1024
const retryAfterMaxSeconds = 86_400

export const make = Effect.fnUntraced(function*(options: Options) {
  const client = yield* HttpClient.HttpClient
  const baseUrl = String(options.baseUrl).replace(/\/+$/, "")
  const prepare = (request: HttpClientRequest.HttpClientRequest) =>
    request.pipe(
      HttpClientRequest.prependUrl(baseUrl),
      HttpClientRequest.acceptJson,
      options.apiKey === undefined ? (same) => same : HttpClientRequest.bearerToken(options.apiKey)
    )
  const ask = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<Answer, PaymentError.PaymentError> =>
    client.execute(prepare(request)).pipe(
      Effect.mapError((error) => PaymentError.make(transportReason(error))),
      Effect.flatMap(readAnswer),
      // `fetch` would follow a redirect and send the payment elsewhere, as a GET at that.
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
    )
  const move = Effect.fnUntraced(function*(path: string, expected: Expected, body: object, downstreamKey: string) {
    const request = HttpClientRequest.post(path).pipe(
      // The key is the same on each attempt: it is all that keeps a repeated request from being a second payment.
      HttpClientRequest.setHeader("idempotency-key", downstreamKey),
      HttpClientRequest.bodyJsonUnsafe(body)
    )
    const answer = yield* ask(request)
    return answer.status === 200 || answer.status === 201
      ? yield* transactionOf(decodeTransaction(answer.text), answer.status, expected)
      : yield* Effect.flatMap(reasonOf(answer), PaymentError.make)
  })
  const id = encodeURIComponent
  return PaymentGateway.make({
    name: options.name ?? "sim",
    deduplicates: options.deduplicates ?? "24 hours",
    lookup: true,
    partialCapture: true,
    partialRefund: true,
    exponents
  }, {
    authorize: Effect.fnUntraced(function*({ capture, merchantReference, money, token }, downstreamKey) {
      const amount = yield* toWire(money)
      const body = { token, ...amount, capture: capture ?? false, merchantReference }
      return yield* move("/v1/authorizations", { kind: "authorize", money }, body, downstreamKey)
    }),
    capture: Effect.fnUntraced(function*({ money, transactionId }, downstreamKey) {
      const body = money === undefined ? {} : yield* toWire(money)
      const path = `/v1/authorizations/${id(transactionId)}/capture`
      return yield* move(path, { kind: "capture", money }, body, downstreamKey)
    }),
    void: ({ transactionId }, downstreamKey) =>
      move(`/v1/authorizations/${id(transactionId)}/void`, { kind: "void", money: undefined }, {}, downstreamKey),
    refund: Effect.fnUntraced(function*({ money, reason, transactionId }, downstreamKey) {
      const body = { ...money === undefined ? {} : yield* toWire(money), reason }
      const path = `/v1/transactions/${id(transactionId)}/refunds`
      return yield* move(path, { kind: "refund", money }, body, downstreamKey)
    }),
    lookup: (downstreamKey) =>
      Effect.flatMap(ask(HttpClientRequest.get(`/v1/operations/by-key/${id(downstreamKey)}`)), lookupOf)
  })
})

export const layer = (options: Options): Layer.Layer<PaymentGateway.PaymentGateway, never, HttpClient.HttpClient> =>
  Layer.effect(PaymentGateway.PaymentGateway, make(options))

/** Reads `SIM_GATEWAY_URL` and, where there is one, `SIM_GATEWAY_API_KEY`. */
export const layerConfig: Layer.Layer<
  PaymentGateway.PaymentGateway,
  Config.ConfigError,
  HttpClient.HttpClient
> = Layer.effect(
  PaymentGateway.PaymentGateway,
  Config.all({
    baseUrl: Config.URL("SIM_GATEWAY_URL"),
    apiKey: Config.option(Config.Redacted("SIM_GATEWAY_API_KEY"))
  }).pipe(Effect.flatMap(({ apiKey, baseUrl }) => make({ baseUrl, apiKey: Option.getOrUndefined(apiKey) })))
)

// -- what goes out

const toWire = (money: Money.Money): Effect.Effect<Amount, PaymentError.PaymentError> => {
  const minor = Money.toMinorUnits(money, exponents)
  const code = Result.isFailure(minor)
    ? "amount_not_representable"
    : minor.success > 0n
    ? undefined
    : "amount_not_positive"
  // Known before anything is sent: the gateway would refuse it too.
  return code === undefined && Result.isSuccess(minor)
    ? Effect.succeed({ amountMinor: String(minor.success), currency: money.currency })
    : PaymentError.make(new PaymentError.InvalidRequest({ code: code ?? "amount_invalid", field: "money" }))
}

interface Amount {
  readonly amountMinor: string
  readonly currency: string
}

// -- what comes back

/** `text` is undefined where the body broke off, is too large, or is no UTF-8. */
interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string | undefined
}

const readAnswer = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Answer> =>
  response.stream.pipe(
    Stream.mapError(() => "unreadable" as const),
    Stream.limitBytes(answerMaxBytes, () => Stream.fail("unreadable" as const)),
    Stream.mkUint8Array,
    Effect.flatMap((bytes) => Effect.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))),
    Effect.orElseSucceed(() => undefined),
    Effect.map((text) => ({ status: response.status, headers: response.headers, text }))
  )

const Wire = Schema.Struct({
  id: PaymentGateway.TransactionId,
  kind: Schema.Literals(["authorize", "capture", "void", "refund"]),
  status: PaymentGateway.Status,
  amountMinor: Schema.String.check(Schema.isPattern(/^[0-9]{1,18}$/)),
  currency: Schema.String,
  parent: Schema.optionalKey(PaymentGateway.TransactionId),
  // Gateways add values to these lists. A new one must not turn a payment that happened into one that cannot be read.
  challenge: Schema.optionalKey(PaymentError.Challenge),
  avs: Schema.optionalKey(Schema.Unknown),
  cvv: Schema.optionalKey(Schema.Unknown)
})

const WireError = Schema.Struct({
  type: Schema.String,
  code: Schema.String,
  field: Schema.optionalKey(Schema.String),
  processed: Schema.optionalKey(Schema.Boolean),
  challenge: Schema.optionalKey(PaymentError.Challenge)
})

const WireLookup = Schema.Union([
  Schema.Struct({ state: Schema.Literal("in_progress") }),
  Schema.Struct({ state: Schema.Literal("completed"), transaction: Wire }),
  Schema.Struct({ state: Schema.Literal("refused"), status: Schema.Int, error: WireError })
])

const decodeTransaction = (text: string | undefined) => Schema.decodeUnknownOption(Schema.fromJsonString(Wire))(text)
const decodeError = (text: string | undefined) =>
  Option.map(
    Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ error: WireError })))(text),
    ({ error }) => error
  )
const decodeLookup = (text: string | undefined) => Schema.decodeUnknownOption(Schema.fromJsonString(WireLookup))(text)
const avsOf = Schema.decodeUnknownOption(PaymentGateway.AvsResult)
const cvvOf = Schema.decodeUnknownOption(PaymentGateway.CvvResult)

/** What was asked for. Without `money` the gateway says how much it was. */
interface Expected {
  readonly kind: PaymentGateway.Transaction["kind"] | undefined
  readonly money: Money.Money | undefined
}

const transactionOf = (
  decoded: Option.Option<typeof Wire.Type>,
  status: number,
  expected: Expected
): Effect.Effect<PaymentGateway.Transaction, PaymentError.PaymentError> => {
  const transaction = Option.flatMap(decoded, ({ amountMinor, avs, currency, cvv, ...rest }) =>
    Option.map(
      Result.getSuccess(Money.fromMinorUnitsChecked(currency, BigInt(amountMinor), exponents)),
      (money) =>
        new PaymentGateway.Transaction({
          ...rest,
          money,
          ...Option.match(avsOf(avs), { onNone: () => ({}), onSome: (avs) => ({ avs }) }),
          ...Option.match(cvvOf(cvv), { onNone: () => ({}), onSome: (cvv) => ({ cvv }) })
        })
    ))
  // Something has happened, but not what was asked for: nobody may take that for the answer.
  return Option.isSome(transaction) && isExpected(transaction.value, expected)
    ? Effect.succeed(transaction.value)
    : PaymentError.make(new PaymentError.GatewayFault({ status }))
}

const isExpected = (transaction: PaymentGateway.Transaction, { kind, money }: Expected): boolean =>
  (kind === undefined || transaction.kind === kind) &&
  (money === undefined || Money.Equivalence(transaction.money, money))

const lookupOf = Effect.fnUntraced(
  function*(answer: Answer): Effect.fn.Return<PaymentGateway.Lookup, PaymentError.PaymentError> {
    // Not any 404: a wrong path or a proxy must not pass for "it never happened".
    const error = Option.getOrUndefined(decodeError(answer.text))
    if (answer.status === 404 && error?.code === "unknown_key") return PaymentGateway.neverHappened
    if (answer.status !== 200) return yield* Effect.flatMap(reasonOf(answer), PaymentError.make)
    const found = Option.getOrUndefined(decodeLookup(answer.text))
    switch (found?.state) {
      case "completed": {
        const expected = { kind: undefined, money: undefined }
        return PaymentGateway.happened(yield* transactionOf(Option.some(found.transaction), 200, expected))
      }
      case "refused": {
        const refusal = PaymentError.make(refusalOf(found.status, found.error))
        return refusal.disposition === "Refused" ? PaymentGateway.refused(refusal) : PaymentGateway.stillUnknown
      }
      case "in_progress":
        return PaymentGateway.stillUnknown
      default:
        return yield* PaymentError.make(new PaymentError.GatewayFault({ status: answer.status }))
    }
  }
)

// -- what went wrong, where there is an answer

const reasonOf = Effect.fnUntraced(function*(answer: Answer): Effect.fn.Return<PaymentError.Reason> {
  const { headers, status, text } = answer
  const now = yield* Clock.currentTimeMillis
  const retryAfter = retryAfterOf(headers["retry-after"], now)
  const wait = retryAfter === undefined ? {} : { retryAfter }
  // Whoever counts requests, gateway or proxy, does so before they are processed.
  if (status === 429) return new PaymentError.RateLimited({ by: "gateway", ...wait })
  const error = Option.getOrUndefined(decodeError(text))
  if (error === undefined) return new PaymentError.GatewayFault({ status })
  if (status === 401 || status === 403) {
    // Our own set-up is wrong. As a refusal it would be kept and replayed under the key after it has been put right.
    yield* Effect.logError("the gateway refuses our API key")
    return new PaymentError.GatewayUnavailable({ by: "gateway" })
  }
  // 503 alone promises nothing: a load balancer says it after the request has gone through.
  if (status === 503 && error.processed === false) {
    return new PaymentError.GatewayUnavailable({ by: "gateway", ...wait })
  }
  return refusalOf(status, error)
})

const refusalOf = (status: number, error: typeof WireError.Type): PaymentError.Reason => {
  switch (status) {
    case 402:
      // This gateway speaks Stripe's codes. The table knows what the payer may learn, and what to do next.
      return PaymentError.fromDecline({
        processor: "stripe:decline_code",
        code: error.code,
        challenge: error.challenge,
        status
      }).reason
    case 400:
    case 404:
    case 413:
    case 422:
      return new PaymentError.InvalidRequest({
        code: identifier(error.code) ?? "unrecognised",
        ...field(identifier(error.field))
      })
    // 409: the first request under this key is still being processed. Also here: 5xx, and what we do not know.
    default:
      return new PaymentError.GatewayFault({ status })
  }
}

/** What a gateway calls a code may be anything: only what looks like one is passed on. */
const identifier = (text: string | undefined): string | undefined =>
  text !== undefined && /^[A-Za-z0-9_.-]{1,64}$/.test(text) ? text : undefined

const field = (name: string | undefined) => name === undefined ? {} : { field: name }

const imfFixdate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

/** RFC 9110, section 10.2.3: seconds, or a date. */
const retryAfterOf = (header: string | undefined, now: number): Duration.Duration | undefined => {
  if (header === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(header)
    ? Number(header)
    : imfFixdate.test(header)
    ? Math.ceil((Date.parse(header) - now) / 1000)
    : Number.NaN
  return Number.isNaN(seconds) ? undefined : Duration.seconds(Math.min(Math.max(seconds, 0), retryAfterMaxSeconds))
}

// -- what went wrong, where there is none

/** Whether the request surely has not left this machine. */
export const isSurelyNotSent = ({ reason }: HttpClientError.HttpClientError): boolean => {
  if (reason._tag === "InvalidUrlError" || reason._tag === "EncodeError") return true
  const failures = reason._tag === "TransportError" ? failuresIn(reason.cause) : []
  return failures.length > 0 && failures.every(isBeforeSending)
}

const transportReason = (error: HttpClientError.HttpClientError): PaymentError.Reason => {
  const { reason } = error
  switch (reason._tag) {
    case "InvalidUrlError":
      return new PaymentError.NetworkError({ sent: false })
    case "EncodeError":
      return new PaymentError.InvalidRequest({ code: "request_not_encodable" })
    case "TransportError": {
      return isSurelyNotSent(error)
        ? new PaymentError.NetworkError({ sent: false })
        : failuresIn(reason.cause).some(({ code }) => code !== undefined && timeouts.has(code))
        ? new PaymentError.GatewayTimeout({})
        : new PaymentError.NetworkError({ sent: true })
    }
    // A client that checks the status, or reads the body, before we do.
    default:
      return new PaymentError.GatewayFault({ status: reason.response.status })
  }
}

interface Failure {
  readonly code: string | undefined
  readonly syscall: string | undefined
}

/**
 * The innermost failures. `fetch` wraps the error of the socket in a `TypeError`, and a host with several addresses
 * fails with one error for each: all of them have to say that nothing was sent.
 */
const failuresIn = (cause: unknown, depth = 0): ReadonlyArray<Failure> => {
  if (typeof cause !== "object" || cause === null || depth > 5) return []
  const { cause: inner, code, errors, syscall } = cause as { readonly [name: string]: unknown }
  if (Array.isArray(errors) && errors.length > 0) {
    return errors.flatMap((error) => {
      const found = failuresIn(error, depth + 1)
      return found.length === 0 ? [unknownFailure] : found
    })
  }
  const text = (value: unknown) => typeof value === "string" ? value : undefined
  const own = { code: text(code), syscall: text(syscall) }
  const found = failuresIn(inner, depth + 1)
  return found.length > 0 ? found : [own]
}

const unknownFailure: Failure = { code: undefined, syscall: undefined }

/**
 * Name resolution, a refused connection, and a certificate that we refused: nothing has left. A reset or a timeout
 * proves nothing, not even on a fresh connection, nor does any other TLS error: the same codes come in mid-connection.
 */
const isBeforeSending = ({ code, syscall }: Failure): boolean =>
  code !== undefined && (
    (code === "ECONNREFUSED" && syscall === "connect") ||
    ((code === "ENOTFOUND" || code === "EAI_AGAIN" || code === "EAI_FAIL") && syscall === "getaddrinfo") ||
    certificates.has(code)
  )

const certificates: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
])

/** The client's own limits, minutes long: the request has left. */
const timeouts: ReadonlySet<string> = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"])
