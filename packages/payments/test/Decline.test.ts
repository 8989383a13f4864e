import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Redacted, Result, Schema } from "effect"
import { Decline, PaymentError } from "effect-payments"
import { inspect } from "node:util"
import { classify } from "../src/internal/decline/classify.ts"

const row = (processor: Decline.Processor, code: string) => Option.getOrThrow(Decline.lookup(processor, code))
const error = (processor: string, code: string) => PaymentError.fromDecline({ processor, code })
const generic = error("stripe:decline_code", "generic_decline")

const count = (by: (row: Decline.Decline) => string) => {
  const counts: Record<string, number> = {}
  for (const row of Decline.all) counts[by(row)] = (counts[by(row)] ?? 0) + 1
  return counts
}

describe("Decline table", () => {
  it("holds the codes of ten processors and schemes", () => {
    assert.strictEqual(Decline.all.length, 254)
    assert.deepStrictEqual(count((row) => row.processor), {
      "stripe:decline_code": 51,
      "stripe:code_or_type": 17,
      "stripe:advice_code": 3,
      "adyen:refusalReasonCode": 38,
      "braintree:processorResponseCode": 51,
      "braintree:gatewayRejectionReason": 12,
      "iso8583:visa": 35,
      "iso8583:mastercard": 18,
      "mastercard:merchantAdviceCode": 15,
      "checkout.com:response_code": 14
    })
    assert.deepStrictEqual(Decline.processors, [...new Set(Decline.all.map((row) => row.processor))])
  })

  it("finds every row by processor and code, and no row twice", () => {
    assert.strictEqual(new Set(Decline.all.map((row) => `${row.processor}/${row.code}`)).size, Decline.all.length)
    for (const row of Decline.all) assert.deepStrictEqual(Decline.lookup(row.processor, row.code), Option.some(row))
  })

  it("knows nothing of other codes, processors and properties of objects", () => {
    for (const code of ["no_such_code", "", "__proto__", "constructor", "toString", "5 1", "51 "]) {
      for (const processor of [...Decline.processors, "nobody", "__proto__", ""]) {
        assert.deepStrictEqual(Decline.lookup(processor, code), Option.none())
      }
    }
  })

  it("tells codes of the same number apart by scheme", () => {
    assert.strictEqual(row("iso8583:visa", "65").kind, "LimitExceeded")
    assert.strictEqual(row("iso8583:mastercard", "65").kind, "AuthenticationRequired")
  })

  it("agrees in each row on disposition, key and next step", () => {
    for (const { code, disposition, masked, nextKey, reason, reattempt, ...rest } of Decline.all) {
      const technical = reattempt === "technical"
      assert.strictEqual(nextKey === "same", technical, code)
      assert.strictEqual(disposition === "NotExecuted", reason === "RateLimited", code)
      assert.strictEqual(disposition === "Unknown", reason === "GatewayFault", code)
      if (technical) assert.notStrictEqual(disposition, "Refused", code)
      if (["never", "lookup_first", "merchant", "cancel_schedule"].includes(reattempt)) {
        assert.strictEqual(nextKey, "none", code)
      }
      if (masked) assert.strictEqual(disposition, "Refused", code)
      assert.isTrue(Schema.is(Decline.PublicCode)(rest.publicCode))
      assert.isTrue(Schema.is(Decline.Advice)(rest.advice))
      assert.isTrue(Schema.is(Decline.NextKey)(nextKey))
      assert.isAbove(rest.source.length, 5)
    }
  })

  it("keeps the waits that Mastercard asks for", () => {
    const hours = ["02", "24", "25", "26", "27", "28", "29", "30"].map((code) =>
      Option.map(Option.fromUndefinedOr(row("mastercard:merchantAdviceCode", code).delay), Duration.toHours)
    )
    assert.deepStrictEqual(hours, [72, 1, 24, 48, 96, 144, 192, 240].map(Option.some))
    assert.isUndefined(row("mastercard:merchantAdviceCode", "03").delay)
  })
})

