/** A shop and a gateway whose books are a file, so that they outlive every process, and a process that can be killed. */
import { SqliteClient } from "@effect-payments/sqlite"
import { Context, Effect, Layer } from "effect"
import { Money, PaymentGateway, SagaLog } from "effect-payments"
import { appendFileSync, existsSync, readFileSync } from "node:fs"
import { Refusal, Shop } from "./checkout.ts"

/** One line of the books. */
export interface Line {
  readonly method: string
  /** What it is recognised by: the same again is answered as the first time and not done again. */
  readonly key: string
  readonly id: string
  readonly parent?: string
}

export const readBooks = (file: string): ReadonlyArray<Line> =>
  existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as Line) : []

export const count = (lines: ReadonlyArray<Line>, method: string): number =>
  lines.filter((line) => line.method === method).length

/** Where a process dies, as `METHOD:before`, `METHOD:after` or `entry:N` (right after the Nth entry is durable). */
export class Death
  extends Context.Service<Death, { readonly at: (place: string) => Effect.Effect<void> }>()("test/Death")
{}

export const dieAt = (wanted: string) =>
  Layer.succeed(Death, {
    at: (place) =>
      place === wanted
        ? Effect.andThen(Effect.sync(() => process.kill(process.pid, "SIGKILL")), Effect.never)
        : Effect.void
  })

const enter = (file: string, line: Line) =>
  Effect.gen(function*() {
    const death = yield* Death
    yield* death.at(`${line.method}:before`)
    const known = readBooks(file).find(({ key, method }) => key === line.key && method === line.method)
    if (known === undefined) appendFileSync(file, `${JSON.stringify(line)}\n`)
    yield* death.at(`${line.method}:after`)
    return known ?? line
  })

const money = Money.makeUnsafe("EUR", "49.90")

const transactionOf = ({ id, method, parent }: Line) =>
  new PaymentGateway.Transaction({
    id: PaymentGateway.TransactionId.make(id),
    kind: method as "authorize",
    status: method === "authorize"
      ? "authorized"
      : method === "capture"
      ? "captured"
      : method === "void"
      ? "voided"
      : "refunded",
    money,
    ...parent === undefined ? {} : { parent: PaymentGateway.TransactionId.make(parent) }
  })

export const gatewayLayer = (file: string) =>
  Layer.effect(
    PaymentGateway.PaymentGateway,
    Effect.map(Death, (death) => {
      const call = (method: string) => (request: object, key: string) =>
        enter(file, {
          method,
          key,
          id: `${method}-${key}`,
          ..."transactionId" in request ? { parent: String(request.transactionId) } : {}
        }).pipe(Effect.map(transactionOf), Effect.provideService(Death, death))
      return PaymentGateway.make({
        name: "file",
        deduplicates: "24 hours",
        lookup: true,
        partialCapture: false,
        partialRefund: false
      }, {
        authorize: call("authorize"),
        capture: call("capture"),
        void: call("void"),
        refund: call("refund"),
        lookup: (key) =>
          Effect.sync(() => {
            const line = readBooks(file).find((line) => line.key === key)
            return line === undefined ? PaymentGateway.neverHappened : PaymentGateway.happened(transactionOf(line))
          })
      })
    })
  )

export const shopLayer = (file: string, refuses: string) =>
  Layer.effect(
    Shop,
    Effect.map(Death, (death) => ({
      calls: [],
      plan: new Map(),
      happened: (name) => Effect.sync(() => readBooks(file).some(({ key }) => key === name)),
      call: (name) =>
        name === refuses
          ? Effect.fail(new Refusal({ why: "planned" }))
          : Effect.asVoid(
            enter(file, { method: name.split(" ")[0] ?? name, key: name, id: name }).pipe(
              Effect.provideService(Death, death)
            )
          )
    }))
  )

/** The log, which the process may die right after. */
export const logLayer = (filename: string) =>
  Layer.effect(
    SagaLog.SagaLog,
    Effect.gen(function*() {
      const death = yield* Death
      const log = yield* SagaLog.SagaLog
      return {
        ...log,
        claim: (request) => Effect.tap(log.claim(request), (history) => death.at(`entry:${history?.run.length ?? 0}`)),
        append: (request) => Effect.tap(log.append(request), () => death.at(`entry:${request.seq}`))
      }
    })
  ).pipe(
    Layer.provide(SagaLog.layerStoreSql()),
    Layer.provide(SqliteClient.layer({ filename, busyTimeout: "10 seconds" }))
  )
