// Sagas of four steps on Postgres, one after the other, 16 and 64 at once, beside three things:
// - bare commits: five INSERTs of one row each, which is what a saga of four steps has to make durable one after the
//   other: an intent before each step, the last outcome;
// - the grouped floor: the same rows in the same two tables, written together for all that wait, and nothing else: no
//   fence, no lease, no step;
// - DBOS.
// All but DBOS use the same client. Statements are counted apart from the clock, through a proxy.
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { type Saga, SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { answer, execute, fibers, layerOf, nextId, payload, steps } from "./checkout.ts"
import * as dbos from "./dbos.ts"
import { measure } from "./measure.ts"
import { atLeast, atMost, makeReport, type Report, type Row } from "./report.ts"
import { countStatements } from "./roundTrips.ts"
import { urlOf } from "./servers.ts"

const rounds = 9
const levels = [1, 16, 64] as const
const sagas = { 1: 24, 16: 128, 64: 512 }
const sagasOfDbos = { 1: 8, 16: 32, 64: 64 }
const commits = steps.length + 1

type Services = Saga.Sagas | SqlClient.SqlClient

const layer = (url: string) =>
  layerOf(SagaLog.layerStoreSql()).pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) })))

// --- bare commits

const bareTable = `CREATE TABLE bare (key text COLLATE "C" NOT NULL, seq bigint NOT NULL, epoch bigint NOT NULL,
  at bigint NOT NULL, state text NOT NULL, events text NOT NULL, PRIMARY KEY (key, seq))`

const now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"

const bareInsert = `INSERT INTO bare (key, seq, epoch, at, state, events)
VALUES ($1, $2, ${now}, ${now}, $3, $4)`

const intent = { _tag: "Intended", step: "authorize" }
const done = { _tag: "Succeeded", step: "authorize", result: JSON.stringify(answer) }
const eventsAt = (seq: number): string =>
  JSON.stringify(seq === 1 ? [intent] : seq === commits ? [done] : [done, intent])
const stateAt = (seq: number): string => seq === commits ? "Completed" : "Running"

const keyOf = (id: string): string => `8:checkout${id.length}:${id}`

const bare = Effect.flatMap(SqlClient.SqlClient, (sql) => {
  const key = keyOf(nextId())
  return Effect.forEach(
    Array.from({ length: commits }, (_, i) => i + 1),
    (seq) => sql.unsafe(bareInsert, [key, seq, stateAt(seq), eventsAt(seq)]).values,
    { discard: true }
  )
})

// --- the grouped floor

const runs = "floor"
const entries = "floor_entries"

const entered = `INSERT INTO ${entries} (key, seq, epoch, at, state, events)
  SELECT key, length, epoch, updated_at, state, tail FROM put`

const floorInsert = `WITH put AS (
  INSERT INTO ${runs} (key, saga, id, fingerprint, definition, payload, state, owner, epoch, lease_until, length,
    cancel_requested, tail, created_at, updated_at, step)
  SELECT key, 'checkout', id, $3, $4, $5, 'Running', $6, ${now}, ${now} + 30000, 1, 0, $7, ${now}, ${now}, 'reserve'
  FROM unnest($1::text[], $2::text[]) AS r (key, id)
  RETURNING key, length, epoch, updated_at, state, tail)
${entered}`

const floorUpdate = `WITH put AS (
  UPDATE ${runs} AS t SET length = r.seq, state = r.state, tail = r.tail, updated_at = ${now}
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS r (key, seq, state, tail) WHERE t.key = r.key
  RETURNING t.key, t.length, t.epoch, t.updated_at, t.state, t.tail)
${entered}`

const fingerprint = `v1:${"a".repeat(64)}`
const definition = JSON.stringify(
  Array.from({ length: commits }, (_, i) => `step-${i}|compensatable|${"a".repeat(32)}`)
)
const owner = "0123456789abcdef01234567.1z"
const text = JSON.stringify(payload)

