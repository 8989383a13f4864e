import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Option } from "effect"
import { Schema } from "effect"
import { Card, type PaymentGateway } from "effect-payments"

describe("Card", () => {
  it("lets no plain string pass for a token", () => {
    expectTypeOf<Card.CardToken>().toExtend<string>()
    // @ts-expect-error
    const token: Card.CardToken = "tok_1QxZ7b"
    expectTypeOf(token).toEqualTypeOf<Card.CardToken>()
    // @ts-expect-error
    const request: Pick<PaymentGateway.AuthorizeRequest, "token"> = { token: "4111111111111111" }
    expectTypeOf(request.token).toEqualTypeOf<Card.CardToken>()
  })

  it("makes tokens of strings by its decoder alone", () => {
    expectTypeOf(Card.CardToken.make("tok_1QxZ7b")).toEqualTypeOf<Card.CardToken>()
    expectTypeOf(Schema.decodeUnknownSync(Card.CardToken)("tok_1QxZ7b")).toEqualTypeOf<Card.CardToken>()
    expectTypeOf<(typeof Card.CardToken)["Encoded"]>().toEqualTypeOf<string>()
    // @ts-expect-error
    Card.CardToken.make(4111111111111111)
  })

  it("names the brand of a finding", () => {
    expectTypeOf(Card.findPans("")).toEqualTypeOf<ReadonlyArray<Card.Finding>>()
    expectTypeOf(Card.brandOf("")).toEqualTypeOf<Option.Option<Card.Brand>>()
    expectTypeOf<"visa">().toExtend<Card.Brand>()
    expectTypeOf<"visacard">().not.toExtend<Card.Brand>()
  })
})
