import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Metric, Redacted, Schema } from "effect"
import { Inbox, Signature, Webhook } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { shiftInbox } from "./support/inboxContract.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const secrets = [Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
const now = Date.UTC(2026, 0, 1)

const stripe = Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets })
const standard = Webhook.endpoint({ name: "shop", scheme: Signature.standardWebhooks, secrets })

const deliveryOf = (
  scheme: Signature.Scheme,
  text: string,
  options: { readonly id?: string; readonly timestampSeconds?: number } = {}
) => {
  const body = bytes(text)
  return Effect.map(Signature.sign({ scheme, secrets, body, ...options }), (headers) => ({ headers, body }))
}

/** An order that is paid once for each time that the handler's writes are committed. */
const orders = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE paid (event TEXT NOT NULL, attempt INTEGER NOT NULL)`
  const rows = sql<{ readonly event: string; readonly attempt: number }>`SELECT event, attempt FROM paid`
  return {
    pay: ({ attempt, id }: Webhook.Attempt) => sql`INSERT INTO paid (event, attempt) VALUES (${id}, ${attempt})`,
    paid: Effect.map(rows, (rows) => rows.map(({ event }) => event)),
    attempts: Effect.map(rows, (rows) => rows.map(({ attempt }) => attempt)),
    marks: Effect.map(sql`SELECT id FROM effect_payments_inbox`, (rows) => rows.length)
  }
})

const layer = Layer.mergeAll(Inbox.layerStoreSql(), NodeCrypto.layer).pipe(
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

/** On a database of its own, on the first of January. */
const test = <E>(
  name: string,
  body: Effect.Effect<void, E, Layer.Success<typeof layer>>
) => it.effect(name, () => Effect.andThen(TestClock.setTime(now), Effect.provide(body, Layer.fresh(layer))))

const reasonOf = (error: Signature.SignatureError | Inbox.InboxError | Webhook.WebhookError) => error.reason._tag

describe("a delivery", () => {
  test(
    "is handled once, however often it comes",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { paid, pay } = yield* orders
      const delivery = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      const outcomes = yield* Effect.forEach([1, 2, 3], () => Webhook.handle(endpoint, delivery, pay))
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Handled", "Duplicate", "Duplicate"])
      assert.deepStrictEqual(yield* paid, ["evt_1"])
    })
  )

  test(
    "that comes 64 times at once is handled once",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { paid, pay } = yield* orders
      const delivery = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 64 }),
        () =>
          Effect.match(Webhook.handle(endpoint, delivery, pay), {
            onFailure: (error) => "reason" in error ? error.reason._tag : error,
            onSuccess: ({ _tag }) => _tag
          }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* paid, ["evt_1"])
      assert.isTrue(outcomes.every((x) => x === "Handled" || x === "Duplicate" || x === "InFlight"), outcomes.join())
    })
  )

  test(
    "that was signed anew for a retry is the same event",
    Effect.gen(function*() {
      const endpoint = yield* standard
      const { paid, pay } = yield* orders
      const first = yield* deliveryOf(Signature.standardWebhooks, "{}", { id: "msg_1" })
      yield* Webhook.handle(endpoint, first, pay)
      yield* TestClock.adjust("5 minutes")
      const second = yield* deliveryOf(Signature.standardWebhooks, "{}", { id: "msg_1" })
      assert.notDeepEqual(first.headers, second.headers)
      assert.strictEqual((yield* Webhook.handle(endpoint, second, pay))._tag, "Duplicate")
      assert.deepStrictEqual(yield* paid, ["msg_1"])
    })
  )

  for (const [scheme, after] of [["stripe", "72 hours"], ["standardWebhooks", "75 hours"]] as const) {
    test(
      `of ${scheme} is known for as long as the provider repeats it (${after}) and a day more`,
      Effect.gen(function*() {
        const endpoint = yield* scheme === "stripe" ? stripe : standard
        const { paid, pay } = yield* orders
        const deliver = Effect.flatMap(
          deliveryOf(Signature[scheme], `{"id": "msg_1"}`, { id: "msg_1" }),
          (delivery) => Webhook.handle(endpoint, delivery, pay)
        )
        yield* deliver
        for (const wait of [after, "23 hours"] as const) {
          yield* shiftInbox(wait)
          assert.strictEqual((yield* deliver)._tag, "Duplicate")
        }
        yield* shiftInbox("3 hours")
        assert.strictEqual((yield* deliver)._tag, "Handled")
        assert.strictEqual((yield* paid).length, 2)
      })
    )
  }

  test(
    "whose handler failed or died is handled when it comes again, and nothing is left of the attempts",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { attempts, pay } = yield* orders
      const delivery = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      const failing = Webhook.handle(
        endpoint,
        delivery,
        (event) => Effect.andThen(pay(event), Effect.fail("no" as const))
      )
      assert.strictEqual(yield* Effect.flip(failing), "no")
      yield* Effect.exit(Webhook.handle(endpoint, delivery, (event) => Effect.andThen(pay(event), Effect.die("bug"))))
      assert.deepStrictEqual(yield* attempts, [])
      yield* Webhook.handle(endpoint, delivery, pay)
      assert.deepStrictEqual(yield* attempts, [3])
    })
  )

  test(
    "with the id of another one's content is reported and not handled",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { paid, pay } = yield* orders
      const [first, other] = yield* Effect.all([
        deliveryOf(Signature.stripe, `{"id": "evt_1", "amount": 100}`),
        deliveryOf(Signature.stripe, `{"id": "evt_1", "amount": 900}`)
      ])
      yield* Webhook.handle(endpoint, first, pay)
      const error = yield* Effect.flip(Webhook.handle(endpoint, other, () => Effect.die("ran")))
      assert.strictEqual(reasonOf(error), "EventConflict")
      assert.deepStrictEqual(yield* paid, ["evt_1"])
    })
  )

  test(
    "of Stripe in which only the number of waiting endpoints differs is the same",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { pay } = yield* orders
      const [first, second] = yield* Effect.all([
        deliveryOf(Signature.stripe, `{"id": "evt_1", "pending_webhooks": 2, "amount": 100}`),
        deliveryOf(Signature.stripe, `{"id": "evt_1", "pending_webhooks": 1, "amount": 100}`)
      ])
      yield* Webhook.handle(endpoint, first, pay)
      assert.strictEqual((yield* Webhook.handle(endpoint, second, pay))._tag, "Duplicate")
    })
  )

  test(
    "at another endpoint is another event, and the order in which events come is theirs",
    Effect.gen(function*() {
      const first = yield* stripe
      const second = yield* Webhook.endpoint({ name: "shop2", scheme: Signature.stripe, secrets })
      const { paid, pay } = yield* orders
      const updated = yield* deliveryOf(Signature.stripe, `{"id": "evt_2", "type": "updated"}`)
      const created = yield* deliveryOf(Signature.stripe, `{"id": "evt_1", "type": "created"}`)
      for (const delivery of [updated, created]) yield* Webhook.handle(first, delivery, pay)
      yield* Webhook.handle(second, created, pay)
      assert.deepStrictEqual(yield* paid, ["evt_2", "evt_1", "evt_1"])
    })
  )
})

describe("a request that is not genuine", () => {
  test(
    "leaves no trace in the store, and cannot use up an id",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { marks, paid, pay } = yield* orders
      const genuine = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      const old = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`, { timestampSeconds: now / 1000 - 301 })
      const forged = [
        { headers: {}, body: genuine.body },
        { headers: genuine.headers, body: bytes(`{"id": "evt_2"}`) },
        { headers: { "stripe-signature": `t=${now / 1000},v1=${"0".repeat(64)}` }, body: genuine.body },
        old
      ]
      const reasons = yield* Effect.forEach(
        forged,
        (request) => Effect.map(Effect.flip(Webhook.handle(endpoint, request, () => Effect.die("ran"))), reasonOf)
      )
      assert.deepStrictEqual(reasons, ["MissingHeader", "SignatureMismatch", "SignatureMismatch", "TimestampTooOld"])
      assert.strictEqual(yield* marks, 0)
      yield* Webhook.handle(endpoint, genuine, pay)
      assert.deepStrictEqual([yield* marks, yield* paid], [1, ["evt_1"]])
    })
  )

  test(
    "is told by its signature before anything is read in its body",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const request = {
        headers: { "stripe-signature": `t=${now / 1000},v1=${"0".repeat(64)}` },
        body: bytes("no json")
      }
      assert.strictEqual(reasonOf(yield* Effect.flip(endpoint.verify(request))), "SignatureMismatch")
    })
  )
})

