/**
 * What a request with an idempotency key is told when it gets no answer of its own: problem details (RFC 9457) with the
 * status that the Idempotency-Key draft asks for, as errors that a typed client knows.
 *
 * What each says of the operation is its `disposition`, so that a client reads it as it reads a gateway: `Refused` was
 * not run for this request and never will be, `Unknown` may have happened and is not to be sent under another key. None of
 * them says that an operation has failed.
 *
 * | status | problem | `Retry-After` | what a client does |
 * |---|---|---|---|
 * | 400 | `KeyMissing`, `KeyMalformed`, `BodyUnreadable` | | mends the request |
 * | 409 | `RequestInFlight` | yes | asks again, with the same key |
 * | 413 | `BodyTooLarge` | | mends the request |
 * | 422 | `KeyReused` | | takes a new key, if it is another operation |
 * | 500 | `OperationParked`, `ResponseLost` | | asks an operator; never sends it under another key |
 * | 503 | `StoreUnavailable` | yes | asks again, with the same key |
 * | 504 | `OutcomeUnknown` | yes | asks again, with the same key and no other |
 *
 * Each `type` is the address of its explanation.
 *
 * Read `IdempotencyKey` next.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { HttpApiError } from "../internal/effect/http.ts"
import type { Disposition } from "../PaymentError.ts"

const page = "https://github.com/effect-payments/effect-payments/blob/main/docs/http-idempotency.md"

const RetryAfterSeconds = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 }))

/**
 * The request has no `Idempotency-Key` header.
 *
 * @category problems
 * @since 0.1.0
 */
export class KeyMissing extends HttpApiError.Problem<KeyMissing>()("KeyMissing", {
  type: `${page}#key-missing`,
  status: 400,
  title: "The Idempotency-Key header is missing"
}) {
  readonly disposition: Disposition = "Refused"
}

/**
 * The `Idempotency-Key` header is no string of RFC 8941, or no key of 1 to 255 printable ASCII characters. `detail` says
 * what is wrong, and repeats nothing of it.
 *
 * @category problems
 * @since 0.1.0
 */
export class KeyMalformed extends HttpApiError.Problem<KeyMalformed>()("KeyMalformed", {
  type: `${page}#key-malformed`,
  status: 400,
  title: "The Idempotency-Key header is malformed"
}) {
  readonly disposition: Disposition = "Refused"
}

/**
 * The body did not arrive as a whole, or something before has read it.
 *
 * @category problems
 * @since 0.1.0
 */
export class BodyUnreadable extends HttpApiError.Problem<BodyUnreadable>()("BodyUnreadable", {
  type: `${page}#body-unreadable`,
  status: 400,
  title: "The body could not be read"
}) {
  readonly disposition: Disposition = "Refused"
}

/**
 * The body is larger than `limitBytes`.
 *
 * @category problems
 * @since 0.1.0
 */
export class BodyTooLarge extends HttpApiError.Problem<BodyTooLarge>()("BodyTooLarge", {
  type: `${page}#body-too-large`,
  status: 413,
  title: "The body is too large"
}, { limitBytes: Schema.Int }) {
  readonly disposition: Disposition = "Refused"
}

/**
 * A request with this key is being worked on.
 *
 * @category problems
 * @since 0.1.0
 */
export class RequestInFlight extends HttpApiError.Problem<RequestInFlight>()("RequestInFlight", {
  type: `${page}#request-in-flight`,
  status: 409,
  title: "A request with this Idempotency-Key is being worked on: ask again with the same key"
}, { retryAfterSeconds: RetryAfterSeconds }) {
  readonly disposition: Disposition = "Unknown"
  readonly repeatable = true
  get retryAfter(): Duration.Duration {
    return Duration.seconds(this.retryAfterSeconds)
  }
}

/**
 * The key came before with another request: method, path, query or body differ.
 *
 * @category problems
 * @since 0.1.0
 */
export class KeyReused extends HttpApiError.Problem<KeyReused>()("KeyReused", {
  type: `${page}#key-reused`,
  status: 422,
  title: "This Idempotency-Key was used with another request: send a new key for a new operation"
}) {
  readonly disposition: Disposition = "Refused"
}

/**
 * The store of idempotency keys does not answer, so nothing was run for this request. An earlier one with the key may
 * have been.
 *
 * @category problems
 * @since 0.1.0
 */
export class StoreUnavailable extends HttpApiError.Problem<StoreUnavailable>()("StoreUnavailable", {
  type: `${page}#store-unavailable`,
  status: 503,
  title: "Idempotency keys cannot be looked up at the moment: ask again with the same key"
}, { retryAfterSeconds: RetryAfterSeconds }) {
  readonly disposition: Disposition = "Unknown"
  readonly repeatable = true
  get retryAfter(): Duration.Duration {
    return Duration.seconds(this.retryAfterSeconds)
  }
}

/**
 * The operation may have happened and nobody can tell yet. Nothing is run again; each later request with the key looks it
 * up.
 *
 * @category problems
 * @since 0.1.0
 */
export class OutcomeUnknown extends HttpApiError.Problem<OutcomeUnknown>()("OutcomeUnknown", {
  type: `${page}#outcome-unknown`,
  status: 504,
  title: "The operation may have happened: ask again with the same Idempotency-Key, and with no other"
}, { retryAfterSeconds: RetryAfterSeconds }) {
  readonly disposition: Disposition = "Unknown"
  readonly repeatable = true
  get retryAfter(): Duration.Duration {
    return Duration.seconds(this.retryAfterSeconds)
  }
}

/**
 * The operation may have happened and could not be looked up too many times: an operator has to find out.
 *
 * @category problems
 * @since 0.1.0
 */
export class OperationParked extends HttpApiError.Problem<OperationParked>()("OperationParked", {
  type: `${page}#operation-parked`,
  status: 500,
  title: "The operation may have happened and waits for an operator: do not send it under another Idempotency-Key"
}) {
  readonly disposition: Disposition = "Unknown"
}

/**
 * The operation has ended and its response cannot be told: it could not be stored, or cannot be read any more.
 *
 * @category problems
 * @since 0.1.0
 */
export class ResponseLost extends HttpApiError.Problem<ResponseLost>()("ResponseLost", {
  type: `${page}#response-lost`,
  status: 500,
  title: "The operation has ended and its response is lost: do not send it under another Idempotency-Key"
}) {
  readonly disposition: Disposition = "Unknown"
}

/**
 * All of them, as a middleware declares its errors.
 *
 * @category problems
 * @since 0.1.0
 */
export const all = [
  KeyMissing,
  KeyMalformed,
  BodyUnreadable,
  BodyTooLarge,
  RequestInFlight,
  KeyReused,
  StoreUnavailable,
  OutcomeUnknown,
  OperationParked,
  ResponseLost
] as const

/**
 * Any of them.
 *
 * @category problems
 * @since 0.1.0
 */
export type IdempotencyProblem = InstanceType<(typeof all)[number]>
