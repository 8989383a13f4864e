import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it, layer, vi } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Exit, Layer, Option, Redacted } from "effect"
import { Card, Money, PaymentError, PaymentGateway } from "effect-payments"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { createServer as createTlsServer } from "node:https"
import { type AddressInfo, createServer, type Server } from "node:net"
import { inspect } from "node:util"
import { makeClaim, underClaim, withClaim } from "../../payments/test/support/claim.ts"
import { GatewaySim, layer as layerSim, start } from "../src/gateway-sim/start.ts"
import * as SimGateway from "../src/SimGateway.ts"
import { selfSigned } from "./support/certificate.ts"
import { receiver } from "./support/wire.ts"

// Each starts processes, on machines that have other things to do.
vi.setConfig({ testTimeout: 60_000 })

const token = Card.CardToken.make("tok_visa")
const eur = (amount: string) => Money.makeUnsafe("EUR", amount)
const sale = { token, money: eur("12.50"), capture: true }
const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layerNodeHttp]
]
let counter = 0
const newKey = () => `order-${++counter}`
const downstreamKey = (key: string) => `down:${key}:authorize`
const fault = (status: number) => new PaymentError.GatewayFault({ status, repeatable: true })
const broken = new PaymentError.NetworkError({ sent: true, repeatable: true })
const unreachable = new PaymentError.NetworkError({ sent: false })

const gatewayOf = Effect.fnUntraced(function*(options: Partial<SimGateway.Options> = {}) {
  const { baseUrl } = yield* GatewaySim
  return yield* SimGateway.make({ baseUrl, ...options })
})

const tagOf = (exit: Exit.Exit<PaymentGateway.Transaction, PaymentError.PaymentError>): string =>
  Exit.match(exit, {
    onSuccess: ({ status }) => status,
    onFailure: (cause) =>
      cause.reasons.map((reason) => reason._tag === "Fail" ? reason.error.reason._tag : reason._tag).join()
  })