interface Written {
  readonly key: string
  readonly id: string
  readonly seq: number
  readonly resume: (answer: Effect.Effect<void, unknown>) => void
}

/** Writes together what waits: whoever comes meanwhile goes with the next ones. Two statements are under way at most. */
const makeFloor = (runtime: ManagedRuntime.ManagedRuntime<SqlClient.SqlClient, unknown>, sql: SqlClient.SqlClient) => {
  let waiting: Array<Written> = []
  let free = 2
  let isScheduled = false
  const insert = (batch: ReadonlyArray<Written>) =>
    sql.unsafe(floorInsert, [
      batch.map(({ key }) => key),
      batch.map(({ id }) => id),
      fingerprint,
      definition,
      text,
      owner,
      eventsAt(1)
    ]).values
  const update = (batch: ReadonlyArray<Written>) =>
    sql.unsafe(floorUpdate, [
      batch.map(({ key }) => key),
      batch.map(({ seq }) => seq),
      batch.map(({ seq }) => stateAt(seq)),
      batch.map(({ seq }) => eventsAt(seq))
    ]).values
  const flush = (): void => {
    isScheduled = false
    if (free === 0 || waiting.length === 0) return
    const isFirst = waiting[0]?.seq === 1
    const batch = waiting.filter(({ seq }) => (seq === 1) === isFirst)
    waiting = waiting.filter(({ seq }) => (seq === 1) !== isFirst)
    free--
    runtime.runFork(
      Effect.onExit(isFirst ? insert(batch) : update(batch), (exit) =>
        Effect.sync(() => {
          free++
          for (const { resume } of batch) resume(Effect.asVoid(exit))
          schedule()
        }))
    )
    schedule()
  }
  const schedule = (): void => {
    if (isScheduled || free === 0 || waiting.length === 0) return
    isScheduled = true
    queueMicrotask(flush)
  }
  const write = (id: string, key: string, seq: number) =>
    Effect.callback<void, unknown>((resume) => {
      waiting.push({ key, id, seq, resume })
      schedule()
    })
  return Effect.gen(function*() {
    const id = nextId()
    const key = keyOf(id)
    for (let seq = 1; seq <= commits; seq++) yield* write(id, key, seq)
  })
}

/** The tables of the log, empty, under other names. */
const makeTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(bareTable).unprepared
  for (const [name, of] of [[runs, "effect_payments_saga"], [entries, "effect_payments_saga_entries"]] as const) {
    yield* sql.unsafe(`CREATE TABLE ${name} (LIKE ${of} INCLUDING ALL)`).unprepared
  }
})

// --- statements

interface Statements {
  readonly ours: (concurrency: 1 | 64) => number
  readonly dbos: number
}

const countAll = async (url: string, dbosUrl: string): Promise<Statements> => {
  const ours = await countStatements(url)
  const counted = new Map<number, number>()
  const runtime = ManagedRuntime.make(layer(ours.url))
  try {
    await runtime.runPromise(execute)
    for (const concurrency of [1, 64] as const) {
      const { operations, run } = fibers(runtime, execute, sagas[concurrency], concurrency)
      const before = ours.statements()
      await run()
      counted.set(concurrency, (ours.statements() - before) / operations / steps.length)
    }
  } finally {
    await runtime.dispose()
    await ours.close()
  }
  const theirs = await countStatements(dbosUrl)
  await dbos.launch(theirs.url)
  try {
    await dbos.execute()
    const { operations, run } = dbos.callers(64, 64)
    const before = theirs.statements()
    await run()
    const statements = (theirs.statements() - before) / operations / steps.length
    return { ours: (concurrency) => counted.get(concurrency) ?? Number.NaN, dbos: statements }
  } finally {
    await dbos.shutdown()
    await theirs.close()
  }
}

// --- the run