describe("which event it is", () => {
  for (
    const text of [
      `{}`,
      `[{"id":"evt_1"}]`,
      `{"id":7}`,
      `{"id":""}`,
      `{"id":"a b"}`,
      `{"id":"${"a".repeat(256)}"}`,
      `{"ID":"evt_1"}`,
      `{"__proto__":{"id":"evt_1"}}`,
      "not json",
      ""
    ]
  ) {
    test(
      `the body has to say: ${text.slice(0, 40)}`,
      Effect.gen(function*() {
        const endpoint = yield* stripe
        const error = yield* Effect.flip(endpoint.verify(yield* deliveryOf(Signature.stripe, text)))
        assert.strictEqual(reasonOf(error), "IdMalformed")
      })
    )
  }

  test(
    "cannot be said in what is not UTF-8",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const body = new Uint8Array([...bytes(`{"id":"evt_`), 0xff, ...bytes(`"}`)])
      const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets, body })
      assert.strictEqual(reasonOf(yield* Effect.flip(endpoint.verify({ headers, body }))), "IdMalformed")
    })
  )

  test(
    "GitHub says in a header that nobody signs, or else its bytes do",
    Effect.gen(function*() {
      const scheme = { ...Signature.github, eventId: { _tag: "Digest" } } as const
      const byHeader = yield* Webhook.endpoint({ name: "a", scheme: Signature.github, secrets })
      const byDigest = yield* Webhook.endpoint({ name: "b", scheme, secrets })
      const delivery = yield* deliveryOf(Signature.github, "{}")
      const named = (id: string) => ({ ...delivery, headers: { ...delivery.headers, "x-github-delivery": id } })
      assert.strictEqual(reasonOf(yield* Effect.flip(byHeader.verify(delivery))), "MissingHeader")
      assert.strictEqual(reasonOf(yield* Effect.flip(byHeader.verify(named("a b")))), "IdMalformed")
      assert.strictEqual((yield* byHeader.verify(named("72d3162e"))).id, "72d3162e")
      const one = yield* byDigest.verify(named("72d3162e"))
      const two = yield* byDigest.verify(named("another"))
      assert.match(one.id, /^[0-9a-f]{64}$/)
      assert.strictEqual(one.id, two.id)
    })
  )
})

