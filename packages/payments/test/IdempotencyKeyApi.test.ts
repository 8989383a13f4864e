import { NodeCrypto, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { IdempotencyKey, IdempotencyProblem } from "effect-payments/http"
import { TestGateway } from "effect-payments/testing"
import {
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema
} from "effect/http-api"
import { request as rawRequest } from "node:http"

class Merchant extends Context.Service<Merchant, { readonly id: string }>()("test/Merchant") {}

class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, { httpApiStatus: 401 }) {}

class Auth extends HttpApiMiddleware.Service<Auth, { provides: Merchant }>()("test/Auth", { error: Unauthorized }) {}

class ChargeKey extends IdempotencyKey.Service<ChargeKey, { requires: Merchant }>()("test/ChargeKey") {}

/** A refusal by its status. */
class Declined extends Schema.TaggedError<Declined>()("Declined", {
  code: Schema.String,
  at: Schema.Date
}, { httpApiStatus: 402 }) {}

/** Says itself that nothing happened, under a status that does not. */
class Busy extends Schema.TaggedError<Busy>()("Busy", {}, { httpApiStatus: 500 }) {
  readonly disposition = "NotExecuted" as const
}

const Charge = Schema.Struct({ id: Schema.String, money: Money.Money })

const endpoint = HttpApiEndpoint.post("create", "/charges", {
  headers: { "idempotency-key": IdempotencyKey.KeyFromHeader },
  payload: Schema.Struct({ money: Money.Money, note: Schema.optionalKey(Schema.String) }),
  success: Charge.pipe(HttpApiSchema.status(201)),
  error: [Declined, Busy, PaymentError.PaymentError]
}).middleware(ChargeKey).middleware(Auth)

const Api = HttpApi.make("shop").add(HttpApiGroup.make("charges").add(endpoint))

const authorize = (money: Money.Money) =>
  Effect.flatMap(
    PaymentGateway.PaymentGateway,
    (gateway) => gateway.authorize({ token: Card.CardToken.make("tok_visa"), money })
  ).pipe(Resilience.retry({ attempts: 3, base: "1 millis" }))

type Run = (note: string | undefined, money: Money.Money) => Effect.Effect<
  { readonly id: string; readonly money: Money.Money },
  Declined | Busy | PaymentError.PaymentError,
  IdempotencyKey.Provides | PaymentGateway.PaymentGateway
>

const auth = Layer.succeed(
  Auth,
  Effect.fnUntraced(function*(handler) {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    const id = headers["authorization"]
    if (id === undefined) return yield* new Unauthorized()
    return yield* Effect.provideService(handler, Merchant, { id })
  })
)

const resolve = IdempotencyKey.respondWith(Idempotency.resolveByLookup({ phases: ["authorize"] }), {
  happened: ({ id, money }) =>
    HttpServerResponse.jsonUnsafe(Schema.encodeSync(Schema.toCodecJson(Charge))({ id, money }), { status: 201 }),
  refused: ({ reason }) => HttpServerResponse.jsonUnsafe({ reason: reason._tag }, { status: 402 })
})

const serve = (run: Run, options: { readonly resolve?: typeof resolve; readonly plan?: TestGateway.Plan } = {}) =>
  HttpRouter.serve(
    HttpApiBuilder.layer(Api).pipe(
      Layer.provide(
        HttpApiBuilder.group(
          Api,
          "charges",
          (handlers) => handlers.handle("create", ({ payload }) => run(payload.note, payload.money))
        )
      ),
      Layer.provide(
        IdempotencyKey.layer(ChargeKey, {
          tenant: Effect.map(Merchant, ({ id }) => id),
          documentation: "https://shop.example/keys",
          resolve: options.resolve
        })
      ),
      Layer.provide(auth)
    ),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(NodeHttpServer.layerTest),
    Layer.provideMerge(TestGateway.layer({ plan: options.plan ?? [] })),
    Layer.provide(Idempotency.layer()),
    Layer.provide([Layer.orDie(IdempotencyStore.layerStoreMemory()), NodeCrypto.layer])
  )

