import { Effect, Option, pipe, type Result, Schema } from "effect"
import { Fraud, Idempotency, PaymentError, PaymentGateway, Resilience, type Velocity } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"
import type { Claim } from "../src/internal/stack/claim.ts"
import type { RetryMustBeInsideIdempotent } from "../src/internal/stack/markers.ts"

interface Scores {
  readonly _: "Scores"
}
interface Flags {
  readonly _: "Flags"
}
declare const ask: Effect.Effect<Option.Option<Fraud.Verdict>, "down", Scores>
declare const askFlags: Effect.Effect<Option.Option<Fraud.Verdict>, never, Flags>
declare const context: Fraud.FraudContext
declare const call: Effect.Effect<string, "no", "database">
declare const request: PaymentGateway.AuthorizeRequest
declare const scope: Idempotency.Scope
declare const key: Idempotency.Key
declare const challenge: (
  assessment: Fraud.Assessment,
  context: Fraud.FraudContext
) => Effect.Effect<PaymentError.Challenge, "no 3ds", "3ds server">

const pure = Fraud.rule({ name: "pure", evaluate: () => Option.none() })
const scored = Fraud.ruleEffect({ name: "scored", evaluate: () => ask })
const flagged = Fraud.ruleEffect({ name: "flagged", evaluate: () => askFlags })
const counted = Fraud.velocity({ name: "counted", key: (context) => context.userId })

describe("rules", () => {
  it("say what they need, and none says how it fails", () => {
    expectTypeOf(pure).toEqualTypeOf<Fraud.Rule>()
    expectTypeOf(scored).toEqualTypeOf<Fraud.Rule<Scores>>()
    expectTypeOf(counted).toEqualTypeOf<Fraud.Rule<Velocity.Velocity>>()
    expectTypeOf(Fraud.blocklist({})).toEqualTypeOf<Fraud.Rule>()
  })

  it("of velocity count one thing", () => {
    const key = () => "k"
    // @ts-expect-error attempts or money, not both
    Fraud.velocity({ name: "x", key, maxCount: 5, maxSum: [] })
    // @ts-expect-error of what
    Fraud.velocity({ name: "x", key, maxDistinct: 5 })
    // @ts-expect-error a function that answers later is no pure rule
    Fraud.rule({ name: "x", evaluate: () => ask })
  })
})

describe("a set of rules", () => {
  it("needs what its rules need", () => {
    expectTypeOf(Fraud.makeUnsafe({ rules: [] })).toEqualTypeOf<Fraud.RuleSet>()
    expectTypeOf(Fraud.makeUnsafe({ rules: [pure] })).toEqualTypeOf<Fraud.RuleSet>()
    expectTypeOf(Fraud.makeUnsafe({ rules: [pure, scored, flagged, counted] })).toEqualTypeOf<
      Fraud.RuleSet<Scores | Flags | Velocity.Velocity>
    >()
    expectTypeOf(Fraud.make({ rules: [scored] })).toEqualTypeOf<
      Result.Result<Fraud.RuleSet<Scores>, Fraud.FraudError>
    >()
  })

  it("is evaluated without a failure", () => {
    const rules = Fraud.makeUnsafe({ rules: [pure, scored, counted] })
    type Evaluated = Effect.Effect<Fraud.Assessment, never, Scores | Velocity.Velocity>
    expectTypeOf(Fraud.evaluate(rules, context)).toEqualTypeOf<Evaluated>()
    expectTypeOf(pipe(rules, Fraud.evaluate(context))).toEqualTypeOf<Evaluated>()
    expectTypeOf(Fraud.evaluate(Fraud.makeUnsafe({ rules: [pure] }), context)).toEqualTypeOf<
      Effect.Effect<Fraud.Assessment>
    >()
  })
})

describe("screen", () => {
  const rules = Fraud.makeUnsafe({ rules: [counted] })

  it("adds PaymentError, what its functions fail with, and what all of them need", () => {
    const onAssessment = (): Effect.Effect<number, "not kept", "queue"> => Effect.never
    const screened = Fraud.screen(call, { rules, context, challenge, onAssessment })
    expectTypeOf(screened).toEqualTypeOf<
      Effect.Effect<
        string,
        "no" | "no 3ds" | "not kept" | PaymentError.PaymentError,
        "database" | "3ds server" | "queue" | Velocity.Velocity
      >
    >()
    expectTypeOf(call.pipe(Fraud.screen({ rules, context, challenge, onAssessment }))).toEqualTypeOf(screened)
  })

  it("adds nothing that is not there", () => {
    const screened = Fraud.screen(call, {
      rules: Fraud.makeUnsafe({ rules: [pure] }),
      context,
      challenge: () => Effect.succeed({ id: "3ds" })
    })
    expectTypeOf(screened).toEqualTypeOf<Effect.Effect<string, "no" | PaymentError.PaymentError, "database">>()
  })

  it("has to say how a challenge is made", () => {
    type Options = Fraud.ScreenOptions<Velocity.Velocity, "no 3ds", "3ds server", never, never>
    expectTypeOf({ rules, context }).not.toExtend<Options>()
    expectTypeOf({ rules, context, challenge }).toExtend<Options>()
  })

  const authorize = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request))
  const options = { rules, context, challenge: () => Effect.succeed({ id: "3ds" }) }
  const idempotent = Idempotency.idempotent({
    scope,
    key,
    payload: request,
    payloadSchema: PaymentGateway.AuthorizeRequest,
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError
  })

  it("keeps what the call asks of the stack around it", () => {
    const screened = authorize.pipe(Resilience.retry(), Fraud.screen(options))
    expectTypeOf<Effect.Services<typeof screened>>().toEqualTypeOf<
      Claim | RetryMustBeInsideIdempotent | PaymentGateway.PaymentGateway | Velocity.Velocity
    >()
    // @ts-expect-error a gateway call is outside idempotent(...): pipe idempotent after it
    screened.pipe(Idempotency.operation("charge"))
  })

  it("stands inside of idempotent, where the stack is closed", () => {
    const charge = authorize.pipe(
      Resilience.retry(),
      Fraud.screen(options),
      idempotent,
      Idempotency.operation("charge")
    )
    expectTypeOf<Effect.Success<typeof charge>>().toEqualTypeOf<PaymentGateway.Transaction>()
    expectTypeOf<Effect.Error<typeof charge>>().toEqualTypeOf<
      PaymentError.PaymentError | Idempotency.IdempotencyError
    >()
    expectTypeOf<Claim>().not.toExtend<Effect.Services<typeof charge>>()
  })

  it("may fail only with errors that can be stored there", () => {
    const unstored = authorize.pipe(Fraud.screen({ ...options, challenge }))
    expectTypeOf(unstored).not.toExtend<Parameters<typeof idempotent>[0]>()
    expectTypeOf(authorize.pipe(Fraud.screen(options))).toExtend<Parameters<typeof idempotent>[0]>()
  })
})

describe("the models", () => {
  it("are those of their schemas", () => {
    expectTypeOf<typeof Fraud.Assessment.Type>().toEqualTypeOf<Fraud.Assessment>()
    expectTypeOf(Schema.decodeUnknownSync(Fraud.FraudContext)).returns.toEqualTypeOf<Fraud.FraudContext>()
  })
})