for (const [name, client] of clients) {
  layer(Layer.merge(layerSim(), client), { excludeTestServices: true, timeout: Duration.seconds(60) })(
    `SimGateway over ${name}`,
    (it) => {
      const plans: ReadonlyArray<{
        readonly plan: string
        readonly reason: PaymentError.Reason
        readonly happened: boolean
      }> = [
        { plan: "fail-before", reason: new PaymentError.GatewayUnavailable({ by: "gateway" }), happened: false },
        { plan: "fault-500-before", reason: fault(500), happened: false },
        { plan: "fault-500-after", reason: fault(500), happened: true },
        { plan: "fail-after", reason: fault(502), happened: true },
        { plan: "unavailable-after", reason: fault(503), happened: true },
        { plan: "drop-before", reason: broken, happened: false },
        { plan: "lost-reply", reason: broken, happened: true },
        { plan: "reset-reply", reason: broken, happened: true },
        { plan: "garbage", reason: fault(201), happened: true },
        { plan: "wrong-shape", reason: fault(201), happened: true },
        { plan: "wrong-amount", reason: fault(201), happened: true },
        { plan: "oversized", reason: fault(201), happened: true },
        { plan: "truncated", reason: fault(201), happened: true },
        {
          plan: "rate-limit=2",
          reason: new PaymentError.RateLimited({ by: "gateway", retryAfter: Duration.seconds(2) }),
          happened: false
        }
      ]
      it.effect.each(plans)("$plan", ({ happened, plan, reason }) =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          const gateway = yield* gatewayOf()
          const key = newKey()
          yield* sim.plan({ key: downstreamKey(key), plan })
          const before = yield* sim.charges
          const claim = makeClaim(key)
          const error = yield* Effect.flip(gateway.authorize(sale)).pipe(underClaim(claim))
          assert.deepStrictEqual(error.reason, reason)
          assert.strictEqual((yield* sim.charges) - before, happened ? 1 : 0)
          const found = yield* gateway.lookup(downstreamKey(key))
          assert.strictEqual(found._tag, happened ? "Happened" : "NeverHappened")
          const second = yield* gateway.authorize(sale).pipe(underClaim(claim))
          if (found._tag === "Happened") assert.deepStrictEqual(found.result, second)
          assert.strictEqual((yield* sim.charges) - before, 1)
        }))

      it.effect.each([["hang-after", "Happened"], ["hang-before", "NeverHappened"]] as const)(
        "%s: the caller's timeout ends it, the look-up tells what came of it",
        ([plan, tag]) =>
          Effect.gen(function*() {
            const sim = yield* GatewaySim
            const gateway = yield* gatewayOf()
            const key = newKey()
            yield* sim.plan({ key: downstreamKey(key), plan })
            const charge = Effect.timeoutOption(gateway.authorize(sale).pipe(withClaim(key)), "1 second")
            assert.isTrue(Option.isNone(yield* charge))
            assert.strictEqual((yield* gateway.lookup(downstreamKey(key)))._tag, tag)
          })
      )

      it.effect("moves money there and back", () =>
        Effect.gen(function*() {
          const { ledger, reset } = yield* GatewaySim
          yield* reset
          const gateway = yield* gatewayOf()
          const run = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(withClaim(newKey()))
          const held = yield* run(gateway.authorize({ token, money: eur("12.50"), merchantReference: "order 1" }))
          assert.strictEqual(held.status, "authorized")
          assert.deepStrictEqual(held.avs, { street: "match", postal: "match" })
          assert.strictEqual(held.cvv, "match")
          const taken = yield* run(gateway.capture({ transactionId: held.id, money: eur("10.00") }))
          assert.isTrue(Money.Equivalence(taken.money, eur("10.00")))
          assert.strictEqual(taken.parent, held.id)
          const given = yield* run(gateway.refund({ transactionId: taken.id, reason: "returned" }))
          assert.isTrue(Money.Equivalence(given.money, eur("10.00")))
          const other = yield* run(gateway.authorize({ token, money: Money.makeUnsafe("JPY", "500") }))
          assert.strictEqual((yield* run(gateway.void({ transactionId: other.id }))).status, "voided")
          assert.deepStrictEqual((yield* ledger).totals, {
            EUR: { charged: "1250", captured: "1000", voided: "0", refunded: "1000", net: "0" },
            JPY: { charged: "500", captured: "0", voided: "500", refunded: "0", net: "0" }
          })
        }))

      it.effect("passes on what the gateway refuses", () =>
        Effect.gen(function*() {
          const gateway = yield* gatewayOf()
          const run = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(withClaim(newKey()))
          const refusal = (self: ReturnType<typeof gateway.void>) =>
            Effect.map(Effect.flip(run(self)), ({ reason }) =>
              reason._tag === "InvalidRequest" ? reason.code : reason._tag)
          const { id: transactionId } = yield* run(gateway.authorize(sale))
          assert.strictEqual(yield* refusal(gateway.void({ transactionId })), "already_captured")
          const tooMuch = { transactionId, money: eur("12.51") }
          assert.strictEqual(yield* refusal(gateway.refund(tooMuch)), "refund_exceeds_captured")
          assert.strictEqual(yield* refusal(gateway.capture(tooMuch)), "capture_exceeds_authorized")
          const nobody = PaymentGateway.TransactionId.make("../../ledger?x=1")
          assert.strictEqual(yield* refusal(gateway.void({ transactionId: nobody })), "unknown_transaction")
        }))

      it.effect.each(
        [
          ["tok_declined", "CardDeclined", "TryAnotherMethod", "new"],
          ["tok_expired", "ExpiredCard", "UpdateCard", "new"],
          ["tok_cvc", "InvalidCardData", "CheckDetails", "new"],
          ["tok_try_again", "PaymentUnavailable", "TryLater", "new"],
          // What the payer sees of these three is what he sees of the first.
          ["tok_stolen", "CardDeclined", "TryAnotherMethod", "new"],
          ["tok_lost", "CardDeclined", "TryAnotherMethod", "new"],
          ["tok_fraud", "CardDeclined", "TryAnotherMethod", "new"]
        ] as const
      )("declines %s, again under its key, and on look-up", ([token, code, advice, nextKey]) =>
        Effect.gen(function*() {
          const gateway = yield* gatewayOf()
          const key = newKey()
          const charge = Effect.flip(gateway.authorize({ ...sale, token: Card.CardToken.make(token) })).pipe(
            withClaim(key)
          )
          const first = yield* charge
          assert.strictEqual(first.disposition, "Refused")
          assert.deepInclude(first.reason, { _tag: "CardDeclined", code, advice, nextKey })
          assert.deepStrictEqual(yield* charge, first)
          assert.deepStrictEqual(yield* gateway.lookup(downstreamKey(key)), PaymentGateway.refused(first))
        }))

      it.effect("tells a challenge, an empty account and a closed shop from a decline", () =>
        Effect.gen(function*() {
          const gateway = yield* gatewayOf()
          const reason = (token: string, key = newKey()) =>
            Effect.map(
              Effect.flip(gateway.authorize({ ...sale, token: Card.CardToken.make(token) })).pipe(withClaim(key)),
              ({ reason }) => reason
            )
          const challenge = yield* reason("tok_3ds", "3ds")
          assert.deepStrictEqual(
            challenge,
            new PaymentError.AuthenticationRequired({
              challenge: {
                id: `3ds_${downstreamKey("3ds")}`,
                url: `https://acs.example/challenge/${encodeURIComponent(downstreamKey("3ds"))}`
              }
            })
          )
          assert.strictEqual((yield* reason("tok_insufficient"))._tag, "InsufficientFunds")
          assert.deepStrictEqual(
            yield* reason("tok_rate_limited"),
            new PaymentError.RateLimited({ by: "gateway", retryAfter: Duration.seconds(1) })
          )
          assert.deepStrictEqual(
            yield* reason("tok_unavailable"),
            new PaymentError.GatewayUnavailable({ by: "gateway" })
          )
          assert.deepStrictEqual(
            yield* reason("tok_nobody"),
            new PaymentError.InvalidRequest({ code: "unknown_token", field: "token" })
          )
        }))

      it.effect("waits for nobody: a duplicate in flight is Unknown and repeatable", () =>
        Effect.gen(function*() {
          const sim = yield* GatewaySim
          const gateway = yield* gatewayOf()
          const key = newKey()
          yield* sim.plan({ key: downstreamKey(key), plan: "delay=2000" })
          const claim = makeClaim(key)
          const charge = gateway.authorize(sale).pipe(underClaim(claim))
          const [first, second] = yield* Effect.all([
            charge,
            Effect.delay(Effect.flip(charge), "300 millis"),
            Effect.andThen(
              Effect.sleep("400 millis"),
              Effect.map(gateway.lookup(downstreamKey(key)), ({ _tag }) => {
                assert.strictEqual(_tag, "StillUnknown")
              })
            )
          ], { concurrency: "unbounded" })
          assert.strictEqual(first.status, "captured")
          assert.deepStrictEqual(second.reason, fault(409))
          assert.isTrue(second.repeatable)
        }))

      it.effect("knows that nothing was sent when there was nobody to send it to", () =>
        Effect.gen(function*() {
          const failures = yield* Effect.scoped(Effect.gen(function*() {
            const tls = yield* listening(() => createTlsServer(selfSigned(), (_, response) => response.end()))
            const closed = yield* closedPort
            return yield* Effect.forEach([
              `http://127.0.0.1:${closed}`,
              `http://localhost:${closed}`,
              `http://${"x".repeat(64)}.invalid`,
              `https://localhost:${tls}`
            ], (baseUrl) => Effect.flatMap(gatewayOf({ baseUrl }), (gateway) => Effect.flip(gateway.authorize(sale))))
          })).pipe(withClaim(newKey()))
          assert.deepStrictEqual(failures.map(({ reason }) => reason), failures.map(() => unreachable))
        }))

      it.effect("takes anything else that goes wrong on the way for sent", () =>
        Effect.gen(function*() {
          const failures = yield* Effect.scoped(Effect.gen(function*() {
            const closes = yield* listening(() => createServer((socket) => socket.on("error", () => {}).destroy()))
            const babbles = yield* listening(() =>
              createServer((socket) => socket.on("error", () => {}).end("nonsense\r\n\r\n"))
            )
            return yield* Effect.forEach([
              `http://127.0.0.1:${closes}`,
              `http://127.0.0.1:${babbles}`,
              `https://127.0.0.1:${babbles}`
            ], (baseUrl) => Effect.flatMap(gatewayOf({ baseUrl }), (gateway) => Effect.flip(gateway.authorize(sale))))
          })).pipe(withClaim(newKey()))
          assert.deepStrictEqual(failures.map(({ reason }) => reason), failures.map(() => broken))
        }))

      it.effect("follows no redirect with a payment", () =>
        Effect.scoped(Effect.gen(function*() {
          const elsewhere = yield* receiver([201])
          const redirecting = yield* receiver([307], { location: elsewhere.url })
          const gateway = yield* gatewayOf({ baseUrl: redirecting.url })
          const error = yield* Effect.flip(gateway.authorize(sale)).pipe(withClaim(newKey()))
          assert.deepStrictEqual(error.reason, fault(307))
          assert.lengthOf(redirecting.received, 1)
          assert.lengthOf(elsewhere.received, 0)
        })))
    }
  )
}

