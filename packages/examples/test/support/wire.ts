/** Raw requests to the simulator: what goes over the wire, and how a connection ends. */
import { Effect } from "effect"
import { createServer, type IncomingMessage, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export interface Answer {
  /** The status, or `"cut"` for a connection that ended, `"silent"` for one that said nothing in time. */
  readonly status: number | "cut" | "silent"
  readonly headers: Headers
  readonly text: string
  readonly body: any
}

const within = 5000

/** Sends a request; `patienceMillis` is how long it waits for the answer. */
export const send = (
  url: string,
  options: {
    readonly method?: "GET" | "POST"
    readonly body?: unknown
    readonly headers?: Readonly<Record<string, string>>
    readonly patienceMillis?: number
  } = {}
): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const patience = AbortSignal.timeout(options.patienceMillis ?? within)
    try {
      const response = await fetch(url, {
        method: options.method ?? "GET",
        headers: { "content-type": "application/json", ...options.headers },
        ...options.body === undefined
          ? {}
          : { body: typeof options.body === "string" ? options.body : JSON.stringify(options.body) },
        signal: AbortSignal.any([signal, patience])
      })
      const text = await response.text()
      let body: unknown
      try {
        body = JSON.parse(text)
      } catch {
        body = undefined
      }
      return { status: response.status, headers: response.headers, text, body }
    } catch {
      return { status: patience.aborted ? "silent" : "cut", headers: new Headers(), text: "", body: undefined }
    }
  })

export const authorization = { token: "tok_visa", amountMinor: "1250", currency: "EUR", capture: true }

/** A sale, or what `body` says, under a key. */
export const charge = (
  baseUrl: string,
  key: string,
  options: { readonly plan?: string; readonly body?: object; readonly patienceMillis?: number } = {}
): Effect.Effect<Answer> =>
  send(`${baseUrl}/v1/authorizations`, {
    method: "POST",
    body: { ...authorization, ...options.body },
    headers: { "idempotency-key": key, ...options.plan === undefined ? {} : { "x-sim-plan": options.plan } },
    ...options.patienceMillis === undefined ? {} : { patienceMillis: options.patienceMillis }
  })

export interface Received {
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** A server of the test's own on 127.0.0.1, which answers each request with the next status, the last one for ever. */
export const receiver = (statuses: ReadonlyArray<number>, headers: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly url: string; readonly received: ReadonlyArray<Received> }>(
      (resume) => {
        const received: Array<Received> = []
        const server = createServer((request, response) => {
          let body = ""
          request.on("data", (chunk: Buffer) => {
            body += chunk
          })
          request.on("end", () => {
            response.statusCode = statuses[received.push({ headers: request.headers, body }) - 1] ?? statuses.at(-1) ??
              200
            for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
            response.end()
          })
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}/events`, received }))
        })
      }
    ),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

/** Asks again, at most for five seconds, until it is so. */
export const until = <A, E, R>(self: Effect.Effect<A, E, R>, holds: (a: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const deadline = Date.now() + within
    const ask: Effect.Effect<A, E, R> = Effect.flatMap(
      self,
      (a) => holds(a) || Date.now() > deadline ? Effect.succeed(a) : Effect.andThen(Effect.sleep("20 millis"), ask)
    )
    return ask
  })