const money = Money.makeUnsafe("EUR", "12.50")
const key = Idempotency.Key.make(`a "key"`)

const create = (
  options: {
    readonly key?: Idempotency.Key
    readonly note?: string
    readonly merchant?: string | undefined
    readonly money?: Money.Money
  } = {}
) =>
  Effect.gen(function*() {
    const { merchant = "A" } = options
    const client = yield* HttpApiClient.make(Api, {
      transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("authorization", merchant))
    })
    return yield* client.charges.create({
      headers: { "idempotency-key": options.key ?? key },
      payload: { money: options.money ?? money, ...(options.note === undefined ? {} : { note: options.note }) }
    })
  })

const post = (body: string | undefined, headers: Record<string, string>) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const request = HttpClientRequest.post("/charges", { headers })
    const response = yield* client.execute(
      body === undefined ? request : HttpClientRequest.bodyText(request, body, "application/json")
    )
    return { status: response.status, headers: response.headers, text: yield* response.text }
  })

const keyed = { authorization: "A", "idempotency-key": `"raw"` }
const body = `{"money":{"amount":"12.50","currency":"EUR"}}`

const charge: Run = (_, money) => Effect.map(authorize(money), ({ id }) => ({ id, money }))

describe("an HttpApi under idempotency keys", () => {
  it.live("charges once, whoever asks again", () =>
    Effect.gen(function*() {
      const first = yield* create()
      const second = yield* create()
      assert.deepStrictEqual(second, first)
      yield* create({ merchant: "B" })
      const { charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 2)
    }).pipe(Effect.provide(serve(charge))))

  it.live("tells typed clients what it declares", () =>
    Effect.gen(function*() {
      yield* create()
      const reused = yield* Effect.flip(create({ money: Money.makeUnsafe("EUR", "1.00") }))
      assert.instanceOf(reused, IdempotencyProblem.KeyReused)
      assert.deepStrictEqual([reused._tag, reused.disposition], ["KeyReused", "Refused"])
      const raw = yield* post(body, { authorization: "A" })
      assert.strictEqual(raw.status, 400)
      assert.strictEqual(raw.headers["link"], `<https://shop.example/keys>; rel="describedby"`)
    }).pipe(Effect.provide(serve(charge))))

  it.live("tells typed clients that it may have happened, and asks nobody to pay again", () =>
    Effect.gen(function*() {
      yield* Effect.flip(create())
      const unknown = yield* Effect.flip(create())
      assert.instanceOf(unknown, IdempotencyProblem.OutcomeUnknown)
      assert.deepStrictEqual([unknown.disposition, unknown.repeatable, unknown.retryAfterSeconds], [
        "Unknown",
        true,
        30
      ])
      const { charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(serve(
      (_, money) => Effect.andThen(authorize(money), Effect.die("after the charge"))
    ))))

  it.live("does not take a handler's word for it while a gateway call is in doubt", () =>
    Effect.gen(function*() {
      const unknown = yield* Effect.flip(create())
      assert.instanceOf(unknown, IdempotencyProblem.OutcomeUnknown)
    }).pipe(Effect.provide(serve(
      (_, money) =>
        Effect.catch(charge(undefined, money), () => Effect.fail(new Declined({ code: "guess", at: new Date(0) }))),
      { plan: () => TestGateway.failAfter }
    ))))

  it.live("looks up what may have happened, and answers it as the handler would have", () =>
    Effect.gen(function*() {
      const first = yield* create()
      assert.deepStrictEqual(yield* create(), first)
      const { charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(serve(charge, { resolve, plan: () => TestGateway.failAfter }))))

  it.live("looks up what a defect has left behind", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* post(body, keyed)).status, 500)
      const second = yield* post(body, keyed)
      assert.deepStrictEqual([second.status, second.headers["idempotency-replayed"]], [201, "true"])
      assert.deepStrictEqual((yield* post(body, keyed)).text, second.text)
      const { charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(serve(
      (_, money) => Effect.andThen(authorize(money), Effect.die("after the charge")),
      { resolve }
    ))))

  it.live("replays an error as it was, encoded by the API", () => {
    let runs = 0
    return Effect.gen(function*() {
      const first = yield* post(body, keyed)
      const second = yield* post(body, keyed)
      assert.deepStrictEqual([first.status, second.status, second.text], [402, 402, first.text])
      assert.isUndefined(first.headers["idempotency-replayed"])
      assert.strictEqual(second.headers["idempotency-replayed"], "true")
      const typed = yield* Effect.flip(create())
      assert.instanceOf(typed, Declined)
      assert.deepStrictEqual(yield* Effect.flip(create()), typed)
      assert.strictEqual(runs, 2)
    }).pipe(
      Effect.provide(
        serve(() => Effect.suspend(() => Effect.fail(new Declined({ code: `run ${++runs}`, at: new Date(1) }))))
      )
    )
  })

  it.live("believes an error that says what it knows, whatever its status", () => {
    let runs = 0
    return Effect.gen(function*() {
      assert.instanceOf(yield* Effect.flip(create({ note: "busy" })), Busy)
      assert.instanceOf(yield* Effect.flip(create({ note: "busy" })), Busy)
      assert.strictEqual(runs, 2)
      const other = Idempotency.Key.make("other")
      const first = yield* Effect.flip(create({ key: other }))
      assert.instanceOf(first, PaymentError.PaymentError)
      assert.deepStrictEqual(yield* Effect.flip(create({ key: other })), first)
      assert.strictEqual(runs, 3)
    }).pipe(Effect.provide(serve((note) => {
      runs++
      return Effect.fail(
        note === "busy"
          ? new Busy()
          : PaymentError.make(new PaymentError.InvalidRequest({ code: "no", field: "money" }))
      )
    })))
  })

  it.live("does not keep the key of a request that does not decode, and holds it to its request", () => {
    let runs = 0
    return Effect.gen(function*() {
      assert.strictEqual((yield* post("{}", keyed)).status, 400)
      assert.strictEqual((yield* post("{}", keyed)).status, 400)
      assert.strictEqual((yield* post(body, keyed)).status, 422)
      assert.strictEqual(runs, 0)
    }).pipe(Effect.provide(serve(() => {
      runs++
      return Effect.die("ran")
    })))
  })

  it.live("stands inside of authentication", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* post(body, { "idempotency-key": `"raw"` })).status, 401)
      assert.strictEqual((yield* post(body, {})).status, 401)
    }).pipe(Effect.provide(serve(() => Effect.die("ran")))))

  it.live("refuses two header lines", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.HttpServer
      const { port } = server.address as { readonly port: number }
      const status = yield* Effect.callback<number | undefined>((resume) => {
        const sent = rawRequest({ port, method: "POST", path: "/charges" }, (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode))
        })
        sent.setHeader("authorization", "A")
        sent.setHeader("idempotency-key", [`"raw"`, `"raw"`])
        sent.end(body)
      })
      assert.strictEqual(status, 400)
    }).pipe(Effect.provide(serve(() => Effect.die("ran")))))

  it.live("runs one of many requests that come at once", () =>
    Effect.gen(function*() {
      const ended = yield* Effect.all(Array.from({ length: 30 }, () => Effect.result(create())), {
        concurrency: "unbounded"
      })
      const failures = ended.flatMap((result) => result._tag === "Failure" ? [result.failure] : [])
      for (const failure of failures) assert.instanceOf(failure, IdempotencyProblem.RequestInFlight)
      assert.isBelow(failures.length, 30)
      const { charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(serve(charge))))
})