const listening = (make: () => Server) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = make()
        server.listen(0, () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => (server.address() as AddressInfo).port
  )

/** A port of which the system has just said that it is free. */
const closedPort = Effect.scoped(listening(() => createServer()))

describe("SimGateway with the simulator", () => {
  it.live("asks with its API key, and takes a wrong one for not executed", () =>
    Effect.scoped(Effect.gen(function*() {
      const { baseUrl, charges } = yield* start({ apiKey: "sk_test_right" })
      const charge = (apiKey: string) =>
        Effect.flatMap(SimGateway.make({ baseUrl, apiKey: Redacted.make(apiKey) }), (gateway) =>
          Effect.exit(gateway.authorize(sale))).pipe(withClaim("k"))
      assert.strictEqual(tagOf(yield* charge("sk_test_wrong")), "GatewayUnavailable")
      assert.strictEqual(yield* charges, 0)
      assert.strictEqual(tagOf(yield* charge("sk_test_right")), "captured")
    })).pipe(Effect.provide(FetchHttpClient.layer)))

  it.live(
    "fails over from a gateway that is gone, and back to nobody from one that may have acted",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const [a, b] = yield* Effect.all([start(), start()])
        const first = yield* SimGateway.make({ baseUrl: a.baseUrl, name: "a" })
        const second = yield* SimGateway.make({ baseUrl: b.baseUrl, name: "b" })
        const both = PaymentGateway.failover(first, second)
        const claim = makeClaim("doubt")
        yield* a.plan({ plan: "lost-reply" })
        assert.strictEqual(tagOf(yield* Effect.exit(both.authorize(sale)).pipe(underClaim(claim))), "NetworkError")
        assert.strictEqual(yield* a.charges, 1)
        assert.strictEqual((yield* both.lookup(downstreamKey("doubt")))._tag, "Happened")
        yield* a.stop
        const again = yield* Effect.flip(both.authorize(sale)).pipe(underClaim(claim))
        assert.deepStrictEqual(again.reason, unreachable)
        const moved = yield* both.authorize(sale).pipe(withClaim("new"))
        assert.match(moved.id, /^b:/)
        yield* both.refund({ transactionId: moved.id }).pipe(withClaim("refund"))
        const { charges, totals } = yield* b.ledger
        assert.strictEqual(charges, 1)
        assert.strictEqual(totals["EUR"]?.net, "0")
        // One of the two cannot be asked: nobody says that it never happened.
        assert.strictEqual((yield* both.lookup("never sent"))._tag, "StillUnknown")
      })).pipe(Effect.provide(FetchHttpClient.layer)),
    60_000
  )

  it.live("is configured from the environment", () =>
    Effect.scoped(Effect.gen(function*() {
      const { baseUrl, charges } = yield* start({ apiKey: "sk_test_right" })
      const environment = (env: Record<string, string>) =>
        Layer.provide(SimGateway.layerConfig, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      const charge = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(sale)).pipe(
        withClaim("k")
      )
      yield* Effect.provide(
        charge,
        environment({ SIM_GATEWAY_URL: `${baseUrl}/`, SIM_GATEWAY_API_KEY: "sk_test_right" })
      )
      assert.strictEqual(yield* charges, 1)
      const error = yield* Effect.flip(Effect.provide(charge, environment({ SIM_GATEWAY_URL: "nowhere" })))
      assert.instanceOf(error, Config.ConfigError)
    })).pipe(Effect.provide(FetchHttpClient.layer)))
})

