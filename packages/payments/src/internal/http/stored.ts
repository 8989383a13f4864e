/**
 * A response as it is kept with its key, and given again byte for byte.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Cookies, HttpServerResponse } from "../effect/http.ts"

type Response = HttpServerResponse.HttpServerResponse

/** @internal */
export interface StoredResponse {
  readonly status: number
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: Uint8Array
}

/** @internal What is longer than the limit does not encode, and so is not stored. */
export const storedResponse = (limitBytes: number): Schema.Codec<StoredResponse, unknown> =>
  Schema.Struct({
    status: Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
    headers: Schema.Array(Schema.Tuple([Schema.String, Schema.String])).check(Schema.isMaxLength(128)),
    body: Schema.Uint8Array.check(
      Schema.makeFilter((body) => body.length <= limitBytes, { expected: `at most ${limitBytes} bytes` })
    )
  })

// What is about the connection or the moment, and cookies, which are secrets of one session.
const dropped = new Set([
  "age",
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "server-timing",
  "set-cookie",
  "traceparent",
  "tracestate",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** @internal Reads a response to its end, or to where it is longer than can be kept. */
export const capture = (
  response: Response,
  options: { readonly limitBytes: number; readonly keeps: (header: string) => boolean }
): Effect.Effect<StoredResponse> =>
  Effect.map(bytesOf(response, options.limitBytes), (body) => {
    const { headers, status } = headOf(response)
    return {
      status,
      headers: [...headers].filter(([name]) => !dropped.has(name) && options.keeps(name)),
      body
    }
  })

// A response of the web within one of Effect has a status and headers of its own.
const headOf = (response: Response) => {
  const { headers, status } = response.body._tag === "Raw" || response.body._tag === "FormData"
    ? webOf(response)
    : response
  return { status, headers: headers instanceof Headers ? headers.entries() : Object.entries(headers) }
}

const webs = new WeakMap<Response, globalThis.Response>()

// Once for each response: a form has another boundary each time.
const webOf = (response: Response): globalThis.Response => {
  let web = webs.get(response)
  if (web === undefined) webs.set(response, web = HttpServerResponse.toWeb(response))
  return web
}

const bytesOf = (response: Response, limitBytes: number): Effect.Effect<Uint8Array> => {
  const { body } = response
  switch (body._tag) {
    case "Empty":
      return Effect.succeed(new Uint8Array())
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Stream":
      return collect(Stream.orDie(body.stream), limitBytes)
    default:
      return Effect.suspend(() => {
        const stream = webOf(response).body
        return stream === null
          ? Effect.succeed(new Uint8Array())
          : collect(
            Stream.orDie(Stream.fromReadableStream({ evaluate: () => stream, onError: (cause) => cause })),
            limitBytes
          )
      })
  }
}

const collect = (stream: Stream.Stream<Uint8Array>, limitBytes: number): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let length = 0
    return stream.pipe(
      Stream.takeUntil((chunk) => {
        chunks.push(chunk)
        length += chunk.length
        return length > limitBytes
      }),
      Stream.runDrain,
      Effect.map(() => {
        const all = new Uint8Array(length)
        let at = 0
        for (const chunk of chunks) {
          all.set(chunk, at)
          at += chunk.length
        }
        return all
      })
    )
  })

/** @internal */
export const responseOf = (
  { body, headers, status }: StoredResponse,
  options: { readonly replayed: boolean; readonly cookies: Cookies.Cookies | undefined }
): Response => {
  const all = options.replayed ? [...headers, [replayHeader, "true"] as const] : headers
  const head = { status, headers: Object.fromEntries(all), cookies: options.cookies }
  return body.length === 0 ? HttpServerResponse.empty(head) : HttpServerResponse.uint8Array(body, head)
}

/** @internal */
export const replayHeader = "idempotency-replayed"
