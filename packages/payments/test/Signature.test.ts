import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { Signature } from "effect-payments"
import { Mac, SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { createHmac } from "node:crypto"
import { bodyOf, schemes, secretsOf, vectors } from "./support/webhookVectors.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const hmac = (secret: Buffer | string, text: string, encoding: "base64" | "hex" = "hex") =>
  createHmac("sha256", secret).update(text).digest(encoding)

const now = 1_760_000_000
const stripeSecret = Redacted.make("whsec_test_secret")
const body = bytes(`{\n  "id": "evt_1",\n  "object": "event"\n}`)
const swSecret = Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

/** Runs at `now`, with Node's HMAC. */
const at = <A, E>(self: Effect.Effect<A, E, Effect.Services<ReturnType<typeof Signature.make>>>, seconds = now) =>
  Effect.andThen(TestClock.setTime(seconds * 1000), self).pipe(Effect.provide(NodeCrypto.layer))

const verify = (
  headers: Signature.Request["headers"],
  options: Partial<Signature.Options> & { readonly body?: Uint8Array } = {}
) =>
  Effect.flatMap(
    Signature.make({ scheme: Signature.stripe, secrets: [stripeSecret], ...options }),
    (verifier) => verifier.verify({ headers, body: options.body ?? body })
  )

const tagOf = <A>(
  self: Effect.Effect<A, Signature.SignatureError, Effect.Services<ReturnType<typeof Signature.make>>>
) => at(Effect.map(Effect.flip(self), (error) => error.reason._tag))

describe("the vectors", () => {
  const isAsymmetric = (secrets: ReadonlyArray<string>) => secrets.some((secret) => secret.startsWith("whpk_"))

  for (const vector of vectors.filter(({ secrets }) => !isAsymmetric(secrets))) {
    it.effect(vector.id, () =>
      at(
        Effect.gen(function*() {
          const scheme = schemes[vector.provider]
          assert.isDefined(scheme)
          const result = yield* Effect.result(
            verify(vector.headers, {
              scheme,
              secrets: secretsOf(vector),
              tolerance: `${vector.toleranceSec} seconds`,
              body: bodyOf(vector)
            })
          )
          assert.deepStrictEqual(
            result._tag === "Success" ? ["accept", null] : ["reject", result.failure.reason._tag],
            [vector.expect, vector.reason]
          )
        }),
        vector.nowSec
      ))
  }

  it("cover both verdicts of each built-in scheme", () => {
    for (const provider of ["stripe", "standard-webhooks", "github"]) {
      const verdicts = new Set(vectors.filter((x) => x.provider === provider).map((x) => x.expect))
      assert.strictEqual(verdicts.size, 2, provider)
    }
  })
})

const Body = Schema.Uint8Array.check(Schema.isBetweenLength(1, 200))
const Key = Schema.Uint8Array.check(Schema.isBetweenLength(24, 64))
const asSecret = (key: Uint8Array) => Redacted.make(`whsec_${Buffer.from(key).toString("base64")}`)
const builtIn = [
  [Signature.stripe, Redacted.make("whsec_0123456789")],
  [Signature.standardWebhooks, swSecret],
  [Signature.github, Redacted.make("It's a Secret to Everybody")]
] as const

describe("what is signed", () => {
  for (const [scheme, secret] of builtIn) {
    const secrets = [secret]
    const signed = (body: Uint8Array) => Signature.sign({ scheme, secrets, body, id: "msg_1" })

    it.effect.prop(`${scheme.name}: verifies`, [Body], ([body]) =>
      at(Effect.gen(function*() {
        const verified = yield* verify(yield* signed(body), { scheme, secrets, body })
        assert.strictEqual(verified.secretIndex, 0)
        assert.strictEqual(verified.timestampSeconds, scheme.name === "github" ? undefined : now)
        assert.strictEqual(verified.id, scheme.name === "standard-webhooks" ? "msg_1" : undefined)
      })))

    it.effect.prop(
      `${scheme.name}: any flipped bit of the body fails`,
      [Body, Schema.Natural],
      ([body, seed]) =>
        at(Effect.gen(function*() {
          const headers = yield* signed(body)
          const bit = seed % (body.length * 8)
          const changed = body.map((byte, index) => index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)
          const error = yield* Effect.flip(verify(headers, { scheme, secrets, body: changed }))
          assert.strictEqual(error.reason._tag, "SignatureMismatch")
        }))
    )

    it.effect.prop(
      `${scheme.name}: any changed character of a header fails`,
      [Schema.Natural, Schema.Natural],
      ([a, b]) =>
        at(Effect.gen(function*() {
          const headers = { ...yield* signed(body) }
          const names = Object.keys(headers)
          const name = names[a % names.length] ?? ""
          const text = headers[name] ?? ""
          const at = b % text.length
          const flipped = String.fromCharCode(text.charCodeAt(at) ^ 1)
          headers[name] = text.slice(0, at) + flipped + text.slice(at + 1)
          const result = yield* Effect.result(verify(headers, { scheme, secrets, body }))
          assert.strictEqual(result._tag, "Failure", headers[name])
        }))
    )
  }

  it.effect.prop(
    "verifies under any order of the secrets",
    [Body, Key, Key, Key, Schema.Natural],
    ([body, a, b, c, n]) =>
      at(Effect.gen(function*() {
        const secrets = [a, b, c].map(asSecret)
        const signer = secrets[n % 3]
        assert.isDefined(signer)
        const rotated = [...secrets.slice(n % 2), ...secrets.slice(0, n % 2)].toReversed()
        const scheme = Signature.standardWebhooks
        const headers = yield* Signature.sign({ scheme, secrets: [signer], body, id: "msg_1" })
        const { secretIndex } = yield* verify(headers, { scheme, secrets: rotated, body })
        const found = rotated[secretIndex]
        assert.isDefined(found)
        assert.strictEqual(Redacted.value(found), Redacted.value(signer))
      }))
  )

  it.effect.prop("is tolerated up to the edge, both ways, and not a second farther", [
    Schema.Int.check(Schema.isBetween({ minimum: -700, maximum: 700 })),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 600 }))
  ], ([offset, tolerance]) =>
    at(Effect.gen(function*() {
      const headers = yield* Signature.sign({
        scheme: Signature.stripe,
        secrets: [stripeSecret],
        body,
        timestampSeconds: now + offset
      })
      const result = yield* Effect.result(verify(headers, { tolerance: `${tolerance} seconds` }))
      const expected = Math.abs(offset) <= tolerance ? "ok" : offset < 0 ? "TimestampTooOld" : "TimestampInFuture"
      assert.strictEqual(result._tag === "Success" ? "ok" : result.failure.reason._tag, expected)
    })))

  it.effect("counts whole seconds: the last millisecond of the edge is tolerated", () =>
    Effect.gen(function*() {
      const headers = yield* Signature.sign({
        scheme: Signature.stripe,
        secrets: [stripeSecret],
        body,
        timestampSeconds: now - 300
      })
      yield* TestClock.setTime(now * 1000 + 999)
      yield* verify(headers)
      yield* TestClock.setTime((now + 1) * 1000)
      assert.strictEqual((yield* Effect.flip(verify(headers))).reason._tag, "TimestampTooOld")
      yield* verify(headers, { tolerance: "Infinity" })
    }).pipe(Effect.provide(NodeCrypto.layer)))
})