/** A client that answers each request with this, or fails for this cause. */
const answering = (
  status: number,
  body: string | Uint8Array<ArrayBuffer> | null,
  headers: Record<string, string> = {}
) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(body, { status, headers })))
    )
  )
const failing = (cause: unknown) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.fail(
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      )
    )
  )
const under = <A, E>(
  client: Layer.Layer<HttpClient.HttpClient>,
  use: (gateway: PaymentGateway.PaymentGateway["Service"]) => Effect.Effect<A, E, any>
) =>
  SimGateway.make({ baseUrl: "http://gateway.example", apiKey: Redacted.make("sk_test_secret") }).pipe(
    Effect.flatMap(use),
    withClaim("k"),
    Effect.provide(client)
  ) as Effect.Effect<A, E>

const json = JSON.stringify
const sold = { id: "auth_1", kind: "authorize", status: "captured", amountMinor: "1250", currency: "EUR" }
const failure = (type: string, code: string, extra: object = {}) => json({ error: { type, code, ...extra } })

describe("SimGateway reads answers", () => {
  const unavailable = new PaymentError.GatewayUnavailable({ by: "gateway" })
  const invalid = (code: string, field?: string) =>
    new PaymentError.InvalidRequest({ code, ...field === undefined ? {} : { field } })
  const cases: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>, PaymentError.Reason]> = [
    ["200 and nothing", answering(200, null), fault(200)],
    ["200 and a list", answering(200, "[]"), fault(200)],
    ["200 and bytes that are no UTF-8", answering(200, new Uint8Array([0x22, 0xff, 0x22])), fault(200)],
    ["200 and another kind", answering(200, json({ ...sold, kind: "refund" })), fault(200)],
    ["200 and another amount", answering(200, json({ ...sold, amountMinor: "1251" })), fault(200)],
    ["200 and another currency", answering(200, json({ ...sold, currency: "USD" })), fault(200)],
    ["200 and a currency that is none", answering(200, json({ ...sold, currency: "XXQ" })), fault(200)],
    ["200 and an amount that is a number", answering(200, json({ ...sold, amountMinor: 1250 })), fault(200)],
    ["200 and an amount without end", answering(200, json({ ...sold, amountMinor: "1".repeat(5000) })), fault(200)],
    ["200 and a status that is none", answering(200, json({ ...sold, status: "perhaps" })), fault(200)],
    ["200 and no id", answering(200, json({ ...sold, id: "" })), fault(200)],
    ["204", answering(204, null), fault(204)],
    ["302", answering(302, null, { location: "http://elsewhere.example" }), fault(302)],
    ["400", answering(400, failure("invalid_request", "bad", { field: "token" })), invalid("bad", "token")],
    ["400 of a proxy", answering(400, "<html>"), fault(400)],
    [
      "400 with a code that is prose",
      answering(400, failure("x", "card 4111 1111 1111 1111")),
      invalid("unrecognised")
    ],
    ["400 with a field that is prose", answering(400, failure("x", "bad", { field: "a b" })), invalid("bad")],
    ["401", answering(401, failure("authentication", "api_key_invalid")), unavailable],
    ["401 of a proxy", answering(401, "<html>"), fault(401)],
    [
      "402 with a code that nobody knows",
      answering(402, failure("card_error", "no_such_code")),
      PaymentError.fromDecline({
        processor: "stripe:decline_code",
        code: "no_such_code"
      }).reason
    ],
    ["402 without a verdict", answering(402, failure("card_error", "duplicate_transaction")), fault(402)],
    ["402 of a proxy", answering(402, "<html>"), fault(402)],
    ["403", answering(403, failure("authentication", "forbidden")), unavailable],
    ["404", answering(404, failure("x", "unknown_transaction")), invalid("unknown_transaction")],
    ["404 of a proxy", answering(404, "not found"), fault(404)],
    ["408", answering(408, failure("x", "slow")), fault(408)],
    ["409", answering(409, failure("in_flight", "in_flight")), fault(409)],
    ["413", answering(413, failure("x", "too_large")), invalid("too_large")],
    ["422", answering(422, failure("x", "idempotency_key_reused")), invalid("idempotency_key_reused")],
    ["500", answering(500, failure("api_error", "internal")), fault(500)],
    ["502", answering(502, "<html>"), fault(502)],
    ["503 with a promise", answering(503, failure("x", "maintenance", { processed: false })), unavailable],
    ["503 without", answering(503, failure("x", "maintenance")), fault(503)],
    ["503 with its opposite", answering(503, failure("x", "maintenance", { processed: true })), fault(503)],
    ["503 of a proxy", answering(503, "<html>"), fault(503)],
    ["500 with a promise that only 503 can make", answering(500, failure("x", "y", { processed: false })), fault(500)],
    ["504", answering(504, null), fault(504)]
  ]
  it.effect.each(cases)("%s", ([, client, reason]) =>
    Effect.gen(function*() {
      const error = yield* under(client, (gateway) => Effect.flip(gateway.authorize(sale)))
      assert.deepStrictEqual(error.reason, reason)
    }))

  const now = Date.UTC(2026, 10, 24, 12, 0, 0)
  it.effect.each(
    [
      ["seconds", "7", 7],
      ["a date", "Tue, 24 Nov 2026 12:00:30 GMT", 30],
      ["a date that has passed", "Tue, 24 Nov 2026 11:00:00 GMT", 0],
      ["a year", "31536000", 86_400],
      ["prose", "soon", undefined],
      ["a date of another form", "2026-11-24T12:00:30Z", undefined],
      ["a fraction", "1.5", undefined],
      ["less than nothing", "-1", undefined],
      ["digits without end", "9".repeat(400), undefined],
      ["nothing", undefined, undefined]
    ] as const
  )("waits as told by retry-after: %s", ([, header, seconds]) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now)
      const headers = header === undefined ? {} : { "retry-after": header }
      const wait = seconds === undefined ? undefined : Duration.seconds(seconds)
      for (const body of [failure("rate_limited", "x"), "<html>"]) {
        const limited = yield* under(answering(429, body, headers), ({ authorize }) => Effect.flip(authorize(sale)))
        assert.strictEqual(limited.reason._tag, "RateLimited")
        assert.deepStrictEqual(limited.retryAfter, wait)
      }
      const body = failure("x", "maintenance", { processed: false })
      const closed = yield* under(answering(503, body, headers), ({ authorize }) => Effect.flip(authorize(sale)))
      assert.deepStrictEqual(closed.retryAfter, wait)
    }))

  it.effect("takes a value it does not know in a check for no value, not for no payment", () =>
    Effect.gen(function*() {
      const answer = json({ ...sold, avs: { street: "perhaps" }, cvv: 7, extra: true })
      const transaction = yield* under(answering(201, answer), (gateway) => gateway.authorize(sale))
      assert.deepStrictEqual([transaction.status, transaction.avs, transaction.cvv], ["captured", undefined, undefined])
    }))

  it.effect.each(
    [
      ["completed", 200, json({ state: "completed", transaction: sold }), "Happened"],
      ["completed, unreadable", 200, json({ state: "completed", transaction: {} }), "GatewayFault"],
      [
        "completed, a currency that is none",
        200,
        json({ state: "completed", transaction: { ...sold, currency: "XXQ" } }),
        "GatewayFault"
      ],
      [
        "refused",
        200,
        json({ state: "refused", status: 402, error: { type: "card_error", code: "expired_card" } }),
        "Refused"
      ],
      [
        "refused, for a reason that is no refusal",
        200,
        json({ state: "refused", status: 500, error: { type: "x", code: "y" } }),
        "StillUnknown"
      ],
      ["in progress", 200, json({ state: "in_progress" }), "StillUnknown"],
      ["another state", 200, json({ state: "perhaps" }), "GatewayFault"],
      ["unknown key", 404, failure("not_found", "unknown_key"), "NeverHappened"],
      ["404 of another kind", 404, failure("not_found", "unknown_route"), "InvalidRequest"],
      ["404 of a proxy", 404, "not found", "GatewayFault"],
      ["empty 404", 404, null, "GatewayFault"],
      ["too many", 429, null, "RateLimited"],
      ["a fault", 500, failure("api_error", "internal"), "GatewayFault"]
    ] as const
  )("looks up: %s", ([, status, body, tag]) =>
    Effect.gen(function*() {
      const found = yield* under(answering(status, body), (gateway) =>
        Effect.match(gateway.lookup("k"), {
          onSuccess: ({ _tag }) => _tag,
          onFailure: ({ reason }) => reason._tag
        }))
      assert.strictEqual(found, tag)
    }))

  it.effect("sends no amount that the gateway cannot count, and none of nothing", () =>
    Effect.gen(function*() {
      for (const amount of ["0", "-1"]) {
        const error = yield* under(failing("sent"), ({ authorize }) =>
          Effect.flip(authorize({ ...sale, money: eur(amount) })))
        assert.deepStrictEqual(error.reason, invalid("amount_not_positive", "money"))
      }
    }))

  it.effect("lets no secret, token, key or body into an error", () =>
    Effect.gen(function*() {
      const secrets = ["sk_test_secret", "tok_visa", "down:k", "4111", "BODY"]
      const hostile = [
        ...cases.map(([, client]) => client),
        answering(400, failure("BODY", "BODY 4111", { field: "BODY 4111" })),
        answering(402, failure("BODY", "BODY 4111")),
        answering(500, "BODY 4111"),
        failing(new Error("BODY tok_visa sk_test_secret"))
      ]
      for (const client of hostile) {
        const error = yield* under(client, ({ authorize }) => Effect.flip(authorize(sale)))
        const shown = [String(error), error.message, json(error), inspect(error, { depth: 10 }), String(error.stack)]
          .join()
        for (const secret of secrets) assert.notInclude(shown, secret)
      }
    }))
})