describe("a body nested deeper than can be written again", () => {
  test(
    "is an event all the same",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const { paid, pay } = yield* orders
      const deep = `{"id": "evt_1", "deep": ${"[".repeat(100_000)}${"]".repeat(100_000)}}`
      const delivery = yield* deliveryOf(Signature.stripe, deep)
      for (const tag of ["Handled", "Duplicate"]) {
        assert.strictEqual((yield* Webhook.handle(endpoint, delivery, pay))._tag, tag)
      }
      assert.deepStrictEqual(yield* paid, ["evt_1"])
    })
  )
})

describe("an endpoint", () => {
  const refused = (options: Partial<Webhook.Options>) =>
    Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets, ...options }).pipe(
      Effect.flip,
      Effect.map(reasonOf),
      Effect.provide(NodeCrypto.layer)
    )

  it.effect("is checked when it is made", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* refused({ window: "71 hours" }), "WindowTooShort")
      assert.strictEqual(yield* refused({ window: "Infinity" }), "WindowUnbounded")
      assert.strictEqual(yield* refused({ name: "" }), "NameMalformed")
      assert.strictEqual(yield* refused({ name: "a b" }), "NameMalformed")
      assert.strictEqual(yield* refused({ secrets: [] }), "SecretMalformed")
    }))

  it.effect("remembers for the retry horizon and a day unless it is told a longer time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* stripe).window, Duration.hours(96))
      const longer = yield* Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets, window: "30 days" })
      assert.deepStrictEqual(longer.window, Duration.days(30))
    }).pipe(Effect.provide(NodeCrypto.layer)))
})