describe("a header", () => {
  const good = hmac("whsec_test_secret", `${now}.${Buffer.from(body)}`)
  const stripe = (value: string) => ({ "stripe-signature": value })

  it.effect("is found whatever the case of its name, and refused when it is there twice", () =>
    at(Effect.gen(function*() {
      const value = `t=${now},v1=${good}`
      yield* verify({ "Stripe-Signature": value })
      yield* verify({ "stripe-signature": [value] })
      for (
        const twice of [
          { "stripe-signature": [value, value] },
          { "stripe-signature": value, "Stripe-Signature": value },
          { "STRIPE-SIGNATURE": [value], "stripe-signature": value }
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(verify(twice))).reason._tag, "HeaderMalformed")
      }
      assert.strictEqual((yield* Effect.flip(verify({ "stripe-signature": [] }))).reason._tag, "MissingHeader")
    })))

  for (
    const [value, tag] of [
      [`t=${now}`, "NoSupportedScheme"],
      [`t=${now},v0=${good}`, "NoSupportedScheme"],
      [`v1=${good}`, "HeaderMalformed"],
      [`t=${now}, v1=${good}`, "HeaderMalformed"],
      [`t=${now},v1=${good},`, "HeaderMalformed"],
      [`t=${now},v1=`, "SignatureMalformed"],
      [`t=${now},v1=${"é".repeat(64)}`, "SignatureMalformed"],
      [`t=${now},v1=${good.toUpperCase()}`, "SignatureMalformed"],
      [`t=-${now},v1=${good}`, "TimestampMalformed"],
      [`t= ${now},v1=${good}`, "TimestampMalformed"],
      [`t=9007199254740993,v1=${good}`, "TimestampMalformed"],
      [`t=9007199254740991,v1=${good}`, "TimestampInFuture"],
      [`t=${now},v1=${"a".repeat(8192 - 16)}`, "SignatureMalformed"],
      [`t=${now},v1=${"a".repeat(8193 - 16)}`, "HeaderTooLarge"],
      [`t=${now}${`,v1=${good}`.repeat(32)}`, "TooManySignatures"],
      [`t=${now}${`,v1=${good}`.repeat(20_000)}`, "HeaderTooLarge"]
    ] as const
  ) {
    it.effect(`${tag}: ${value.slice(0, 40)} (${value.length})`, () =>
      Effect.map(tagOf(verify(stripe(value))), (actual) => assert.strictEqual(actual, tag)))
  }

  it.effect("counts signatures also where a framework gives a list", () =>
    Effect.map(
      tagOf(verify({ "stripe-signature": [`t=${now}${`,v1=${good}`.repeat(32)}`] })),
      (tag) => assert.strictEqual(tag, "TooManySignatures")
    ))

  it.effect("with as many signatures as are allowed verifies", () =>
    at(verify(stripe(`t=${now}${`,v1=${"0".repeat(64)}`.repeat(30)},v1=${good}`))))

  it.effect("of Standard Webhooks is read as strictly", () =>
    at(Effect.gen(function*() {
      const key = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64")
      const tag = hmac(key, `msg_1.${now}.${Buffer.from(body)}`, "base64")
      const sent = (signature: string, id = "msg_1") => ({
        "webhook-id": id,
        "webhook-timestamp": String(now),
        "webhook-signature": signature
      })
      const options = { scheme: Signature.standardWebhooks, secrets: [swSecret] }
      yield* verify(sent(`v1,${tag}`), options)
      const refused = (headers: Signature.Request["headers"]) =>
        Effect.map(Effect.flip(verify(headers, options)), (error) => error.reason._tag)
      assert.strictEqual(yield* refused(sent(tag)), "HeaderMalformed")
      assert.strictEqual(yield* refused(sent(`v1,${tag}  v1,${tag}`)), "HeaderMalformed")
      assert.strictEqual(yield* refused(sent(`v1a,${tag}`)), "NoSupportedScheme")
      // The last bits before the padding are not part of any byte: a second spelling of the same signature.
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
      const spelled = `${tag.slice(0, 42)}${alphabet[alphabet.indexOf(tag[42] ?? "") ^ 1]}=`
      assert.deepStrictEqual(Buffer.from(spelled, "base64"), Buffer.from(tag, "base64"))
      assert.strictEqual(yield* refused(sent(`v1,${spelled}`)), "SignatureMalformed")
      for (const id of ["a.b", "a b", "é", "a".repeat(256)]) {
        assert.strictEqual(yield* refused(sent(`v1,${tag}`, id)), "IdMalformed", id)
      }
      assert.strictEqual(yield* refused(sent(`v1,${tag}`, "a".repeat(20_000))), "HeaderTooLarge")
    })))
})

