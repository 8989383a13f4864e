/** What every vault has to do. */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, it as test } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Schema } from "effect"
import { AuditLog, Card, Redaction, Tokenizer } from "effect-payments"

export const panOf = (text: string): Card.Pan => Schema.decodeUnknownSync(Card.Pan)(text)

/** Valid Visa numbers, one after the other. */
export const pans = (count: number): ReadonlyArray<Card.Pan> =>
  Array.from({ length: count }, (_, i) => {
    const stem = `411111${String(i).padStart(9, "0")}`
    const check = [..."0123456789"].find((digit) => Card.luhn(stem + digit)) ?? ""
    return panOf(stem + check)
  })

const visa = panOf("4111 1111 1111 1111")
const amex = panOf("378282246310005")

export type Vault = Tokenizer.Tokenizer | AuditLog.AuditTrail

/** The log that vaults of the tests write to, and what it kept. */
export const audited = Layer.fresh(AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer)))

const entries = Effect.flatMap(AuditLog.AuditTrail, (trail) => trail.entries)

export const tokenizerContract = (name: string, make: () => Layer.Layer<Vault, unknown>): void => {
  const it = {
    effect: (title: string, body: () => Effect.Effect<unknown, unknown, Vault>) =>
      test.live(`${name} ${title}`, () => Effect.provide(body(), make()))
  }

  it.effect("gives the same card the same token, and another card another", () =>
    Effect.gen(function*() {
      const token = yield* Tokenizer.tokenize(visa)
      assert.strictEqual(yield* Tokenizer.tokenize(panOf("4111111111111111")), token)
      assert.notStrictEqual(yield* Tokenizer.tokenize(amex), token)
    }))

  it.effect("gives one token to a card that comes in many times at once", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.forEach(Array.from({ length: 64 }), () => Tokenizer.tokenize(visa), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(tokens).size, 1)
      assert.strictEqual(Redacted.value(yield* Tokenizer.detokenize(tokens[0]!)), "4111111111111111")
    }))

  it.effect("reveals each card under its token", () =>
    Effect.gen(function*() {
      const cards = pans(50)
      const tokens = yield* Effect.forEach(cards, (pan) => Tokenizer.tokenize(pan), { concurrency: 8 })
      assert.strictEqual(new Set(tokens).size, 50)
      const revealed = yield* Effect.forEach(tokens, (token) => Tokenizer.detokenize(token), { concurrency: 8 })
      assert.deepStrictEqual(revealed.map(Redacted.value), cards.map(Redacted.value))
      for (const pan of revealed) assert.strictEqual(String(pan), "<redacted:Pan>")
    }))

  it.effect("makes tokens that nothing takes for a card or a secret", () =>
    Effect.gen(function*() {
      for (const token of yield* Effect.forEach(pans(50), (pan) => Tokenizer.tokenize(pan))) {
        assert.match(token, /^tok_[A-Za-z]{26}$/)
        assert.isTrue(Schema.is(Card.CardToken)(token))
        assert.strictEqual(Redaction.scrub(`card ${token}`), `card ${token}`)
      }
    }))

  it.effect("records who revealed what, before it is revealed", () =>
    Effect.gen(function*() {
      const token = yield* Tokenizer.tokenize(visa)
      assert.deepStrictEqual(yield* entries, [])
      yield* Tokenizer.detokenize(token).pipe(AuditLog.withActor({ user: "ada", origin: "backoffice" }))
      const [entry, ...more] = yield* entries
      assert.deepStrictEqual(more, [])
      assert.deepInclude(entry, {
        event: "cardDataAccess",
        action: "detokenize",
        user: "ada",
        origin: "backoffice",
        resource: `card ${token}`,
        outcome: "succeeded"
      })
      assert.isFalse(Card.containsPan(JSON.stringify(entry)))
    }))

  it.effect("knows no token that it did not hand out, and records that it was asked", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Tokenizer.detokenize(Card.CardToken.make("tok_other")))
      assert.deepStrictEqual(error.reason, new Tokenizer.TokenUnknown({}))
      assert.strictEqual(error.disposition, "Refused")
      assert.deepInclude((yield* entries)[0], { action: "detokenize", outcome: "refused" })
    }))

  it.effect("forgets a card for good, and only once", () =>
    Effect.gen(function*() {
      const token = yield* Tokenizer.tokenize(visa)
      const other = yield* Tokenizer.tokenize(amex)
      assert.isTrue(yield* Tokenizer.delete(token))
      assert.isFalse(yield* Tokenizer.delete(token))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Tokenizer.detokenize(token))))
      assert.strictEqual(Redacted.value(yield* Tokenizer.detokenize(other)), "378282246310005")
      assert.notStrictEqual(yield* Tokenizer.tokenize(visa), token)
      assert.deepStrictEqual((yield* entries).map(({ action, outcome }) => [action, outcome]), [
        ["delete", "succeeded"],
        ["delete", "refused"],
        ["detokenize", "refused"],
        ["detokenize", "succeeded"]
      ])
    }))
}

/** A vault over a log that does not take entries. */
export const unauditedContract = (
  name: string,
  make: (log: Layer.Layer<AuditLog.AuditLog>) => Layer.Layer<Tokenizer.Tokenizer, unknown>
): void => {
  test.live(`${name} reveals and deletes nothing that it cannot record`, () => {
    let isFull = true
    const log = Layer.succeed(AuditLog.AuditLog, {
      append: () =>
        Effect.suspend(() =>
          isFull
            ? Effect.fail(new AuditLog.AuditLogError({ reason: new AuditLog.LogUnavailable({ detail: "disk full" }) }))
            : Effect.void
        )
    })
    return Effect.gen(function*() {
      const context = yield* Layer.build(make(log))
      const tokenizer = Context.get(context, Tokenizer.Tokenizer)
      const token = yield* tokenizer.tokenize(visa)
      for (const operation of [tokenizer.detokenize(token), tokenizer.delete(token)]) {
        const error = yield* Effect.flip(operation as Effect.Effect<unknown, Tokenizer.TokenizerError>)
        assert.deepStrictEqual(error.reason, new Tokenizer.NotAudited({ detail: "LogUnavailable" }))
        assert.strictEqual(error.disposition, "NotExecuted")
        assert.notInclude(`${error.message} ${JSON.stringify(error)}`, token)
      }
      isFull = false
      assert.strictEqual(Redacted.value(yield* tokenizer.detokenize(token)), "4111111111111111")
    })
  })
}