describe("SimGateway reads failures of the connection", () => {
  const of = (code: string, syscall?: string) => Object.assign(new Error(code), { code, syscall })
  const refused = of("ECONNREFUSED", "connect")
  const wrapped = (cause: unknown) => new TypeError("fetch failed", { cause })
  const timedOut = new PaymentError.GatewayTimeout({ repeatable: true })
  const cases: ReadonlyArray<readonly [string, unknown, PaymentError.Reason]> = [
    ["refused", refused, unreachable],
    ["refused, wrapped", wrapped(refused), unreachable],
    ["refused at all addresses", wrapped(new AggregateError([refused, refused])), unreachable],
    ["refused at one, reset at another", new AggregateError([refused, of("ECONNRESET", "read")]), broken],
    ["refused at one, unknown at another", new AggregateError([refused, "lost"]), broken],
    ["refused while reading", of("ECONNREFUSED", "read"), broken],
    ["no such name", of("ENOTFOUND", "getaddrinfo"), unreachable],
    ["no name service", of("EAI_AGAIN", "getaddrinfo"), unreachable],
    ["an expired certificate", wrapped(of("CERT_HAS_EXPIRED")), unreachable],
    ["a certificate for another host", of("ERR_TLS_CERT_ALTNAME_INVALID"), unreachable],
    ["a TLS error that also comes later", of("ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC"), broken],
    ["a TLS protocol error", of("EPROTO", "write"), broken],
    ["reset", of("ECONNRESET", "read"), broken],
    ["a broken pipe", of("EPIPE", "write"), broken],
    ["closed", wrapped(of("UND_ERR_SOCKET")), broken],
    ["no connection in time", of("UND_ERR_CONNECT_TIMEOUT"), broken],
    ["a timeout of the system", of("ETIMEDOUT", "connect"), broken],
    ["no headers in time", of("UND_ERR_HEADERS_TIMEOUT"), timedOut],
    ["no body in time", wrapped(of("UND_ERR_BODY_TIMEOUT")), timedOut],
    ["no route", of("EHOSTUNREACH", "connect"), broken],
    ["an error without a code", new Error("socket hang up"), broken],
    ["a string", "lost", broken],
    ["nothing", undefined, broken],
    ["no end of causes", Array.from({ length: 50 }).reduce((cause) => wrapped(cause), refused), broken]
  ]
  it.effect.each(cases)("%s", ([, cause, reason]) =>
    Effect.gen(function*() {
      const error = yield* under(failing(cause), ({ authorize }) => Effect.flip(authorize(sale)))
      assert.deepStrictEqual(error.reason, reason)
    }))

  it.effect("a base URL that is none", () =>
    Effect.gen(function*() {
      const gateway = yield* SimGateway.make({ baseUrl: "http://:0:0" })
      const error = yield* Effect.flip(gateway.authorize(sale)).pipe(withClaim("k"))
      assert.deepStrictEqual(error.reason, unreachable)
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})