describe("the payload", () => {
  const Payment = Schema.Struct({ id: Schema.String, at: Schema.DateTimeUtcFromString, amount: Schema.Int })

  test(
    "is decoded by its schema, from JSON",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const text = `{"id": "evt_1", "at": "2026-01-01T00:00:00Z", "amount": 500}`
      const event = yield* endpoint.verify(yield* deliveryOf(Signature.stripe, text))
      const payment = yield* Webhook.payload(event, Payment)
      assert.strictEqual(payment.amount, 500)
      assert.strictEqual(payment.at.epochMilliseconds, now)
    })
  )

  test(
    "that does not fit is refused with nothing of what it holds",
    Effect.gen(function*() {
      const endpoint = yield* stripe
      const text = `{"id": "evt_1", "at": "4111111111111111", "amount": "a secret amount"}`
      const event = yield* endpoint.verify(yield* deliveryOf(Signature.stripe, text))
      const error = yield* Effect.flip(Webhook.payload(event, Payment))
      assert.strictEqual(reasonOf(error), "PayloadMalformed")
      assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /4111|secret/)
      // Names come from the body where the schema does not state them.
      const named = yield* endpoint.verify(yield* deliveryOf(Signature.stripe, `{"4111111111111111": "x", "id": "1"}`))
      const wrong = yield* Effect.flip(Webhook.payload(named, Schema.Record(Schema.String, Schema.Int)))
      assert.notInclude(`${wrong.message} ${JSON.stringify(wrong)}`, "4111111111111111")
    })
  )

  test(
    "that is no JSON is refused too",
    Effect.gen(function*() {
      const endpoint = yield* Webhook.endpoint({
        name: "shop",
        scheme: { ...Signature.github, eventId: { _tag: "Digest" } },
        secrets
      })
      const event = yield* endpoint.verify(yield* deliveryOf(Signature.github, "Hello, World!"))
      assert.strictEqual(reasonOf(yield* Effect.flip(Webhook.payload(event, Payment))), "PayloadMalformed")
    })
  )
})

describe("what became of deliveries", () => {
  test(
    "is counted by outcome",
    Effect.gen(function*() {
      const endpoint = yield* Webhook.endpoint({ name: "counted", scheme: Signature.stripe, secrets })
      const delivery = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      yield* Effect.exit(Webhook.handle(endpoint, delivery, () => Effect.fail("no")))
      yield* Webhook.handle(endpoint, delivery, () => Effect.void)
      yield* Webhook.handle(endpoint, delivery, () => Effect.void)
      yield* Effect.exit(Webhook.handle(endpoint, { ...delivery, headers: {} }, () => Effect.void))
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "effect_payments_webhook_deliveries_total" && metric.attributes?.["endpoint"] === "counted"
          ? [[metric.attributes["outcome"], (metric.state as { readonly count: number }).count]]
          : []
      )
      assert.deepStrictEqual(Object.fromEntries(counts), { Failed: 1, Handled: 1, Duplicate: 1, MissingHeader: 1 })
    })
  )
})

describe("at least once", () => {
  it.effect("runs again when the process dies before the mark, with a higher attempt", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now)
      const endpoint = yield* stripe
      const delivery = yield* deliveryOf(Signature.stripe, `{"id": "evt_1"}`)
      const attempts: Array<number> = []
      const note = ({ attempt }: Webhook.Attempt) => Effect.sync(() => void attempts.push(attempt))
      const failing = Webhook.handleAtLeastOnce(
        endpoint,
        delivery,
        (event) => Effect.andThen(note(event), Effect.die("killed"))
      )
      yield* Effect.exit(failing)
      assert.strictEqual((yield* Webhook.handleAtLeastOnce(endpoint, delivery, note))._tag, "Handled")
      assert.strictEqual((yield* Webhook.handleAtLeastOnce(endpoint, delivery, note))._tag, "Duplicate")
      assert.deepStrictEqual(attempts, [1, 2])
    }).pipe(Effect.provide(Layer.mergeAll(Inbox.layerStoreMemory(), NodeCrypto.layer))))
})
