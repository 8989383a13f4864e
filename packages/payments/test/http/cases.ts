/**
 * Runs the cases of `test/data/idempotency-key-cases.jsonl` against a server, over HTTP. A case has steps:
 *
 * - `send` sends a request and looks at the response; `as` names it.
 * - `start` sends one and leaves it open; `await` looks at its response, `abort` hangs up.
 * - `poll` asks until the response is as given.
 *
 * `{id}` in a header is new in each case; `{id:n}` is as long as makes the header's key n characters. `expect` has a status, the
 * end of the problem's type, and headers: a value, `"*"` for any, null for none. `same` names the response that it is
 * equal to: status, body, and all headers but those of the connection. `runs` is how often handlers run in the case.
 */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import { type Headers, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { readFileSync } from "node:fs"
import { join } from "node:path"

interface Sent {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string | { readonly base64: string } | { readonly fill: number }
}

interface Expected {
  readonly status?: number
  readonly type?: string
  readonly headers?: { readonly [name: string]: string | null }
  readonly same?: string
}

type Step =
  | { readonly send: Sent; readonly expect: Expected; readonly as?: string }
  | { readonly start: string; readonly send: Sent }
  | { readonly await: string; readonly expect: Expected }
  | { readonly abort: string }
  | { readonly poll: Sent; readonly body?: string; readonly status?: number }

export interface Case {
  readonly name: string
  /** Of a server that takes keys without quotes. */
  readonly server?: "unquoted"
  readonly steps: ReadonlyArray<Step>
  readonly runs: number
}

export const cases: ReadonlyArray<Case> = readFileSync(
  join(import.meta.dirname, "../data/idempotency-key-cases.jsonl"),
  "utf8"
).trimEnd().split("\n").map((line) => JSON.parse(line))

interface Received {
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Uint8Array
}

const bodyOf = (body: NonNullable<Sent["body"]>): Uint8Array =>
  typeof body === "string"
    ? new TextEncoder().encode(body)
    : "base64" in body
    ? Uint8Array.from(atob(body.base64), (char) => char.charCodeAt(0))
    : new Uint8Array(body.fill).fill(0x78)

const execute = (sent: Sent, id: string) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const headers = Object.entries(sent.headers ?? {}).map(([name, value]) => [
      name,
      value.replace(
        /\{id(?::(\d+))?\}/,
        (_, length) => length === undefined ? id : id.repeat(200).slice(-Number(length))
      )
    ])
    const request = HttpClientRequest.make(sent.method)(sent.path, { headers: Object.fromEntries(headers) })
    const response: HttpClientResponse.HttpClientResponse = yield* client.execute(
      sent.body === undefined
        ? request
        : HttpClientRequest.bodyUint8Array(request, bodyOf(sent.body), "application/json")
    )
    const body = new Uint8Array(sent.method as string === "HEAD" ? new ArrayBuffer(0) : yield* response.arrayBuffer)
    return { status: response.status, headers: response.headers, body }
  })

const ofConnection = ["date", "connection", "keep-alive", "content-length", "transfer-encoding", "idempotency-replayed"]

const lasting = (headers: Headers.Headers) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !ofConnection.includes(name)))

const check = (received: Received, { headers = {}, same, status, type }: Expected, named: Map<string, Received>) => {
  const text = new TextDecoder().decode(received.body)
  if (status !== undefined) assert.strictEqual(received.status, status, text)
  for (const [name, value] of Object.entries(headers)) {
    const found = received.headers[name]
    if (value === null) assert.isUndefined(found, name)
    else if (value === "*") assert.isDefined(found, name)
    else assert.strictEqual(found, value, name)
  }
  if (type !== undefined) {
    assert.strictEqual(received.headers["content-type"], "application/problem+json")
    const problem = JSON.parse(text)
    assert.match(problem.type, /^https:\/\//)
    assert.strictEqual(problem.type.split("#")[1], type)
    assert.strictEqual(problem.status, status)
    assert.isString(problem.title)
  }
  if (same !== undefined) {
    const first = named.get(same)
    assert.isDefined(first)
    assert.strictEqual(received.status, first.status)
    assert.deepStrictEqual(lasting(received.headers), lasting(first.headers))
    assert.deepStrictEqual(received.body, first.body)
  }
}

const runsOf = Effect.map(execute({ method: "GET", path: "/runs" }, ""), ({ body }) => Number(textOf(body)))
const textOf = (body: Uint8Array) => new TextDecoder().decode(body)

export const runCase = (test: Case) =>
  Effect.gen(function*() {
    const id = (yield* Random.nextIntBetween(1e15, 9e15)).toString(36).slice(-8)
    const before = yield* runsOf
    const named = new Map<string, Received>()
    const open = new Map<string, Fiber.Fiber<Received, unknown>>()
    for (const step of test.steps) {
      if ("poll" in step) {
        const isThere = Effect.map(
          execute(step.poll, id),
          ({ body, status }) =>
            (step.body === undefined || textOf(body) === step.body) &&
            (step.status === undefined || status === step.status)
        )
        while (!(yield* isThere)) yield* Effect.sleep("5 millis")
      } else if ("start" in step) {
        open.set(step.start, yield* Effect.forkChild(execute(step.send, id), { startImmediately: true }))
      } else if ("abort" in step) {
        yield* Fiber.interrupt(open.get(step.abort)!)
      } else {
        const received = "await" in step
          ? yield* Fiber.join(open.get(step.await)!)
          : yield* execute(step.send, id)
        const name = "await" in step ? step.await : step.as
        if (name !== undefined) named.set(name, received)
        check(received, step.expect, named)
      }
    }
    assert.strictEqual((yield* runsOf) - before, test.runs, "runs")
  })
