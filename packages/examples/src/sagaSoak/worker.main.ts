/**
 * A process of the saga kill test: runs the sagas it is told on standard input, takes over those of processes that are gone, and
 * strikes itself at the point it is told.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Duration, Effect, Exit, Layer, Logger, Schedule, Schema } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { createInterface } from "node:readline"
import * as SimGateway from "../SimGateway.ts"
import * as armed from "../soak/armed.ts"
import { breakClient, breakLog } from "./broken.ts"
import type { Commit, Effect as Effected, Point } from "./points.ts"
import * as sagas from "./sagas.ts"
import * as Services from "./Services.ts"
import * as stores from "./stores.ts"
import { type Answer, type Call, type Order, protocol } from "./wire.ts"

const job = Schema.decodeUnknownSync(Schema.fromJsonString(protocol.job))(process.argv[2])
const encode = Schema.encodeSync(protocol.fromWorker)
const say = (line: typeof protocol.fromWorker.Type) => void process.stdout.write(`${encode(line)}\n`)

// --- points

const { arm, pass, passSoon } = armed.make<Point>((point, signal) => say({ _tag: "Struck", point, signal }))

const passAll = (when: "before" | "after", what: ReadonlyArray<Commit | Effected>) =>
  Effect.forEach(what, (each) => pass(`${when} ${each}` as Point), { discard: true })

const around = (what: ReadonlyArray<Commit | Effected>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.andThen(passAll("before", what), Effect.tap(self, passAll("after", what)))

const committing = (events: ReadonlyArray<SagaLog.Event>) => <A, E, R>(self: Effect.Effect<A, E, R>) => {
  const commits = events.flatMap(commitOf)
  const sending = Effect.suspend(() => {
    for (const commit of commits) passSoon(`during ${commit}`)
    return self
  })
  return around(commits)(sending)
}

const commitOf = (event: SagaLog.Event): ReadonlyArray<Commit> => {
  switch (event._tag) {
    case "Intended":
      return [`intent ${event.step}` as Commit]
    case "Succeeded":
    case "Failed":
    case "Doubted":
      return [`outcome ${event.step}` as Commit]
    case "Undone":
    case "Skipped":
    case "UndoFailed":
      return [`undo ${event.step}` as Commit]
    default:
      return []
  }
}

const layerLog = Layer.effect(
  SagaLog.SagaLog,
  Effect.map(SagaLog.SagaLog, (given) => {
    const log = breakLog(given, job.broken)
    return {
      ...log,
      claim: (request: SagaLog.ClaimRequest) =>
        Effect.tap(committing(request.opening?.events ?? [])(log.claim(request)), pass("after claim")),
      append: (request: SagaLog.AppendRequest) => committing(request.events)(log.append(request)),
      orphans: (request: SagaLog.OrphansRequest) =>
        Effect.tap(log.orphans(request), ({ length }) => length > 0 ? pass("after claim") : Effect.void)
    }
  })
).pipe(Layer.provide(stores.layer(job.store)))

const effectOf = ({ method, url }: HttpClientRequest.HttpClientRequest): Effected => {
  if (method === "GET") return "effect lookup"
  const last = url.split("/").at(-1)
  return last === "authorizations"
    ? "effect authorize"
    : last === "refunds"
    ? "effect refund"
    : `effect ${last}` as Effected
}

const layerClient = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, (client) =>
    breakClient(client, job.broken).pipe(
      HttpClient.transform((send, request) => around([effectOf(request)])(send)),
      HttpClient.mapRequestEffect((request) =>
        Effect.map(
          sagas.Plan,
          (plan) => plan === "" ? request : HttpClientRequest.setHeader(request, "x-sim-plan", plan)
        )
      )
    ))
).pipe(Layer.provide(FetchHttpClient.layer))

const layerServices = Layer.effect(
  Services.Services,
  Effect.map(Services.Services, ({ ask }) => ({
    ask: (operation: Services.Operation, orderId: string) =>
      around(operation === "parcel" ? ["effect lookup"] : [`effect ${operation}`])(ask(operation, orderId))
  }))
).pipe(Layer.provide(Services.layer(job.servicesUrl, job.attemptMillis)))

// --- calls

const run = ({ does, order }: Call) =>
  order.kind === "sale" ? runOf(sagas.sale, does, order) : runOf(sagas.order, does, order)

const runOf = <Ctx extends { readonly payload: Order; readonly capture: { readonly id: string } }, E, R>(
  saga: Saga.Saga<Ctx, E, R>,
  does: Call["does"],
  order: Order
): Effect.Effect<Answer, Saga.SagaError, R | Saga.Sagas> => {
  const at = { id: order.orderId }
  switch (does) {
    case "start":
      return Effect.as(Saga.start(saga, order, at), { _tag: "Started" as const })
    case "execute":
      return Effect.map(Saga.execute(saga, order, at), endOf)
    case "cancel":
      return Effect.map(Saga.cancel(saga, at), endOf)
    case "resume":
      return Effect.map(Saga.resume(saga, at), endOf)
  }
}

const endOf = (
  execution: Saga.Execution<{ readonly payload: Order; readonly capture: { readonly id: string } }, unknown>
): Answer => ({
  _tag: "Ended",
  state: execution._tag,
  ...execution._tag === "Completed" ? { capture: execution.results.capture.id } : {}
})

/** Those that ask to be called again. */
const open: ReadonlySet<string> = new Set(["InFlight", "Suspended", "LogUnavailable", "NotFound", "TooManyRuns"])

const answerOf = (exit: Exit.Exit<Answer, Saga.SagaError>): Answer => {
  if (Exit.isSuccess(exit)) return exit.value
  const [reason, ...more] = exit.cause.reasons
  if (reason?._tag !== "Fail" || more.length > 0) return { _tag: "Broken", detail: String(exit.cause) }
  const { reason: { _tag } } = reason.error
  return open.has(_tag) ? { _tag: "Open", reason: _tag } : { _tag: "Broken", detail: _tag }
}

const services = Saga.layerRecover([sagas.sale, sagas.order], { every: Duration.millis(job.leaseMillis / 4) }).pipe(
  Layer.provideMerge(Layer.mergeAll(
    Saga.layer({
      lease: Duration.millis(job.leaseMillis),
      logTimeout: Duration.millis(2 * job.leaseMillis),
      awaitAtMost: "10 seconds",
      sweepEvery: false
    }).pipe(Layer.provide(layerLog), Layer.provide(NodeCrypto.layer)),
    SimGateway.layer({ baseUrl: job.gatewayUrl }).pipe(Layer.provide(layerClient)),
    layerServices,
    Layer.succeed(sagas.Patience, job),
    Logger.layer([])
  ))
)

// --- standard input

const decode = Schema.decodeSync(protocol.toWorker)

// Retried as a supervisor does: its database may be away.
const program = Effect.gen(function*() {
  const context = yield* Effect.retry(
    Layer.build(services),
    Schedule.max([Schedule.spaced("250 millis"), Schedule.recurs(240)])
  )
  const fork = Effect.runForkWith(context)
  createInterface({ input: process.stdin }).on("line", (text) => {
    const line = decode(text)
    if (line._tag === "Arm") return arm(line)
    const { call } = line
    fork(Effect.map(Effect.exit(run(call)), (exit) => say({ _tag: "Answered", id: call.id, answer: answerOf(exit) })))
  })
  say({ _tag: "Up" })
  return yield* Effect.never
}).pipe(Effect.scoped)

// It outlives no parent.
process.stdin.on("end", () => process.exit(0))
process.stdout.on("error", () => process.exit(1))

Effect.runFork(program)