describe("a body", () => {
  it.effect("over the limit is refused before anything is computed", () =>
    at(Effect.gen(function*() {
      const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets: [stripeSecret], body })
      yield* verify(headers, { bodyLimitBytes: body.length })
      const error = yield* Effect.flip(verify(headers, { bodyLimitBytes: body.length - 1 }))
      assert.strictEqual(error.reason._tag, "BodyTooLarge")
      // Also when nothing else is right.
      const big = new Uint8Array(1_048_577)
      assert.strictEqual((yield* Effect.flip(verify({}, { body: big }))).reason._tag, "BodyTooLarge")
    })))

  const hintOf = (body: unknown, scheme = Signature.stripe, secret = stripeSecret) =>
    at(Effect.gen(function*() {
      const headers = yield* Signature.sign({ scheme, secrets: [secret], body: bytes("something else") })
      const error = yield* Effect.flip(verify(headers, { scheme, secrets: [secret], body: body as Uint8Array }))
      assert.strictEqual(error.reason._tag, "SignatureMismatch")
      return error.reason._tag === "SignatureMismatch" ? error.reason.hint : undefined
    }))

  for (
    const [text, hint] of [
      [`{"id":"evt_1","object":"event"}`, "BodyReserialized"],
      [`{\n  "id": "evt_1"\n}`, undefined],
      [`{"text":"a \\" b, c: d","n":1}`, "BodyReserialized"],
      [`{"id": "evt_1"}`, undefined],
      [`{"a":"\uFFFD"}`, "BodyDecoded"],
      ["", "BodyEmpty"],
      ["[object Object]", "BodyNotBytes"],
      ["not json", undefined]
    ] as const
  ) {
    it.effect(`that does not fit gets a hint, ${hint ?? "none"}: ${JSON.stringify(text)}`, () =>
      Effect.map(hintOf(bytes(text)), (actual) => assert.strictEqual(actual, hint)))
  }

  it.effect("that a framework has parsed is no bytes", () =>
    Effect.map(hintOf({ id: "evt_1" }), (hint) => assert.strictEqual(hint, "BodyNotBytes")))

  it.effect("without blanks is no hint where the provider writes it so", () =>
    Effect.map(
      hintOf(bytes(`{"id":"evt_1"}`), Signature.github, Redacted.make("secret")),
      (hint) => assert.isUndefined(hint)
    ))
})

