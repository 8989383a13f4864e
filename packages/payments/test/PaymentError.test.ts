import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Schema } from "effect"
import { PaymentError } from "effect-payments"

const soon = Duration.seconds(2)
const cases: ReadonlyArray<readonly [PaymentError.Reason, PaymentError.Disposition]> = [
  [new PaymentError.NetworkError({ sent: false }), "NotExecuted"],
  [new PaymentError.NetworkError({ sent: true }), "Unknown"],
  [new PaymentError.RateLimited({ by: "gateway", retryAfter: soon }), "NotExecuted"],
  [new PaymentError.GatewayUnavailable({ by: "circuitBreaker" }), "NotExecuted"],
  [
    new PaymentError.CardDeclined({ code: "CardDeclined", advice: "TryAnotherMethod", nextKey: "new" }),
    "Refused"
  ],
  [new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" }), "Refused"],
  [new PaymentError.AuthenticationRequired({ challenge: { id: "ch_1", url: "https://acs.example/1" } }), "Refused"],
  [new PaymentError.FraudBlocked({ rule: "velocity" }), "Refused"],
  [new PaymentError.InvalidRequest({ code: "unknown_transaction", field: "transactionId" }), "Refused"],
  [new PaymentError.GatewayTimeout({ repeatable: true }), "Unknown"],
  [new PaymentError.GatewayFault({ status: 502 }), "Unknown"]
]

describe("PaymentError", () => {
  it.each(cases)("$_tag has its disposition, in the reason and in the error", (reason, disposition) => {
    assert.strictEqual(reason.disposition, disposition)
    assert.strictEqual(PaymentError.make(reason).disposition, disposition)
    assert.strictEqual(PaymentError.dispositionOf(PaymentError.make(reason)), disposition)
  })

  it("covers every reason of the union", () => {
    const tags = new Set(cases.map(([{ _tag }]) => _tag))
    assert.strictEqual(tags.size, PaymentError.Reason.members.length)
  })

  it.each(cases)("$_tag survives encoding as the same class with the same behaviour", (reason) => {
    const codec = Schema.fromJsonString(PaymentError.PaymentError)
    const error = PaymentError.make(reason)
    const decoded = Schema.decodeSync(codec)(Schema.encodeSync(codec)(error))
    assert.instanceOf(decoded, PaymentError.PaymentError)
    assert.strictEqual(decoded.reason.constructor, reason.constructor)
    assert.deepStrictEqual(
      [decoded.disposition, decoded.repeatable, decoded.retryAfter, decoded.message],
      [error.disposition, error.repeatable, error.retryAfter, error.message]
    )
  })

  it("calls an Unknown repeatable only when it says so, and nothing else ever", () => {
    assert.isFalse(PaymentError.make(new PaymentError.GatewayTimeout({})).repeatable)
    assert.isTrue(PaymentError.make(new PaymentError.GatewayTimeout({ repeatable: true })).repeatable)
    assert.isFalse(PaymentError.make(new PaymentError.NetworkError({ sent: false, repeatable: true })).repeatable)
  })

  it("retries what was not executed, and an Unknown only when repeatable; never a refusal", () => {
    assert.isTrue(PaymentError.isRetriable({ disposition: "NotExecuted" }))
    assert.isTrue(PaymentError.isRetriable({ disposition: "Unknown", repeatable: true }))
    assert.isFalse(PaymentError.isRetriable({ disposition: "Unknown" }))
    assert.isFalse(PaymentError.isRetriable({ disposition: "Refused", repeatable: true }))
  })

  it("takes what states no disposition for Unknown", () => {
    for (const failure of [undefined, null, "x", new Error("x"), { disposition: "Succeeded" }, { disposition: 1 }]) {
      assert.strictEqual(PaymentError.dispositionOf(failure), "Unknown")
    }
  })

  it("passes on retryAfter", () => {
    const limited = PaymentError.make(new PaymentError.RateLimited({ by: "rateLimit", retryAfter: soon }))
    assert.deepStrictEqual(limited.retryAfter, soon)
    assert.include(limited.message, "2s")
    assert.isUndefined(PaymentError.make(new PaymentError.GatewayTimeout({})).retryAfter)
  })

  it("shows the processor's code to nobody by accident", () => {
    const error = PaymentError.make(
      new PaymentError.CardDeclined({
        code: "CardDeclined",
        advice: "TryAnotherMethod",
        nextKey: "none",
        processorCode: Redacted.make("stolen_card")
      })
    )
    assert.notInclude(`${error.message} ${JSON.stringify(error)} ${String(error)}`, "stolen")
  })

  it("tells the merchant's rule to nobody in its message", () => {
    assert.notInclude(new PaymentError.FraudBlocked({ rule: "stolen-list" }).message, "stolen")
  })

  it.effect("can be handled by reason", () =>
    Effect.gen(function*() {
      const handled = yield* Effect.fail(PaymentError.make(new PaymentError.FraudBlocked({ rule: "r" }))).pipe(
        Effect.catchReason("PaymentError", "FraudBlocked", (reason) => Effect.succeed(reason.rule))
      )
      assert.strictEqual(handled, "r")
    }))
})
