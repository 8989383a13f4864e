// Sagas of four steps on SQLite, one after the other and 64 at once, beside three things: bare node:sqlite that does the
// same five writes and nothing else (no fence, no lease, no step), which is the floor; one bare INSERT for each step; and
// effect/workflow, whose engine in memory keeps nothing, and whose cluster engine keeps its messages in the same database.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { SagaLog } from "effect-payments"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import {
  answer,
  checkoutLayer,
  execute,
  fibers,
  layerOf,
  nextId,
  payload,
  steps as names,
  workflow,
  workflowsInMemory
} from "./checkout.ts"
import { type Contender, measure } from "./measure.ts"
import { atLeast, makeReport, type Report, type Row } from "./report.ts"

type Synchronous = "FULL" | "NORMAL"

const steps = names.length

const sqlLog = (filename: string, synchronous: Synchronous) =>
  SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename, synchronous })))

const onCluster = (filename: string, synchronous: Synchronous) =>
  checkoutLayer.pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provide(SingleRunner.layer({ runnerStorage: "memory" })),
    Layer.provide([SqliteClient.layer({ filename, synchronous }), NodeCrypto.layer]),
    Layer.merge(Logger.layer([]))
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
  db.exec("CREATE TABLE step (key text NOT NULL, seq integer NOT NULL, events text NOT NULL, PRIMARY KEY (key, seq))")
  const insertStep = db.prepare("INSERT INTO step (key, seq, events) VALUES (?, ?, ?)")
  const events = JSON.stringify([done, intent])
  const bareSteps = () => {
    const id = nextId()
    for (let seq = 1; seq <= steps; seq++) insertStep.run(id, seq, events)
  }
  return { db, bareSaga, bareSteps }
}

// --- the run

const compare = async (directory: string, synchronous: Synchronous, rounds: number) => {
  const path = (name: string) => join(directory, `${name}-${synchronous}.db`)
  const ours = ManagedRuntime.make(layerOf(sqlLog(path("ours"), synchronous)))
  const memory = ManagedRuntime.make(layerOf(SagaLog.layerStoreMemory({ capacity: 5_000_000 })))
  const workflows = ManagedRuntime.make(workflowsInMemory)
  const cluster = ManagedRuntime.make(onCluster(path("cluster"), synchronous))
  // Makes the tables for the other side too.
  await Effect.runPromise(Effect.scoped(Layer.build(layerOf(sqlLog(path("bare"), synchronous)))))
  const { bareSaga, bareSteps, db } = openBare(path("bare"), synchronous)
  const few = synchronous === "FULL" ? 8 : 64
  const repeated = (saga: () => void): Contender => ({
    operations: few,
    run: () => {
      for (let i = 0; i < few; i++) saga()
    }
  })
  const measured = await measure({
    "bare, a commit for each write": repeated(bareSaga),
    "bare, one INSERT and commit for each step": repeated(bareSteps),
    "ours, one at a time": fibers(ours, execute, few, 1),
    "ours, 64 at once": fibers(ours, execute, 512, 64),
    "ours in memory, 64 at once": fibers(memory, execute, 512, 64),
    "effect/workflow in memory, 64 at once": fibers(workflows, workflow, 256, 64),
    "effect/workflow on a cluster of one, one at a time": fibers(cluster, workflow, 1, 1),
    "effect/workflow on a cluster of one, 32 at once": fibers(cluster, workflow, 32, 32)
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
    return makeReport("saga-sqlite", [...rowsOf("NORMAL", normal), ...rowsOf("FULL", full)], [
      atLeast(
        "FULL, 64 at once: of the speed of one INSERT and commit for each step",
        full.ratio("bare, one INSERT and commit for each step", "ours, 64 at once"),
        8
      )
    ])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
