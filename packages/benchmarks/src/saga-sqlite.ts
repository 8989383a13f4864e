// Sagas of four steps on SQLite, one after the other and 64 at once, beside two things: bare node:sqlite that does the same
// five writes and nothing else (no fence, no lease, no step), which is the floor, and effect/workflow, whose engine in
// memory keeps nothing, and whose cluster engine keeps its messages in the same database.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime, Schema } from "effect"
import { PaymentError, Saga, SagaLog } from "effect-payments"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Contender, measure } from "./measure.ts"
import { makeReport, type Report, type Row } from "./report.ts"

type Synchronous = "FULL" | "NORMAL"

const Id = Schema.Struct({ id: Schema.String })
const payload = { orderId: "order-2041", amount: 1999 }
const answer = { id: "ch_3PLxq2eZvKYlo2C1" }
const steps = 4

let last = 0
const nextId = (): string => `run-${process.pid}-${(last++).toString(36)}`

// --- effect-payments

const step = {
  success: Id,
  error: PaymentError.PaymentError,
  verify: "rerun",
  run: () => Effect.succeed(answer)
} as const
const undoable = { ...step, compensate: () => Effect.void } as const

const saga = Saga.make("checkout", { payload: Schema.Struct({ orderId: Schema.String, amount: Schema.Number }) }).pipe(
  Saga.step("reserve", undoable),
  Saga.step("authorize", undoable),
  Saga.step("capture", undoable),
  Saga.pivot("ship", step)
)

const layerOf = (log: Layer.Layer<SagaLog.SagaLog, unknown>) =>
  Saga.layer({ sweepEvery: false }).pipe(
    Layer.provide(log),
    Layer.provide(NodeCrypto.layer),
    Layer.provideMerge(Logger.layer([]))
  )

const sqlLog = (filename: string, synchronous: Synchronous) =>
  SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename, synchronous })))

const execute = Effect.suspend(() => Saga.execute(saga, payload, { id: nextId() }))

const many = <R>(
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
  self: Effect.Effect<unknown, unknown, R>,
  operations: number,
  concurrency: number
): Contender => ({
  operations,
  run: () =>
    runtime.runPromise(Effect.forEach(Array.from({ length: operations }), () => self, { concurrency, discard: true }))
})

// --- effect/workflow

const Checkout = Workflow.make("Checkout", {
  payload: { id: Schema.String, orderId: Schema.String, amount: Schema.Number },
  success: Id,
  idempotencyKey: ({ id }) => id
})

const activity = (name: string) => Activity.make({ name, success: Id, execute: Effect.succeed(answer) })

const checkoutLayer = Checkout.toLayer(Effect.fnUntraced(function*() {
  yield* activity("reserve").pipe(Checkout.withCompensation(() => Effect.void))
  yield* activity("authorize").pipe(Checkout.withCompensation(() => Effect.void))
  yield* activity("capture").pipe(Checkout.withCompensation(() => Effect.void))
  return yield* activity("ship")
}))

const workflow = Effect.suspend(() => Checkout.execute({ id: nextId(), ...payload }))

const inMemory = checkoutLayer.pipe(
  Layer.provideMerge(WorkflowEngine.layerMemory),
  Layer.provide(NodeCrypto.layer),
  Layer.provideMerge(Logger.layer([]))
)

const onCluster = (filename: string, synchronous: Synchronous) =>
  checkoutLayer.pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provide(SingleRunner.layer({ runnerStorage: "memory" })),
    Layer.provide([SqliteClient.layer({ filename, synchronous }), NodeCrypto.layer]),
    Layer.provideMerge(Logger.layer([]))
  )

// --- bare node:sqlite

const now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

