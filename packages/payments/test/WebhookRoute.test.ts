import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { Inbox, Signature, Webhook } from "effect-payments"
import { WebhookRoute } from "effect-payments/http"
import { HttpClient, HttpClientRequest, HttpRouter, HttpServer } from "effect/http"
import { SqlClient } from "effect/sql"

const bytes = (text: string) => new TextEncoder().encode(text)
const secrets = [Redacted.make("whsec_test_secret")]
const endpoint = Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets, bodyLimitBytes: 1000 })

const signed = (text: string) =>
  Effect.map(
    Signature.sign({ scheme: Signature.stripe, secrets, body: bytes(text) }),
    (headers) => ({ headers, body: bytes(text) })
  )

class Refused extends Data.TaggedError("Refused")<{ readonly text: string }> {
  override get message() {
    return this.text
  }
}

interface Sent {
  readonly headers: { readonly [name: string]: string }
  readonly body: Uint8Array
}

const post = (sent: Sent, path = "/stripe") =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(
      HttpClientRequest.post(path, { headers: sent.headers }).pipe(
        HttpClientRequest.bodyUint8Array(sent.body, "application/json")
      )
    )
    return { status: response.status, headers: response.headers, json: yield* response.json as Effect.Effect<any> }
  })

type Handler = (event: Webhook.Attempt) => Effect.Effect<unknown, unknown, SqlClient.SqlClient>