describe("a verifier", () => {
  const refused = (options: Partial<Signature.Options>) =>
    tagOf(Signature.make({ scheme: Signature.stripe, secrets: [stripeSecret], ...options }))

  it.effect("verifies bodies of any sizes one after the other and beside each other, also when one is interrupted", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      // On WebCrypto, which answers later: verifications are open at the same time.
      const verifier = yield* Signature.make({ scheme: Signature.stripe, secrets: [stripeSecret] })
      const requests = yield* Effect.forEach([10, 5000, 3, 70_000, 0, 5000, 100], (length, index) => {
        const body = new Uint8Array(length).fill(index + 1)
        return Effect.map(
          Signature.sign({ scheme: Signature.stripe, secrets: [stripeSecret], body }),
          (headers) => ({ headers, body })
        )
      })
      for (const concurrency of [1, 7]) {
        yield* Effect.forEach(requests, verifier.verify, { concurrency })
        const fiber = yield* Effect.forkChild(verifier.verify(requests[3]!), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        yield* Effect.forEach(requests.toReversed(), verifier.verify, { concurrency })
      }
    }).pipe(Effect.provide(Mac.layerWebCrypto.pipe(Layer.provide(SecureRandom.layerWebCrypto)))))

  it.effect("refuses secrets that are none before the first request", () =>
    Effect.gen(function*() {
      const secret = (text: string) => Redacted.make(text)
      for (
        const text of ["sk_live_x", "whsec_", " whsec_abc", "whsec_abc ", "whsec_a\u0000b", `whsec_${"a".repeat(300)}`]
      ) {
        assert.strictEqual(yield* refused({ secrets: [stripeSecret, secret(text)] }), "SecretMalformed", text)
      }
      for (
        const text of [
          "whsec_not base64",
          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
          "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        ]
      ) {
        assert.strictEqual(
          yield* refused({ scheme: Signature.standardWebhooks, secrets: [secret(text)] }),
          "SecretMalformed",
          text
        )
      }
      assert.strictEqual(yield* refused({ secrets: [] }), "SecretMalformed")
      assert.strictEqual(yield* refused({ secrets: Array.from({ length: 17 }, () => stripeSecret) }), "SecretMalformed")
    }))

  it.effect("refuses a scheme that contradicts itself", () =>
    Effect.gen(function*() {
      const { stripe, standardWebhooks } = Signature
      const wrong: ReadonlyArray<unknown> = [
        { ...stripe, signed: ["body"] },
        { ...stripe, signed: ["timestamp", { text: "." }] },
        { ...stripe, signed: ["timestamp", "body", "body"] },
        { ...stripe, timestampHeader: "x-time" },
        { ...stripe, algorithm: "md5" },
        { ...stripe, name: "no name" },
        { ...stripe, bodyLimitBytes: 1e12 },
        { ...standardWebhooks, signed: ["id", "timestamp", { text: "." }, "body"] },
        { ...standardWebhooks, signed: ["timestamp", { text: "." }, "body"] },
        null
      ]
      for (const scheme of wrong) {
        assert.strictEqual(yield* refused({ scheme: scheme as Signature.Scheme }), "SchemeMalformed")
      }
      assert.strictEqual(yield* refused({ bodyLimitBytes: 0 }), "SchemeMalformed")
    }))

  it.effect("says nothing of secret, signature or body when it refuses", () =>
    at(Effect.gen(function*() {
      const headers = { "stripe-signature": `t=${now},v1=${"ab".repeat(32)}` }
      const error = yield* Effect.flip(verify(headers, { body: bytes("a secret body") }))
      const text = `${error.message} ${JSON.stringify(error)} ${String(error)}`
      for (const hidden of ["whsec_", "abab", "secret body"]) assert.notInclude(text, hidden)
      assert.strictEqual(error.scheme, "stripe")
    })))
})