describe("Decline, masked codes", () => {
  const masked = Decline.all.filter((row) => row.masked)
  const secret: ReadonlyArray<Decline.Kind> = ["LostOrStolenCard", "FraudSuspected"]

  it("are all that speak of lost, stolen and suspected cards", () => {
    assert.isAtLeast(masked.length, 39)
    for (const row of Decline.all) if (secret.includes(row.kind)) assert.isTrue(row.masked, row.code)
    for (const code of ["lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist"]) {
      assert.isTrue(row("stripe:decline_code", code).masked, code)
    }
    for (const code of ["04", "07", "41", "43", "59"]) assert.isTrue(row("iso8583:visa", code).masked, code)
  })

  it.each(masked)("$processor $code looks to the payer like any other refusal", (row) => {
    const refused = error(row.processor, row.code)
    assert.strictEqual(row.publicCode, Decline.generic.publicCode)
    assert.strictEqual(row.advice, Decline.generic.advice)
    assert.deepStrictEqual(PaymentError.forPayer(refused), PaymentError.forPayer(generic))
    assert.strictEqual(JSON.stringify(refused), JSON.stringify(generic))
    assert.strictEqual(JSON.stringify(refused.reason), JSON.stringify(generic.reason))
    assert.strictEqual(refused.message, generic.message)
    assert.strictEqual(String(refused), String(generic))
    assert.notInclude(inspect(refused, { depth: 9, showHidden: true }), row.code.length > 3 ? row.code : row.kind)
    assert.deepStrictEqual(
      [refused.disposition, refused.repeatable, refused.retryAfter],
      [generic.disposition, generic.repeatable, generic.retryAfter]
    )
  })

  it("would look the same whatever their kind", () => {
    for (const { kind, reattempt } of Decline.all) {
      assert.deepStrictEqual(classify(kind, reattempt, true), {
        reason: "CardDeclined",
        publicCode: Decline.generic.publicCode,
        advice: Decline.generic.advice
      })
    }
  })

  it("still tell the merchant what they are", () => {
    const stolen = row("stripe:decline_code", "stolen_card")
    assert.deepStrictEqual([stolen.kind, stolen.reattempt, stolen.nextKey], ["LostOrStolenCard", "never", "none"])
    const { reason } = error("stripe:decline_code", "stolen_card")
    if (reason._tag !== "CardDeclined" || reason.processorCode === undefined) return assert.fail("it is declined")
    assert.strictEqual(Redacted.value(reason.processorCode), "stolen_card")
  })

  it("share their words with the rest: no kind that is secret has a code, an advice or a text of its own", () => {
    const words = JSON.stringify([Decline.english, Decline.PublicCode.literals]).toLowerCase()
    for (const word of ["lost", "stolen", "fraud", "pickup", "pick up", "suspect", "risk", "blocked", "restricted"]) {
      assert.notInclude(words, word)
    }
  })
})

