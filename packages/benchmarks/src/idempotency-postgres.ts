// First calls on Postgres, one after the other and 64 at once, beside the same two writes and nothing else over the same
// client: an INSERT and an UPDATE, each with a commit of its own. What group commit is worth is told by the same store
// without it (`batchMax: 1`): it does the same work per call, over the same pool of connections.
import { NodeCrypto } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, ManagedRuntime, Redacted } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { SqlClient } from "effect/sql"
import { ours } from "./charge.ts"
import { measure } from "./measure.ts"
import { atLeast, makeReport, type Report, type Row } from "./report.ts"
import { urlOf } from "./servers.ts"

const operations = { 1: 64, 64: 1024 }
const rounds = 11
// Until all of it is compiled: calls that wait for a server are too few in a round for that.
const warmUps = 6

let last = 0
const fresh = (): string => `key-${process.pid}-${(last++).toString(36).padStart(16, "0")}`

const layerOf = (client: ReturnType<typeof PgClient.layer>, batchMax: number) =>
  Idempotency.layer({ sweepEvery: false }).pipe(
    Layer.provide(IdempotencyStore.layerStoreSql({ batchMax })),
    Layer.provideMerge(client),
    Layer.provide(NodeCrypto.layer),
    Layer.merge(Logger.layer([]))
  )

type Services = Idempotency.Idempotency | SqlClient.SqlClient

const fibers = (
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
  concurrency: 1 | 64,
  call: () => Effect.Effect<unknown, unknown, Services>
) => ({
  operations: operations[concurrency],
  run: () => {
    const each = operations[concurrency] / concurrency
    const caller = Effect.gen(function*() {
      for (let i = 0; i < each; i++) yield* call()
    })
    return runtime.runPromise(
      Effect.forEach(Array.from({ length: concurrency }), () => caller, { concurrency, discard: true })
    )
  }
})

// --- the two statements

const now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"

const insert =
  `INSERT INTO effect_payments_idempotency (id, tenant, operation, version, key, state, fingerprint, owner, fence, attempt,
  unresolved, lease_until, unknown_since, result, created_at, updated_at, expires_at)
VALUES ($1, 'bare', 'charge', 1, $2, 'Claimed', $3, $4, ${now}, 1, 0, ${now} + 30000, 0, NULL, ${now}, ${now}, NULL)`

const update = `UPDATE effect_payments_idempotency SET state = 'Succeeded', result = $2, lease_until = 0,
  updated_at = ${now}, expires_at = ${now} + 86400000 WHERE id = $1`

const fingerprint = `v1:${"a".repeat(64)}`
const owner = "0123456789abcdef01234567.1z"
const result = `{"id":"ch_1","status":"authorized"}`

const bare = () =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => {
    const key = fresh()
    const id = `4:bare6:charge1:${key.length}:${key}`
    return Effect.flatMap(
      sql.unsafe(insert, [id, key, fingerprint, owner]).values,
      () => sql.unsafe(update, [id, result]).values
    )
  })

// --- the run

const baseline = "INSERT and UPDATE, one at a time"

export const run = async (): Promise<Report> => {
  const client = PgClient.layer({ url: Redacted.make(urlOf("postgres")) })
  const grouped = ManagedRuntime.make(layerOf(client, 256))
  const alone = ManagedRuntime.make(layerOf(client, 1))
  const replayed = fresh()
  try {
    await grouped.runPromise(ours(replayed))
    const contenders = {
      [baseline]: fibers(grouped, 1, bare),
      "first call, one at a time": fibers(grouped, 1, () => ours(fresh())),
      "replay, one at a time": fibers(grouped, 1, () => ours(replayed)),
      "INSERT and UPDATE, 64 at once": fibers(grouped, 64, bare),
      "first call, 64 at once": fibers(grouped, 64, () => ours(fresh())),
      "first call, 64 at once, a commit for each": fibers(alone, 64, () => ours(fresh()))
    } as const
    for (let i = 0; i < warmUps; i++) for (const { run } of Object.values(contenders)) await run()
    const { nanoseconds, ratio } = await measure(contenders, { rounds, iterations: 1 })
    const rows = (Object.keys(contenders) as Array<keyof typeof contenders>).map((name): Row => ({
      name,
      nanoseconds: nanoseconds[name],
      perSecond: 1e9 / nanoseconds[name],
      ratio: ratio(baseline, name),
      note: `of the speed of ${baseline}`
    }))
    return makeReport("idempotency-postgres", rows, [
      atLeast(
        "one at a time: first call, of the speed of INSERT and UPDATE",
        ratio(baseline, "first call, one at a time"),
        0.9
      ),
      atLeast(
        "64 at once: first call, of the speed of the same store with a commit for each",
        ratio("first call, 64 at once, a commit for each", "first call, 64 at once"),
        5
      )
    ])
  } finally {
    await grouped.dispose()
    await alone.dispose()
  }
}