describe("a custom scheme", () => {
  const custom: Signature.Scheme = {
    name: "acme",
    algorithm: "hmacSha512",
    secret: { encoding: "hex", prefix: "k_", bytesMin: 4, bytesMax: 64 },
    signature: { header: "acme-mac", encoding: "base64", layout: { _tag: "Pairs", separator: ";", signature: "m" } },
    idHeader: "acme-id",
    timestampHeader: "acme-time",
    signed: [{ text: "<" }, "body", { text: ">" }, "timestamp", { text: "/" }, "id", { text: "$" }],
    toleranceSeconds: 10,
    bodyLimitBytes: 1024,
    retryHorizonHours: 1,
    eventId: { _tag: "Header", header: "acme-id" }
  }

  it.effect("signs and verifies with the body anywhere, other hashes and other headers", () =>
    at(Effect.gen(function*() {
      const secrets = [Redacted.make("k_DEADBEEF"), Redacted.make("k_cafebabe")]
      const headers = yield* Signature.sign({ scheme: custom, secrets, body: bytes("hé"), id: "7" })
      const mac = (key: string) =>
        createHmac("sha512", Buffer.from(key, "hex")).update(`<hé>${now}/7$`).digest("base64")
      assert.deepStrictEqual({ ...headers }, {
        "acme-id": "7",
        "acme-time": String(now),
        "acme-mac": `m=${mac("deadbeef")};m=${mac("cafebabe")}`
      })
      yield* verify(headers, { scheme: custom, secrets: secrets.slice(1), body: bytes("hé") })
    })))

  it.effect("refuses to sign what it would not verify", () =>
    Effect.gen(function*() {
      const options = { scheme: custom, secrets: [Redacted.make("k_DEADBEEF")], body }
      assert.strictEqual(yield* tagOf(Signature.sign({ ...options, id: "a$b" })), "IdMalformed")
      assert.strictEqual(yield* tagOf(Signature.sign(options)), "IdMalformed")
      assert.strictEqual(
        yield* tagOf(Signature.sign({ ...options, id: "a", timestampSeconds: 1.5 })),
        "TimestampMalformed"
      )
      assert.strictEqual(yield* tagOf(Signature.sign({ ...options, id: "a", secrets: [] })), "SecretMalformed")
    }))
})