/** The tables are the log's own, so each write adds its entry by the same trigger. */
const openBare = (filename: string, synchronous: Synchronous) => {
  const db = new DatabaseSync(filename)
  db.exec(`PRAGMA synchronous = ${synchronous}`)
  const insert = db.prepare(
    `INSERT INTO effect_payments_saga (key, saga, id, fingerprint, definition, payload, state, owner, epoch, lease_until,
       length, cancel_requested, tail, created_at, updated_at)
     VALUES (?, 'checkout', ?, ?, ?, ?, 'Running', 'bare', ${now}, ${now} + 30000, 1, 0, ?, ${now}, ${now})`
  )
  const update = db.prepare(
    `UPDATE effect_payments_saga SET length = ?, state = ?, tail = ?, updated_at = ${now} WHERE key = ?`
  )
  const fingerprint = `v1:${"a".repeat(64)}`
  const definition = JSON.stringify(
    Array.from({ length: steps + 1 }, (_, i) => `step-${i}|compensatable|${"a".repeat(32)}`)
  )
  const text = JSON.stringify(payload)
  const intent = { _tag: "Intended", step: "authorize" }
  const done = { _tag: "Succeeded", step: "authorize", result: JSON.stringify(answer) }
  const bareSaga = () => {
    const id = nextId()
    const key = `8:checkout${id.length}:${id}`
    insert.run(key, id, fingerprint, definition, text, JSON.stringify([intent]))
    for (let length = 2; length <= steps + 1; length++) {
      const isLast = length === steps + 1
      update.run(length, isLast ? "Completed" : "Running", JSON.stringify(isLast ? [done] : [done, intent]), key)
    }
  }
  return { db, bareSaga }
}

// --- the run

const compare = async (directory: string, synchronous: Synchronous, rounds: number) => {
  const path = (name: string) => join(directory, `${name}-${synchronous}.db`)
  const ours = ManagedRuntime.make(layerOf(sqlLog(path("ours"), synchronous)))
  const memory = ManagedRuntime.make(layerOf(SagaLog.layerStoreMemory({ capacity: 5_000_000 })))
  const workflows = ManagedRuntime.make(inMemory)
  const cluster = ManagedRuntime.make(onCluster(path("cluster"), synchronous))
  // Makes the tables for the other side too.
  await Effect.runPromise(Effect.scoped(Layer.build(layerOf(sqlLog(path("bare"), synchronous)))))
  const { bareSaga, db } = openBare(path("bare"), synchronous)
  const few = synchronous === "FULL" ? 8 : 64
  const bare: Contender = {
    operations: few,
    run: () => {
      for (let i = 0; i < few; i++) bareSaga()
    }
  }
  const measured = await measure({
    "bare, a commit for each write": bare,
    "ours, one at a time": many(ours, execute, few, 1),
    "ours, 64 at once": many(ours, execute, 256, 64),
    "ours in memory, 64 at once": many(memory, execute, 256, 64),
    "effect/workflow in memory, 64 at once": many(workflows, workflow, 256, 64),
    "effect/workflow on a cluster of one, one at a time": many(cluster, workflow, 1, 1),
    "effect/workflow on a cluster of one, 32 at once": many(cluster, workflow, 32, 32)
  }, { rounds, iterations: 1 })
  db.close()
  for (const runtime of [ours, memory, workflows, cluster]) await runtime.dispose()
  return measured
}

const rowsOf = (synchronous: Synchronous, measured: Awaited<ReturnType<typeof compare>>): ReadonlyArray<Row> =>
  Object.entries(measured.nanoseconds).map(([name, nanoseconds]) => ({
    name: `${synchronous}: ${name}`,
    nanoseconds,
    perSecond: 1e9 / nanoseconds,
    ratio: measured.ratio(name as keyof typeof measured.nanoseconds, "bare, a commit for each write"),
    note: "to bare, a commit for each write"
  }))

export const run = async (): Promise<Report> => {
  const directory = mkdtempSync(join(tmpdir(), "bench-saga-"))
  try {
    const normal = await compare(directory, "NORMAL", 7)
    const full = await compare(directory, "FULL", 7)
    return makeReport("saga-sqlite", [...rowsOf("NORMAL", normal), ...rowsOf("FULL", full)], [])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