describe("PaymentError.fromDecline", () => {
  it("makes of every row the error of its reason and disposition", () => {
    for (const row of Decline.all) {
      const made = error(row.processor, row.code)
      const expected = row.reason === "AuthenticationRequired" ? "CardDeclined" : row.reason
      assert.strictEqual(made.reason._tag, expected, row.code)
      assert.strictEqual(made.disposition, row.disposition, row.code)
    }
  })

  it.effect("survives encoding, as a replay needs", () =>
    Effect.gen(function*() {
      const json = Schema.fromJsonString(Schema.toCodecJson(PaymentError.PaymentError))
      for (const row of Decline.all) {
        const made = error(row.processor, row.code)
        const decoded = yield* Schema.decodeEffect(json)(yield* Schema.encodeEffect(json)(made))
        assert.strictEqual(decoded.message, made.message)
        assert.strictEqual(decoded.reason._tag, made.reason._tag)
        assert.deepStrictEqual(PaymentError.forPayer(decoded), PaymentError.forPayer(made))
      }
    }))

  it("tells the payer what the payer can act on", () => {
    const shown = (processor: Decline.Processor, code: string) => {
      const { advice, code: publicCode } = PaymentError.forPayer(error(processor, code))
      return [publicCode, advice]
    }
    const stripe = (code: string) => shown("stripe:decline_code", code)
    assert.deepStrictEqual(stripe("insufficient_funds"), ["InsufficientFunds", "TryAnotherMethod"])
    assert.deepStrictEqual(stripe("expired_card"), ["ExpiredCard", "UpdateCard"])
    assert.deepStrictEqual(stripe("incorrect_number"), ["InvalidCardData", "CheckDetails"])
    assert.deepStrictEqual(stripe("incorrect_cvc"), stripe("incorrect_zip"))
    assert.deepStrictEqual(stripe("incorrect_cvc"), stripe("incorrect_number"))
    assert.deepStrictEqual(stripe("issuer_not_available"), ["IssuerUnavailable", "TryLater"])
    assert.deepStrictEqual(stripe("processing_error"), ["PaymentUnavailable", "TryLater"])
    assert.deepStrictEqual(stripe("revocation_of_authorization"), ["MandateRevoked", "NewMandate"])
    assert.deepStrictEqual(stripe("testmode_decline"), ["PaymentUnavailable", "ContactMerchant"])
    assert.deepStrictEqual(stripe("duplicate_transaction"), ["PaymentPending", "Wait"])
    assert.deepStrictEqual(shown("stripe:code_or_type", "api_error"), ["PaymentPending", "Wait"])
    assert.deepStrictEqual(shown("stripe:code_or_type", "rate_limit"), ["PaymentUnavailable", "TryLater"])
    assert.deepStrictEqual(shown("iso8583:visa", "01"), ["CardDeclined", "ContactBank"])
    assert.deepStrictEqual(shown("iso8583:visa", "10"), ["PaymentPending", "Wait"])
  })

  it("tells a passing refusal from no verdict at all", () => {
    const refusal = error("adyen:refusalReasonCode", "9")
    assert.deepInclude(refusal.reason, { _tag: "CardDeclined", advice: "TryLater", nextKey: "new" })
    assert.isFalse(PaymentError.isRetriable(refusal))
    const silence = PaymentError.fromDecline({ processor: "stripe:code_or_type", code: "api_error", status: 502 })
    assert.deepInclude(silence.reason, { _tag: "GatewayFault", status: 502 })
    assert.strictEqual(silence.disposition, "Unknown")
  })

  it("carries the challenge where there is one", () => {
    const challenge = { id: "ch_1", url: "https://bank.example/3ds" }
    const options = { processor: "iso8583:visa", code: "1A" } as const
    const withChallenge = PaymentError.fromDecline({ ...options, challenge })
    assert.deepInclude(withChallenge.reason, { _tag: "AuthenticationRequired", challenge })
    const without = PaymentError.fromDecline(options)
    assert.deepInclude(without.reason, {
      _tag: "CardDeclined",
      code: "AuthenticationRequired",
      advice: "Authenticate",
      nextKey: "new"
    })
  })

  it("carries the wait of a rate limit", () => {
    const retryAfter = Duration.seconds(3)
    const limited = PaymentError.fromDecline({ processor: "stripe:code_or_type", code: "rate_limit", retryAfter })
    assert.deepStrictEqual(limited.retryAfter, retryAfter)
    assert.isUndefined(error("stripe:code_or_type", "rate_limit").retryAfter)
  })

  it("names the merchant's fault", () => {
    const fault = (processor: string, code: string) => {
      const { reason } = error(processor, code)
      return reason._tag === "InvalidRequest" ? reason.code : reason._tag
    }
    assert.strictEqual(fault("stripe:decline_code", "invalid_amount"), "invalid_amount")
    assert.strictEqual(fault("stripe:code_or_type", "authentication_error"), "auth_error")
    assert.strictEqual(fault("braintree:gatewayRejectionReason", "TOKEN_ISSUANCE"), "merchant_config")
    assert.strictEqual(fault("stripe:code_or_type", "testmode_charges_only"), "test_mode_mismatch")
  })

  it.effect.prop("makes a refusal without a reason of anything it does not know", [Schema.String, Schema.String], ([
    processor,
    code
  ]) =>
    Effect.sync(() => {
      if (Option.isSome(Decline.lookup(processor, code))) return
      const made = error(processor, code)
      assert.deepInclude(made.reason, { _tag: "CardDeclined", code: "CardDeclined", nextKey: "new" })
      assert.deepStrictEqual(PaymentError.forPayer(made), PaymentError.forPayer(generic))
    }))

  it("bounds an unknown code and lets no card number in", () => {
    const long = error("nobody", "x".repeat(1_000_000))
    if (long.reason._tag !== "CardDeclined" || long.reason.processorCode === undefined) return assert.fail("declined")
    assert.strictEqual(Redacted.value(long.reason.processorCode), "x".repeat(64))
    const leaking = error("nobody", "declined: 4111 1111 1111 1111")
    assert.notProperty(leaking.reason, "processorCode")
    const encoded = Schema.encodeResult(PaymentError.PaymentError)(leaking)
    assert.notInclude(JSON.stringify(Result.getOrThrow(encoded)), "4111")
  })
})