const compare = async (runtime: ManagedRuntime.ManagedRuntime<Services, unknown>, sql: SqlClient.SqlClient) => {
  const floor = makeFloor(runtime, sql)
  const contenders = {
    "bare commits, 1 at once": fibers(runtime, bare, sagas[1], 1),
    "grouped floor, 1 at once": fibers(runtime, floor, sagas[1], 1),
    "ours, 1 at once": fibers(runtime, execute, sagas[1], 1),
    "DBOS, 1 at once": dbos.callers(sagasOfDbos[1], 1),
    "bare commits, 16 at once": fibers(runtime, bare, sagas[16], 16),
    "grouped floor, 16 at once": fibers(runtime, floor, sagas[16], 16),
    "ours, 16 at once": fibers(runtime, execute, sagas[16], 16),
    "DBOS, 16 at once": dbos.callers(sagasOfDbos[16], 16),
    "bare commits, 64 at once": fibers(runtime, bare, sagas[64], 64),
    "grouped floor, 64 at once": fibers(runtime, floor, sagas[64], 64),
    "ours, 64 at once": fibers(runtime, execute, sagas[64], 64),
    "DBOS, 64 at once": dbos.callers(sagasOfDbos[64], 64)
  } as const
  // Until all of it is compiled.
  for (let i = 0; i < 4; i++) for (const { run } of Object.values(contenders)) await run()
  return {
    measured: await measure(contenders, { rounds, iterations: 1 }),
    names: Object.keys(contenders) as Array<keyof typeof contenders>
  }
}

const stepsPerSecond = (nanoseconds: number): number => (1e9 / nanoseconds) * steps.length

export const run = async (): Promise<Report> => {
  const url = urlOf("postgres")
  const dbosUrl = new URL(url)
  dbosUrl.pathname = "/dbos"
  const runtime = ManagedRuntime.make(layer(url))
  try {
    const sql = await runtime.runPromise(SqlClient.SqlClient)
    await runtime.runPromise(makeTables)
    const statements = await countAll(url, dbosUrl.href)
    await dbos.launch(dbosUrl.href)
    const { measured: { nanoseconds, ratio }, names } = await compare(runtime, sql)
    const rows = names.map((name): Row => {
      const level = levels.find((level) => name.endsWith(` ${level} at once`)) ?? 1
      const perSecond = Math.round(stepsPerSecond(nanoseconds[name])).toLocaleString("en").replaceAll(",", " ")
      return {
        name,
        nanoseconds: nanoseconds[name],
        perSecond: 1e9 / nanoseconds[name],
        ratio: ratio(`bare commits, ${level} at once`, name),
        note: `of the speed of bare commits; ${perSecond} steps per second`
      }
    })
    const perStep = (value: number) => `${value.toFixed(2)} statements per step`
    const toDbos = ratio("DBOS, 64 at once", "ours, 64 at once")
    const perSecond = stepsPerSecond(nanoseconds["ours, 64 at once"])
    return makeReport("saga-postgres", [
      ...rows,
      { name: "statements: ours, 1 at once", note: perStep(statements.ours(1)) },
      { name: "statements: ours, 64 at once", note: perStep(statements.ours(64)) },
      { name: "statements: DBOS, 64 at once", note: perStep(statements.dbos) }
    ], [
      // Whichever is less.
      toDbos >= 15
        ? atLeast("64 at once: of the speed of DBOS", toDbos, 15)
        : atLeast("64 at once: steps per second (or 15 times DBOS, whichever is less)", perSecond, 12_000),
      atLeast(
        "64 at once: of the speed of the grouped floor",
        ratio("grouped floor, 64 at once", "ours, 64 at once"),
        0.5
      ),
      atMost(
        "1 at once: latency through that of five bare commits",
        ratio("ours, 1 at once", "bare commits, 1 at once"),
        1.5
      )
    ])
  } finally {
    await dbos.shutdown()
    await runtime.dispose()
  }
}