const database = Layer.mergeAll(Inbox.layerStoreSql(), NodeCrypto.layer).pipe(
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

const lines: Array<string> = []
const logger = Logger.layer([
  Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${JSON.stringify(message)}`))
])

/** A server with the route on a free port, and a client of it. */
const serve = (handler: Handler) =>
  HttpRouter.serve(
    Layer.unwrap(Effect.map(endpoint, (endpoint) => WebhookRoute.layer("/stripe", endpoint, handler))),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(NodeHttpServer.layerTest),
    Layer.provideMerge(database),
    Layer.provideMerge(logger)
  )

describe("the route", () => {
  it.live("acknowledges what was handled, now or before", () => {
    const bodies: Array<string> = []
    return Effect.gen(function*() {
      // Not what a parser would write again.
      const sent = yield* signed(`{ "id":"evt_1",\n\t"name": "Zo\u00eb" }`)
      const first = yield* post(sent)
      assert.deepStrictEqual([first.status, first.json], [200, { received: true }])
      const second = yield* post(sent)
      assert.deepStrictEqual([second.status, second.json], [200, { received: true, duplicate: true }])
      assert.deepStrictEqual(bodies, [`{ "id":"evt_1",\n\t"name": "Zo\u00eb" }`])
    }).pipe(
      Effect.provide(serve((event) => Effect.sync(() => bodies.push(new TextDecoder().decode(event.body)))))
    )
  })

  it.live("refuses what is not genuine with 400 and the reason", () =>
    Effect.gen(function*() {
      const sent = yield* signed(`{"id": "evt_1"}`)
      for (
        const [request, reason] of [
          [{ ...sent, headers: {} }, "MissingHeader"],
          [{ ...sent, body: bytes(`{"id": "evt_2"}`) }, "SignatureMismatch"],
          [{ ...sent, body: bytes("") }, "SignatureMismatch"],
          [yield* signed(`{"no": "id"}`), "IdMalformed"]
        ] as const
      ) {
        const { headers, json, status } = yield* post(request)
        assert.strictEqual(status, 400)
        assert.strictEqual(lines.at(-1), `Warn ["webhook refused: ${reason}"]`)
        assert.include(headers["content-type"], "application/problem+json")
        assert.strictEqual(json.reason, reason)
      }
    }).pipe(Effect.provide(serve(() => Effect.die("ran")))))

  it.live("refuses a body over the limit with 413, whether it says its length or not", () =>
    Effect.gen(function*() {
      const sized = (length: number) => signed(`{"id": "evt_1"}`.padEnd(length))
      assert.strictEqual((yield* post(yield* sized(1000))).status, 200)
      const large = yield* post(yield* sized(1001))
      assert.deepStrictEqual([large.status, large.json.reason], [413, "BodyTooLarge"])
      const server = yield* HttpServer.HttpServer
      const { port } = server.address as { readonly port: number }
      const chunked = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/stripe`, {
          method: "POST",
          body: new Blob([new Uint8Array(100_000)]).stream(),
          duplex: "half"
        } as RequestInit)
      )
      assert.strictEqual(chunked.status, 413)
    }).pipe(Effect.provide(serve(() => Effect.void))))

  it.live("answers 500 when the handler fails or dies, tells nothing of it, and handles the event when it comes again", () => {
    let calls = 0
    return Effect.gen(function*() {
      const sent = yield* signed(`{"id": "evt_1"}`)
      lines.length = 0
      for (const status of [500, 500, 200]) {
        const answer = yield* post(sent)
        assert.strictEqual(answer.status, status)
        assert.notInclude(JSON.stringify(answer.json), "secret")
      }
      assert.deepStrictEqual(lines.map((line) => /^\w+/.exec(line)?.[0]), ["Error", "Error"])
      assert.include(lines[0], "secret of card [PAN ****1111]")
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual((yield* sql`SELECT * FROM paid`).length, 1)
    }).pipe(
      Effect.provide(serve(() =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE paid (id TEXT)`
          yield* sql`INSERT INTO paid VALUES ('1')`
          calls++
          if (calls === 1) return yield* Effect.fail(new Refused({ text: "secret of card 4111 1111 1111 1111" }))
          if (calls === 2) return yield* Effect.die("secret")
        })
      ))
    )
  })

  it.live("answers 422 to an id with another content", () =>
    Effect.gen(function*() {
      yield* post(yield* signed(`{"id": "evt_1", "amount": 1}`))
      const { json, status } = yield* post(yield* signed(`{"id": "evt_1", "amount": 9}`))
      assert.deepStrictEqual([status, json.reason], [422, "EventConflict"])
    }).pipe(Effect.provide(serve(() => Effect.void))))

  it.live("answers 503 with a time when the store is gone", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`DROP TABLE effect_payments_inbox`
      const { headers, json, status } = yield* post(yield* signed(`{"id": "evt_1"}`))
      assert.deepStrictEqual([status, json.reason, headers["retry-after"]], [503, "StoreUnavailable", "5"])
    }).pipe(Effect.provide(serve(() => Effect.die("ran")))))

  it.live("answers no other method", () =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      assert.strictEqual((yield* client.get("/stripe")).status, 404)
    }).pipe(Effect.provide(serve(() => Effect.void))))
})

describe("the route, at least once", () => {
  const run = Effect.gen(function*() {
    const started = yield* Deferred.make<void>()
    const done = yield* Deferred.make<void>()
    const layer = HttpRouter.serve(
      Layer.unwrap(
        Effect.map(
          endpoint,
          (endpoint) =>
            WebhookRoute.layerAtLeastOnce(
              "/stripe",
              endpoint,
              () => Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(done))
            )
        )
      ),
      { disableListenLog: true, disableLogger: true }
    ).pipe(
      Layer.provideMerge(NodeHttpServer.layerTest),
      Layer.provideMerge(Inbox.layerStoreMemory()),
      Layer.provideMerge(NodeCrypto.layer),
      Layer.provideMerge(logger)
    )
    yield* Effect.gen(function*() {
      const sent = yield* signed(`{"id": "evt_1"}`)
      const first = yield* Effect.forkChild(post(sent))
      yield* Deferred.await(started)
      const second = yield* post(sent)
      assert.deepStrictEqual([second.status, second.json.reason], [409, "InFlight"])
      const wait = Number(second.headers["retry-after"])
      assert.isTrue(wait >= 1 && wait <= 60, String(wait))
      yield* Deferred.succeed(done, undefined)
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      assert.deepStrictEqual((yield* post(sent)).json, { received: true, duplicate: true })
    }).pipe(Effect.provide(layer))
  })

  it.live("tells a delivery that comes meanwhile to come again", () => run)
})
