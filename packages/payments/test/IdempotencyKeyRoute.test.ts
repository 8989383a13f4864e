import { NodeCrypto, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Exit, Layer, Logger, Result, Schema, Stream } from "effect"
import { Idempotency, IdempotencyStore, PaymentError, Resilience } from "effect-payments"
import { IdempotencyKey, IdempotencyProblem } from "effect-payments/http"
import {
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  type HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "effect/http"
import { readFileSync } from "node:fs"

type Response = HttpServerResponse.HttpServerResponse
type Options = Partial<IdempotencyKey.Options>

const lines: Array<string> = []
const logger = Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${message}`))])

const store = Layer.provide(Idempotency.layer(), [
  Layer.orDie(IdempotencyStore.layerStoreMemory()),
  NodeCrypto.layer
])

const serve = (
  handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<Response, any, any>,
  options: Options = {}
) =>
  HttpRouter.serve(
    HttpRouter.use((router) => router.add("*", "/at/:id", handler as () => Effect.Effect<Response>)).pipe(
      Layer.provide(IdempotencyKey.middleware({ tenant: "acme", ...options }).layer)
    ),
    { disableListenLog: true, disableLogger: true }
  ).pipe(Layer.provideMerge(NodeHttpServer.layerTest), Layer.provide(store), Layer.provide(logger))

const ask = (
  request: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest = (x) => x,
  method: "GET" | "POST" = "POST"
) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(
      request(HttpClientRequest.make(method)("/at/1", { headers: { "idempotency-key": `"8e03978e"` } }))
    )
    return { status: response.status, headers: response.headers, text: yield* response.text }
  })

const text = (body: string, options?: { readonly status?: number; readonly headers?: Record<string, string> }) =>
  Effect.succeed(HttpServerResponse.text(body, options))

describe("what a handler sees of its request", () => {
  const read = (
    reading: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<unknown, unknown, any>
  ) => serve((request) => Effect.map(reading(request), (read) => HttpServerResponse.jsonUnsafe(read)))

  const posted = ask(HttpClientRequest.bodyText(`{"a":"\u00e9"}`, "application/json"))
  const readings: Record<string, (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<unknown, unknown>> = {
    text: (request) => Effect.map(request.text, JSON.parse),
    json: (request) => request.json,
    arrayBuffer: (request) => Effect.map(request.arrayBuffer, (bytes) => JSON.parse(new TextDecoder().decode(bytes))),
    stream: (request) =>
      Effect.map(Stream.runCollect(request.stream), (chunks) => JSON.parse(new TextDecoder().decode(chunks[0]))),
    "all of them, twice": (request) =>
      Effect.map(
        Effect.all([request.text, request.text, request.json, Stream.runDrain(request.stream), request.json]),
        ([text]) => JSON.parse(text)
      ),
    "a changed request": (request) => request.modify({ url: "/other" }).json
  }
  for (const [name, reading] of Object.entries(readings)) {
    it.live(`reads the body as ${name}`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* posted).text, `{"a":"\u00e9"}`)
      }).pipe(Effect.provide(read(reading))))
  }

  it.live("reads a form with a file", () =>
    Effect.gen(function*() {
      const form = new FormData()
      form.append("note", "hello")
      form.append("file", new Blob(["content"]), "a.txt")
      assert.strictEqual((yield* ask(HttpClientRequest.bodyFormData(form))).text, `["note","file"]`)
    }).pipe(Effect.provide(read((request) => Effect.map(request.multipart, (parts) => Object.keys(parts))))))

  it.live("reads a form of pairs", () =>
    Effect.gen(function*() {
      const { text } = yield* ask(HttpClientRequest.bodyUrlParams({ a: "1" }))
      assert.strictEqual(text, `[["a","1"]]`)
    }).pipe(
      Effect.provide(
        serve((request) => Effect.map(request.urlParamsBody, (params) => HttpServerResponse.jsonUnsafe([...params])))
      )
    ))

  it.live("has a scope of its own, which lives as long as the work", () => {
    const closed: Array<string> = []
    return Effect.gen(function*() {
      assert.strictEqual((yield* ask()).text, "0")
      assert.deepStrictEqual(closed, ["closed"])
    }).pipe(Effect.provide(serve(() =>
      Effect.gen(function*() {
        yield* Effect.addFinalizer(() => Effect.sync(() => closed.push("closed")))
        return HttpServerResponse.stream(
          Stream.sync(() => new TextEncoder().encode(String(closed.length)))
        )
      })
    )))
  })
})

class Gone extends Data.TaggedError("Gone")<{}> {
  [HttpServerRespondable.symbol]() {
    return text("gone", { status: 410 })
  }
}

describe("what a handler fails with", () => {
  const failing = (error: () => unknown, options?: Options) => {
    let runs = 0
    const layer = serve(() => Effect.suspend(() => (runs++, Effect.fail(error()))), options)
    return Effect.provide(
      Effect.gen(function*() {
        const first = yield* ask()
        const second = yield* ask()
        return { statuses: [first.status, second.status], runs, second }
      }),
      layer
    )
  }

  it.live("is final where its response is", () =>
    Effect.gen(function*() {
      const { runs, second, statuses } = yield* failing(() => new Gone())
      assert.deepStrictEqual([statuses, runs, second.text], [[410, 410], 1, "gone"])
      assert.strictEqual(second.headers["idempotency-replayed"], "true")
    }))

  it.live("is unknown where it says nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* failing(() => "what")).statuses, [500, 504])
    }))

  it.live("frees the key where it says that nothing happened", () =>
    Effect.gen(function*() {
      const error = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
      const { runs, statuses } = yield* failing(() => error)
      assert.deepStrictEqual([statuses, runs], [[500, 500], 2])
    }))

  it.live("is kept where it says that it was refused", () =>
    Effect.gen(function*() {
      const error = PaymentError.make(new PaymentError.InvalidRequest({ code: "no" }))
      const { runs, statuses } = yield* failing(() => error)
      assert.deepStrictEqual([statuses, runs], [[500, 500], 1])
    }))

  it.live("may be a response that was thrown", () => {
    let runs = 0
    return Effect.gen(function*() {
      assert.strictEqual((yield* ask()).status, 410)
      assert.strictEqual((yield* ask()).headers["idempotency-replayed"], "true")
      assert.strictEqual(runs, 1)
    }).pipe(
      Effect.provide(
        serve(() => Effect.suspend(() => (runs++, Effect.die(HttpServerResponse.text("gone", { status: 410 })))))
      )
    )
  })
})

describe("options", () => {
  it.live("outcome says what a status says", () => {
    let runs = 0
    return Effect.gen(function*() {
      assert.deepStrictEqual([(yield* ask()).status, (yield* ask()).status, runs], [503, 503, 2])
    }).pipe(Effect.provide(serve(() => Effect.suspend(() => (runs++, text("busy", { status: 503 }))), {
      outcome: (status) => status === 503 ? "NotExecuted" : "Unknown"
    })))
  })

  it.live("keepHeader says which headers are kept, and what belongs to a connection never is", () =>
    Effect.gen(function*() {
      yield* ask()
      const { headers } = yield* ask()
      assert.deepStrictEqual([headers["x-a"], headers["x-b"], headers["date"] === "never"], ["1", undefined, false])
    }).pipe(
      Effect.provide(serve(() => text("", { headers: { "x-a": "1", "x-b": "2", date: "never" } }), {
        keepHeader: (name) => name !== "x-b"
      }))
    ))

  it.live("duplicates waits for the first", () => {
    let runs = 0
    return Effect.gen(function*() {
      const all = yield* Effect.all([ask(), ask(), ask()], { concurrency: "unbounded" })
      assert.deepStrictEqual([all.map(({ text }) => text), runs], [["done", "done", "done"], 1])
    }).pipe(Effect.provide(serve(() =>
      Effect.gen(function*() {
        runs++
        yield* Effect.sleep("20 millis")
        return HttpServerResponse.text("done")
      }), { duplicates: "await" })))
  })

  class Keyed extends IdempotencyKey.Service<Keyed>()("test/Keyed") {}

  const wrong: ReadonlyArray<readonly [option: string, options: Options]> = [
    ["version", { version: 0 }],
    ["bodyLimitBytes", { bodyLimitBytes: 0 }],
    ["responseLimitBytes", { responseLimitBytes: 2 ** 24 }],
    ["tenant", { tenant: "" }],
    ["tenant", { tenant: "\u00e9" }],
    ["documentation", { documentation: "https://docs.example/a b" }],
    ["documentation", { documentation: "https://docs.example/>, <https://evil.example/" }],
    ["attemptsMax", { attemptsMax: 0 }],
    ["awaitAtMost", { awaitAtMost: "2 days" }],
    ["lease", { lease: "1 millis" }],
    ["resolveTimeout", { resolveTimeout: "2 hours" }],
    ["settle", { settle: 0 }],
    ["ttl", { ttl: "1 millis" }]
  ]
  for (const [option, options] of wrong) {
    it.live(`${option} out of bounds is a mistake in the program, found when the layer is built: ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const given = { tenant: "acme", ...options }
        const layers: ReadonlyArray<Layer.Layer<never, never, Idempotency.Idempotency>> = [
          IdempotencyKey.middleware(given).layer,
          IdempotencyKey.layer(Keyed, given)
        ]
        for (const layer of layers) {
          const built = Layer.build(Layer.provide(layer, store))
          const exit = yield* Effect.exit(Effect.scoped(built))
          const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
          const defect = reason?._tag === "Die" ? reason.defect : undefined
          assert.isTrue(defect instanceof Resilience.InvalidOption && defect.option === option, String(exit))
        }
      }))
  }

  it.live("a tenant of a request that is no name is a mistake in the program", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask()).status, 500)
    }).pipe(Effect.provide(serve(() => Effect.die("ran"), { tenant: Effect.succeed("\u00e9") }))))
})

