// First calls on SQLite, one after the other and 64 at once, beside bare node:sqlite that does the same two writes and
// nothing else: no look for a duplicate, no guard, no fingerprint, no lease.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Contender, measure } from "./measure.ts"
import { atLeast, makeReport, type Report, type Row } from "./report.ts"

type Synchronous = "FULL" | "NORMAL"

const Payload = Schema.Struct({ order: Schema.String, amount: Schema.Number, currency: Schema.String })
const Result = Schema.Struct({ id: Schema.String, status: Schema.String, amount: Schema.Number })
const payload = { order: "order-2041", amount: 1999, currency: "EUR" }
const result = { id: "ch_3PLxq2eZvKYlo2C1", status: "captured", amount: 1999 }
const scope = Schema.decodeSync(Idempotency.Scope)({ tenant: "shop", operation: "charge", version: 1 })
const toKey = Schema.decodeSync(Idempotency.Key)

// Keys are made beforehand: neither side is timed for it.
const keys = Array.from(
  { length: 80_000 },
  (_, index) => toKey(`key-${process.pid}-${index.toString(36).padStart(24, "0")}`)
)
const nextKey = (): typeof Idempotency.Key.Type => {
  const key = keys.pop()
  if (key === undefined) throw new Error("more calls than keys")
  return key
}

// --- effect-payments

const call = (key: typeof Idempotency.Key.Type) =>
  Idempotency.idempotent(Effect.succeed(result), {
    scope,
    key,
    payload,
    payloadSchema: Payload,
    success: Result,
    error: PaymentError.PaymentError
  })

const firstCall = Effect.suspend(() => call(nextKey()))

const layerOf = (filename: string, synchronous: Synchronous, batchMax = 256) =>
  Idempotency.layer().pipe(
    Layer.provide(IdempotencyStore.layerStoreSql({ batchMax })),
    Layer.provide(SqliteClient.layer({ filename, synchronous })),
    Layer.provide(NodeCrypto.layer)
  )

const calls = (
  runtime: ManagedRuntime.ManagedRuntime<Idempotency.Idempotency, unknown>,
  call: Effect.Effect<unknown, unknown, Idempotency.Idempotency>,
  operations: number,
  concurrency: number
): Contender => ({
  operations,
  run: () =>
    runtime.runPromise(
      Effect.forEach(Array.from({ length: operations }), () => call, { concurrency, discard: true })
    )
})

// --- bare node:sqlite

const now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

const openBare = (filename: string, synchronous: Synchronous) => {
  const db = new DatabaseSync(filename)
  db.exec(`PRAGMA synchronous = ${synchronous}`)
  const insert = db.prepare(
    `INSERT INTO effect_payments_idempotency (id, tenant, operation, version, key, state, fingerprint, owner, fence,
       attempt, unresolved, lease_until, unknown_since, result, created_at, updated_at, expires_at)
     VALUES (?, ?, ?, ?, ?, 'Claimed', ?, ?, ${now}, 1, 0, ${now} + 30000, 0, NULL, ${now}, ${now}, NULL)`
  )
  const update = db.prepare(
    `UPDATE effect_payments_idempotency SET state = 'Succeeded', result = ?, lease_until = 0, updated_at = ${now},
       expires_at = ${now} + 86400000 WHERE id = ?`
  )
  const text = JSON.stringify(result)
  const fingerprint = `v1:${"a".repeat(64)}`
  const bareCall = () => {
    const key = nextKey()
    const id = `4:shop6:charge1:${key.length}:${key}`
    insert.run(id, "shop", "charge", 1, key, fingerprint, "0123456789abcdef01234567.1z")
    update.run(text, id)
  }
  return { db, bareCall }
}

const many = (operations: number, call: () => void): Contender => ({
  operations,
  run: () => {
    for (let i = 0; i < operations; i++) call()
  }
})

// --- the run

const compare = async (directory: string, synchronous: Synchronous, rounds: number) => {
  const file = (name: string) => join(directory, `${name}-${synchronous}.db`)
  const grouped = ManagedRuntime.make(layerOf(file("grouped"), synchronous))
  const alone = ManagedRuntime.make(layerOf(file("alone"), synchronous, 1))
  // Makes the table for the other side too.
  await Effect.runPromise(Effect.scoped(Layer.build(layerOf(file("bare"), synchronous))))
  const { bareCall, db } = openBare(file("bare"), synchronous)
  const operations = synchronous === "FULL" ? 64 : 256
  const measured = await measure({
    "bare node:sqlite": many(operations, bareCall),
    "one at a time": calls(grouped, firstCall, operations, 1),
    "64 at once": calls(grouped, firstCall, 512, 64),
    "64 at once, a commit for each": calls(alone, firstCall, operations, 64),
    "replay, one at a time": calls(grouped, call(nextKey()), 512, 1)
  }, { rounds, iterations: 1 })
  db.close()
  await grouped.dispose()
  await alone.dispose()
  return measured
}

const rowsOf = (synchronous: Synchronous, measured: Awaited<ReturnType<typeof compare>>): ReadonlyArray<Row> =>
  Object.entries(measured.nanoseconds).map(([name, nanoseconds]) => ({
    name: `${synchronous}: ${name}`,
    nanoseconds,
    perSecond: 1e9 / nanoseconds,
    ratio: measured.ratio(name as keyof typeof measured.nanoseconds, "bare node:sqlite"),
    note: "to bare node:sqlite"
  }))

export const run = async (): Promise<Report> => {
  const directory = mkdtempSync(join(tmpdir(), "bench-idempotency-"))
  try {
    const normal = await compare(directory, "NORMAL", 25)
    const full = await compare(directory, "FULL", 15)
    return makeReport("idempotency-sqlite", [...rowsOf("NORMAL", normal), ...rowsOf("FULL", full)], [
      atLeast(
        "first calls at least 0.6x bare node:sqlite (NORMAL, one at a time)",
        normal.ratio("bare node:sqlite", "one at a time"),
        0.6
      ),
      atLeast(
        "64 concurrent with synchronous=FULL at least 5x one commit per call",
        full.ratio("64 at once, a commit for each", "64 at once"),
        5
      )
    ])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
