import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Option } from "effect"
import { Decline, PaymentError } from "effect-payments"

describe("Decline", () => {
  it("takes any processor, and knows those of the table", () => {
    expectTypeOf(Decline.lookup("nobody", "51")).toEqualTypeOf<Option.Option<Decline.Decline>>()
    expectTypeOf<"iso8583:visa">().toExtend<Decline.Processor>()
    expectTypeOf<"nobody">().not.toExtend<Decline.Processor>()
  })

  it("has no public code for what the payer must not learn", () => {
    expectTypeOf<"CardDeclined">().toExtend<Decline.PublicCode>()
    expectTypeOf<"LostOrStolenCard" | "FraudSuspected" | "RestrictedCard">().toExtend<Decline.Kind>()
    // @ts-expect-error
    const lost = new PaymentError.CardDeclined({ code: "LostOrStolenCard", advice: "TryAnotherMethod", nextKey: "new" })
    // @ts-expect-error
    const stolen = new PaymentError.CardDeclined({ code: "stolen_card", advice: "TryAnotherMethod", nextKey: "new" })
    expectTypeOf([lost, stolen]).toEqualTypeOf<Array<PaymentError.CardDeclined>>()
  })

  it("asks for a text per advice", () => {
    // @ts-expect-error
    const texts: Decline.Texts = { TryAnotherMethod: "Bitte ein anderes Zahlungsmittel verwenden." }
    expectTypeOf(Decline.payerText("Wait", texts)).toEqualTypeOf<string>()
  })

  it("makes one error of a code, and shows the payer three fields of it", () => {
    const error = PaymentError.fromDecline({ processor: "iso8583:visa", code: "51" })
    expectTypeOf(error).toEqualTypeOf<PaymentError.PaymentError>()
    expectTypeOf(PaymentError.forPayer(error)).toEqualTypeOf<PaymentError.PayerMessage>()
    expectTypeOf<keyof PaymentError.PayerMessage>().toEqualTypeOf<"code" | "advice" | "text">()
  })
})
