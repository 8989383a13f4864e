/**
 * A process of the kill test: charges what it is told on standard input, and strikes itself at the point it is told.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Context, Duration, Effect, Exit, Layer, Logger, Schema } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { createInterface } from "node:readline"
import * as SimGateway from "../SimGateway.ts"
import * as armed from "./armed.ts"
import { isUnfenced } from "./broken.ts"
import { scope } from "./scope.ts"
import * as stores from "./stores.ts"
import { type Answer, type Call, type Point, protocol } from "./wire.ts"

const job = Schema.decodeUnknownSync(Schema.fromJsonString(protocol.job))(process.argv[2])
const encode = Schema.encodeSync(protocol.fromWorker)
const say = (line: typeof protocol.fromWorker.Type) => void process.stdout.write(`${encode(line)}\n`)

// --- points

const { arm, pass: point, passSoon } = armed.make<Point>((point, signal) => say({ _tag: "Struck", point, signal }))

const layerStore = Layer.effect(
  IdempotencyStore.IdempotencyStore,
  Effect.map(IdempotencyStore.IdempotencyStore, (store) => ({
    ...store,
    claim: (request: IdempotencyStore.ClaimRequest) =>
      Effect.tap(store.claim(request), ({ record }) => record.owner === request.owner ? point("claimed") : Effect.void),
    complete: (request: IdempotencyStore.CompleteRequest) => {
      passSoon("saving")
      return Effect.tap(store.complete(request), point("saved"))
    }
  }))
).pipe(Layer.provide(job.broken === undefined ? stores.layer(job.store) : stores.layerBroken(job, job.broken)))

/** What the gateway does with the requests of this call: see `Faults.ts`. */
const Plan = Context.Reference("@effect-payments/examples/soak/Plan", { defaultValue: () => "" })

const layerClient = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, (client) =>
    client.pipe(
      HttpClient.transform((send, { method }) =>
        method === "POST" ? Effect.andThen(point("sending"), Effect.tap(send, point("charged"))) : send
      ),
      HttpClient.mapRequestEffect((request) =>
        Effect.map(Plan, (plan) => plan === "" ? request : HttpClientRequest.setHeader(request, "x-sim-plan", plan))
      )
    ))
).pipe(Layer.provide(FetchHttpClient.layer))

// --- calls

const charge = ({ amountMinor, duplicates, key, plan, token }: Call) => {
  const request = PaymentGateway.AuthorizeRequest.make({
    token: Card.CardToken.make(token),
    money: Money.fromMinorUnits("EUR", BigInt(amountMinor)),
    capture: true
  })
  return Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request)).pipe(
    Resilience.timeout(Duration.millis(job.attemptMillis)),
    Resilience.retry({ attempts: 2, base: "20 millis" }),
    Idempotency.idempotent({
      scope,
      key: Idempotency.Key.make(key),
      payload: request,
      payloadSchema: PaymentGateway.AuthorizeRequest,
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      // A store that frees what it should keep shows where nobody looks it up.
      resolve: job.broken === "deleting-release" ? undefined : Idempotency.resolveByLookup({ phases: ["authorize"] }),
      resolveTimeout: Duration.millis(job.attemptMillis),
      lease: isUnfenced(job.broken) ? "1 day" : Duration.millis(job.leaseMillis),
      settle: Duration.millis(job.settleMillis),
      attemptsMax: 1000,
      duplicates,
      awaitAtMost: "10 seconds"
    }),
    Idempotency.operation("charge"),
    Effect.provideService(Plan, plan)
  )
}

const textOf = <A>(schema: Schema.Codec<A, unknown>) => {
  const encode = Schema.encodeUnknownSync(Schema.toCodecJson(schema))
  return (value: A) => JSON.stringify(encode(value))
}
const textOfTransaction = textOf(PaymentGateway.Transaction)
const textOfError = textOf(PaymentError.PaymentError)

type Charged = Effect.Effect<
  PaymentGateway.Transaction,
  PaymentError.PaymentError | Idempotency.IdempotencyError
>

const answerOf = (
  exit: Effect.Success<ReturnType<typeof Effect.exit<Effect.Success<Charged>, Effect.Error<Charged>, never>>>
): Answer => {
  if (Exit.isSuccess(exit)) return { _tag: "Charged", text: textOfTransaction(exit.value) }
  const [reason, ...more] = exit.cause.reasons
  if (reason?._tag !== "Fail" || more.length > 0) return { _tag: "Broken", detail: String(exit.cause) }
  const { error } = reason
  return error instanceof PaymentError.PaymentError
    ? error.disposition === "Refused"
      ? { _tag: "Declined", text: textOfError(error) }
      : { _tag: "Open", reason: error.reason._tag, notExecuted: error.disposition === "NotExecuted" }
    : answerOfReason(error)
}

const answerOfReason = ({ disposition, reason }: Idempotency.IdempotencyError): Answer => {
  switch (reason._tag) {
    case "KeyConflict":
      return { _tag: "Conflict" }
    case "Parked":
      return { _tag: "Parked" }
    case "InFlight":
    case "OutcomeUnknown":
    case "StoreUnavailable":
      return { _tag: "Open", reason: reason._tag, notExecuted: disposition === "NotExecuted" }
    default:
      return { _tag: "Broken", detail: reason._tag }
  }
}

const services = Layer.mergeAll(
  Idempotency.layer({ sweepEvery: false }).pipe(Layer.provide(layerStore), Layer.provide(NodeCrypto.layer)),
  SimGateway.layer({ baseUrl: job.gatewayUrl, deduplicates: job.deduplicates ? "24 hours" : false }).pipe(
    Layer.provide(layerClient)
  ),
  Logger.layer([])
)

// --- standard input

const decode = Schema.decodeSync(protocol.toWorker)

// Retried as a supervisor does: four processes open their databases at once.
const program = Effect.gen(function*() {
  const context = yield* Effect.retry(Layer.build(services), { times: 3 })
  const run = Effect.runForkWith(context)
  createInterface({ input: process.stdin }).on("line", (text) => {
    const line = decode(text)
    if (line._tag === "Arm") {
      return arm(line)
    }
    const { call } = line
    run(Effect.map(Effect.exit(charge(call)), (exit) => say({ _tag: "Answered", id: call.id, answer: answerOf(exit) })))
  })
  say({ _tag: "Up" })
  return yield* Effect.never
}).pipe(Effect.scoped)

// It outlives no parent.
process.stdin.on("end", () => process.exit(0))
process.stdout.on("error", () => process.exit(1))

Effect.runFork(program)