describe("PaymentError.forPayer", () => {
  const reasons: ReadonlyArray<PaymentError.Reason> = [
    new PaymentError.NetworkError({ sent: false }),
    new PaymentError.NetworkError({ sent: true }),
    new PaymentError.RateLimited({ by: "rateLimit" }),
    new PaymentError.GatewayUnavailable({ by: "circuitBreaker" }),
    new PaymentError.GatewayTimeout({}),
    new PaymentError.GatewayFault({ status: 500 }),
    new PaymentError.FraudBlocked({ rule: "velocity" }),
    new PaymentError.InvalidRequest({ code: "void_after_capture" }),
    new PaymentError.AuthenticationRequired({ challenge: { id: "ch_1" } }),
    new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" })
  ]

  it("has an answer for every reason", () => {
    const shown = reasons.map((reason) => {
      const { advice, code } = PaymentError.forPayer(PaymentError.make(reason))
      return [reason._tag, code, advice]
    })
    assert.deepStrictEqual(shown, [
      ["NetworkError", "PaymentUnavailable", "TryLater"],
      ["NetworkError", "PaymentPending", "Wait"],
      ["RateLimited", "PaymentUnavailable", "TryLater"],
      ["GatewayUnavailable", "PaymentUnavailable", "TryLater"],
      ["GatewayTimeout", "PaymentPending", "Wait"],
      ["GatewayFault", "PaymentPending", "Wait"],
      ["FraudBlocked", "CardDeclined", "TryAnotherMethod"],
      ["InvalidRequest", "PaymentUnavailable", "ContactMerchant"],
      ["AuthenticationRequired", "AuthenticationRequired", "Authenticate"],
      ["InsufficientFunds", "InsufficientFunds", "TryAnotherMethod"]
    ])
  })

  it("does not show that a fraud rule blocked it, nor which", () => {
    const blocked = PaymentError.make(new PaymentError.FraudBlocked({ rule: "velocity" }))
    assert.deepStrictEqual(PaymentError.forPayer(blocked), PaymentError.forPayer(generic))
  })

  it("holds nothing but code, advice and text, in the language given", () => {
    const texts = { ...Decline.english, TryAnotherMethod: "Bitte ein anderes Zahlungsmittel verwenden." }
    assert.deepStrictEqual(PaymentError.forPayer(generic, texts), {
      code: "CardDeclined",
      advice: "TryAnotherMethod",
      text: texts.TryAnotherMethod
    })
    for (const reason of reasons) {
      assert.hasAllKeys(PaymentError.forPayer(PaymentError.make(reason)), ["code", "advice", "text"])
    }
  })
})
