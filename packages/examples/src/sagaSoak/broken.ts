/** Logs, engines and adapters that are wrong in one way each, as they are in the field: what the kill test would say of them. */
import { Effect } from "effect"
import type { SagaLog } from "effect-payments"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import type { Point } from "./points.ts"
import type { Broken } from "./wire.ts"

type Log = SagaLog.SagaLog["Service"]

/**
 * | broken | |
 * |---|---|
 * | `no-fence` | an owner does not mind its lease, and what it writes is taken from anybody |
 * | `no-intents` | what is about to leave is not written down |
 * | `lost-undos` | an undo that failed counts as done |
 * | `ends-early` | a saga counts as undone once that is decided |
 * | `fresh-keys` | each process has downstream keys of its own |
 * | `blind-lookups` | the gateway is said never to have seen anything |
 */
export const breakLog = (log: Log, broken: Broken | undefined): Log => {
  switch (broken) {
    case "no-fence":
      return {
        ...log,
        renew: (requests) => Effect.succeed(requests.map(() => true)),
        append: (request) =>
          Effect.flatMap(log.append(request), (reply) => reply.appended ? Effect.succeed(reply) : force(log, request))
      }
    case "no-intents":
      return changed(log, (request) => {
        const events = request.events.filter(({ _tag }) => _tag !== "Intended")
        return events.length === 0 ? request : { ...request, events }
      })
    case "lost-undos":
      return changed(log, (request) => ({
        ...request,
        state: request.state === "FailedCompensation" ? "Compensated" : request.state,
        events: request.events.map((event) =>
          event._tag === "UndoFailed" ? { _tag: "Undone", step: event.step } : event
        )
      }))
    case "ends-early":
      return changed(log, (request) => ({
        ...request,
        state: request.state === "Compensating" ? "Compensated" : request.state
      }))
    default:
      return log
  }
}

const changed = (log: Log, change: (request: SagaLog.AppendRequest) => SagaLog.AppendRequest): Log => ({
  ...log,
  append: (request) => log.append(change(request))
})

const force = Effect.fnUntraced(function*(log: Log, request: SagaLog.AppendRequest) {
  const history = yield* log.read(request)
  if (history === undefined) return yield* log.append(request)
  const { epoch, length, owner } = history.run
  return yield* log.append({ ...request, owner, epoch, seq: length + 1 })
})

export const breakClient = (client: HttpClient.HttpClient, broken: Broken | undefined): HttpClient.HttpClient => {
  switch (broken) {
    case "fresh-keys":
      return HttpClient.mapRequest(client, (request) => {
        const key = request.headers["idempotency-key"]
        return key === undefined
          ? request
          : HttpClientRequest.setHeader(request, "idempotency-key", `${key}.${process.pid}`)
      })
    case "blind-lookups":
      return HttpClient.transform(
        client,
        (send, request) =>
          request.method === "GET" ? Effect.succeed(HttpClientResponse.fromWeb(request, unseen())) : send
      )
    default:
      return client
  }
}

const unseen = () =>
  new Response(JSON.stringify({ error: { type: "not_found", code: "unknown_key" } }), { status: 404 })

/** What shows each: processes that are killed, or frozen, where it matters. */
export const trialOf = (broken: Broken) => {
  const isFrozen = broken === "no-fence"
  return {
    store: "sqlite",
    url: "",
    broken,
    kills: isFrozen ? 0 : 6,
    stops: isFrozen ? 6 : 0,
    restarts: 0,
    cuts: 0,
    sagas: 40,
    // What is broken may never end.
    drainMillis: 5_000,
    at: places[broken]
  } as const
}

const places: Readonly<Record<Broken, ReadonlyArray<Point>>> = {
  "no-fence": ["before effect authorize", "before effect capture", "before effect ship"],
  "no-intents": ["after effect authorize", "after effect capture"],
  "lost-undos": ["before effect release"],
  "ends-early": ["before effect release", "before effect void", "before effect refund"],
  "fresh-keys": ["after effect authorize", "after effect capture"],
  "blind-lookups": ["after effect authorize", "after effect capture"]
}
