import { type Effect, type Redacted, Schema } from "effect"
import { Card, type PaymentGateway, Tokenizer } from "effect-payments"
import { expectTypeOf, it } from "vitest"

it("takes and reveals nothing but a Pan, and hands out a CardToken", () => {
  expectTypeOf(Tokenizer.tokenize).toEqualTypeOf<
    (pan: Card.Pan) => Effect.Effect<Card.CardToken, Tokenizer.TokenizerError, Tokenizer.Tokenizer>
  >()
  expectTypeOf(Tokenizer.detokenize).toEqualTypeOf<
    (token: Card.CardToken) => Effect.Effect<Card.Pan, Tokenizer.TokenizerError, Tokenizer.Tokenizer>
  >()
})

it("takes no text, no other secret and no security code for a card number", () => {
  expectTypeOf<string>().not.toExtend<Card.Pan>()
  expectTypeOf<Redacted.Redacted<string>>().not.toExtend<Card.Pan>()
  expectTypeOf<Card.Cvv>().not.toExtend<Card.Pan>()
  expectTypeOf<string>().not.toExtend<Card.CardToken>()
  expectTypeOf<Card.Pan>().not.toExtend<Card.CardToken>()
})

it("lets neither a number nor a security code into a request, nor out by an encoder", () => {
  expectTypeOf<Card.Pan>().not.toExtend<PaymentGateway.AuthorizeRequest["token"]>()
  // @ts-expect-error
  Schema.encodeSync(Card.Cvv)
  // @ts-expect-error
  Schema.encodeSync(Card.Pan)
  // @ts-expect-error nor within a struct
  Schema.encodeSync(Schema.Struct({ token: Card.CardToken, cvv: Card.Cvv }))
  // @ts-expect-error nor within a list
  Schema.encodeSync(Schema.Array(Card.Pan))
  // An encoder that takes any schema asks for services that nobody has.
  expectTypeOf(Schema.encodeUnknownEffect(Card.Cvv)).returns.toExtend<Effect.Effect<unknown, unknown, unknown>>()
  expectTypeOf(Schema.encodeUnknownEffect(Card.Cvv)).returns.not.toExtend<Effect.Effect<unknown, unknown>>()
})

it("refuses a payload with either under an idempotency key", () => {
  expectTypeOf<Schema.Decoder<Card.Cvv>>().not.toExtend<Schema.Codec<any, any>>()
})