describe("a method without side effects", () => {
  it.live("may be tried again without a key", () => {
    let tries = 0
    return Effect.gen(function*() {
      assert.deepStrictEqual([(yield* ask(undefined, "GET")).text, tries], ["3", 3])
    }).pipe(Effect.provide(serve(() =>
      Effect.suspend(() =>
        ++tries < 3
          ? Effect.fail(PaymentError.make(new PaymentError.GatewayTimeout({})))
          : text(String(tries))
      ).pipe(Resilience.retry({ attempts: 3, base: "1 millis" }))
    )))
  })
})

describe("a key and its header", () => {
  it.prop("are written and read again", [Idempotency.Key], ([key]) => {
    assert.deepStrictEqual(IdempotencyKey.fromHeader(IdempotencyKey.toHeader(key)), Result.succeed(key))
    const header = Schema.encodeSync(IdempotencyKey.KeyFromHeader)(key)
    assert.strictEqual(Schema.decodeSync(IdempotencyKey.KeyFromHeader)(header), key)
  })

  it.prop("are never taken from what is not quoted, unless asked for", [Schema.String], ([field]) => {
    const strict = IdempotencyKey.fromHeader(field)
    if (!field.trim().startsWith("\"")) assert.isTrue(Result.isFailure(strict))
    const loose = IdempotencyKey.fromHeader(field, { unquoted: true })
    if (Result.isSuccess(strict)) assert.deepStrictEqual(loose, strict)
  })

  it("repeats nothing of a header that is refused", () => {
    const refused = IdempotencyKey.fromHeader("4111111111111111")
    assert.isTrue(Result.isFailure(refused) && !refused.failure.includes("4111"))
    assert.isTrue(Result.isFailure(Schema.decodeResult(IdempotencyKey.KeyFromHeader)("4111111111111111")))
  })
})

describe("the problems", () => {
  it("are explained at the address of their type", () => {
    const page = readFileSync("docs/http-idempotency.md", "utf8")
    const explained = [...page.matchAll(/^### `(.+)`\n\n(\d+)/gm)].map(([, name, status]) => `${name} ${status}`)
    const problems = IdempotencyProblem.all.map((problem) => {
      const { status, type } = Schema.decodeUnknownSync(Schema.toType(Head))(
        problem.make({ retryAfterSeconds: 1, limitBytes: 1 } as never)
      )
      const [address, name] = type.split("#")
      assert.match(address ?? "", /\/docs\/http-idempotency\.md$/)
      return `${name} ${status}`
    })
    assert.deepStrictEqual(explained, problems)
  })
})

const Head = Schema.Struct({ type: Schema.String, status: Schema.Int })
