/**
 * The operations that have begun, with what it takes to finish them, in a table of SQLite or Postgres.
 *
 * An operation that is begun again after it had ended is another one: its `life` counts up, and the phases of the life
 * before are never taken for its own.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { direct, type Execute, pooled, type Row, type Rows } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import * as sqlMigrate from "../sql/migrate.ts"
import {
  compile,
  type Dialect,
  isIdentifier,
  pg,
  sqlite,
  type Statement,
  type Types,
  type Values
} from "../sql/statement.ts"
import { JournalUnavailable } from "./errors.ts"

/** @internal */
export interface Begun {
  readonly id: string
  readonly tenant: string
  readonly operation: string
  readonly version: number
  readonly key: string
  readonly payload: string
}

/** @internal One that may have been abandoned. */
export interface Abandoned extends Begun {
  readonly life: number
  /** How often somebody has tried to finish it, and could not. */
  readonly tries: number
}

/** @internal One that is over, with the names of its phases. */
export interface Finished extends Omit<Abandoned, "payload" | "tries"> {
  readonly phases: ReadonlyArray<string>
}

/** @internal Each is one statement. */
export interface Journal {
  /** Notes that it begins, or goes on; answers which life it is in, and the phases with which that began. */
  readonly open: (
    begun: Begun,
    phases: ReadonlyArray<string>
  ) => Effect.Effect<{ readonly life: number; readonly phases: ReadonlyArray<string> }, JournalUnavailable>
  /** Whether it is still unfinished in this life; then nobody takes it for abandoned for a while. */
  readonly keep: (id: string, life: number) => Effect.Effect<boolean, JournalUnavailable>
  /** Notes that it is over. */
  readonly finish: (id: string, life: number) => Effect.Effect<void, JournalUnavailable>
  /** Forgets one of which nothing has happened, or whose phases are dropped. */
  readonly forget: (id: string, life: number, isFinished: boolean) => Effect.Effect<void, JournalUnavailable>
  /** Takes some that seem abandoned, each for one worker: no other gets them until they seem so again. */
  readonly takeAbandoned: (
    names: ReadonlyArray<{ readonly operation: string; readonly version: number }>,
    limit: number
  ) => Effect.Effect<ReadonlyArray<Abandoned>, JournalUnavailable>
  /** Leaves one alone that could not be finished: for so long, twice that the next time, an hour at the most. */
  readonly postpone: (
    abandoned: Pick<Abandoned, "id" | "life">,
    backoffMillis: number
  ) => Effect.Effect<void, JournalUnavailable>
  /** Some that have been over for so long, each for one worker. */
  readonly takeFinished: (
    options: { readonly limit: number; readonly retentionMillis: number }
  ) => Effect.Effect<ReadonlyArray<Finished>, JournalUnavailable>
  /** How many are not over. */
  readonly countUnfinished: Effect.Effect<number, JournalUnavailable>
}

/** @internal */
export interface Options {
  readonly table: string
  readonly migrate: boolean
  readonly abandonedMillis: number
}

const types: Types = {
  id: "text",
  tenant: "text",
  operation: "text",
  version: "bigint",
  key: "text",
  payload: "text",
  phases: "text",
  names: "text",
  life: "bigint",
  finished: "bigint",
  wait: "bigint",
  retention: "bigint",
  limit: "bigint"
}

// An operation that nobody can finish is tried at least so often.
const backoffMaxMillis = 3_600_000

/** @internal */
export const make = Effect.fnUntraced(function*(
  { abandonedMillis, migrate, table }: Options
): Effect.fn.Return<
  Journal,
  JournalUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> {
  const sql = yield* SqlClient.SqlClient
  const dialect = sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })
  if (dialect === undefined) return yield* unavailable("start", "the journal speaks sqlite and pg")
  if (!isIdentifier(table)) {
    return yield* unavailable("start", "table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  }
  if (migrate) yield* sqlMigrate.migrate(table, migrations(table))
  return journal(dialect.name === "sqlite" ? direct(sql) : pooled(sql), dialect, `"${table}"`, abandonedMillis)
})

const unavailable = (operation: string, detail: string) => Effect.fail(new JournalUnavailable({ operation, detail }))

const journal = (execute: Execute, dialect: Dialect, table: string, abandonedMillis: number): Journal => {
  const statements = statementsOf(dialect, table)
  const run = (operation: string, { bind, text }: Statement, values: Values): Effect.Effect<Rows, JournalUnavailable> =>
    Effect.mapError(
      execute(text, bind(values)),
      ({ reason }) => new JournalUnavailable({ operation, detail: reason._tag })
    )
  return {
    open: (begun, phases) =>
      Effect.flatMap(
        run("open", statements.open, { ...begun, phases: JSON.stringify(phases), wait: abandonedMillis }),
        ([row]) => {
          const life = integer(row?.[0])
          return Number.isNaN(life)
            ? unavailable("open", "RowUnreadable")
            : Effect.succeed({ life, phases: phasesOf(row?.[1]) })
        }
      ),
    keep: (id, life) =>
      Effect.map(run("keep", statements.keep, { id, life, wait: abandonedMillis }), (rows) => rows.length === 1),
    finish: (id, life) => Effect.asVoid(run("finish", statements.finish, { id, life })),
    forget: (id, life, isFinished) =>
      Effect.asVoid(run("forget", statements.forget, { id, life, finished: isFinished ? 1 : 0 })),
    takeAbandoned: (names, limit) =>
      Effect.map(
        run("take", statements.takeAbandoned, {
          names: JSON.stringify(names.map(({ operation, version }) => `${operation} ${version}`)),
          limit,
          wait: abandonedMillis
        }),
        (rows) => rows.map((row) => ({ ...entryOf(row), tries: integer(row[6]), payload: String(row[7]) }))
      ),
    postpone: ({ id, life }, backoffMillis) =>
      Effect.asVoid(run("postpone", statements.postpone, { id, life, wait: backoffMillis })),
    takeFinished: ({ limit, retentionMillis }) =>
      Effect.map(
        run("take", statements.takeFinished, { limit, retention: retentionMillis, wait: abandonedMillis }),
        (rows) => rows.map((row) => ({ ...entryOf(row), phases: phasesOf(row[7]) }))
      ),
    countUnfinished: Effect.map(run("count", statements.count, {}), ([row]) => integer(row?.[0]))
  }
}

const statementsOf = (dialect: Dialect, table: string) => {
  const { greatest, name, now } = dialect
  const isPg = name === "pg"
  const skipLocked = isPg ? "FOR UPDATE SKIP LOCKED" : ""
  const least = isPg ? "least" : "min"
  const names = isPg ? "jsonb_array_elements_text(CAST(:names AS jsonb)) AS given(value)" : "json_each(:names)"
  const statement = (text: string) => compile(dialect, types, text)
  return {
    open: statement(
      `INSERT INTO ${table} AS t (id, tenant, operation, version, key, payload, phases, life, tries, due_at, finished_at)
VALUES (:id, :tenant, :operation, :version, :key, :payload, :phases, 1, 0, ${now} + :wait, NULL)
ON CONFLICT (id) DO UPDATE SET life = CASE WHEN t.finished_at IS NULL THEN t.life ELSE t.life + 1 END,
phases = CASE WHEN t.finished_at IS NULL THEN t.phases ELSE excluded.phases END,
payload = excluded.payload, due_at = excluded.due_at, finished_at = NULL, tries = 0
RETURNING life, phases`
    ),
    keep: statement(
      `UPDATE ${table} SET due_at = ${greatest}(due_at, ${now} + :wait)
WHERE id = :id AND life = :life AND finished_at IS NULL RETURNING id`
    ),
    finish: statement(
      `UPDATE ${table} SET finished_at = ${now} WHERE id = :id AND life = :life AND finished_at IS NULL`
    ),
    forget: statement(
      `DELETE FROM ${table} WHERE id = :id AND life = :life AND (finished_at IS NOT NULL) = (:finished = 1)`
    ),
    takeAbandoned: statement(
      `UPDATE ${table} SET due_at = ${now} + :wait
WHERE id IN (SELECT id FROM ${table} WHERE finished_at IS NULL AND due_at <= ${now}
AND operation || ' ' || version IN (SELECT value FROM ${names}) ORDER BY due_at LIMIT :limit ${skipLocked})
RETURNING id, tenant, operation, version, key, life, tries, payload`
    ),
    postpone: statement(
      `UPDATE ${table} SET tries = tries + 1, due_at = ${now} + CASE WHEN tries < 12
THEN ${least}(:wait * (CAST(1 AS bigint) << CAST(tries AS integer)), ${backoffMaxMillis}) ELSE ${backoffMaxMillis} END
WHERE id = :id AND life = :life AND finished_at IS NULL`
    ),
    takeFinished: statement(
      `UPDATE ${table} SET due_at = ${now} + :wait
WHERE id IN (SELECT id FROM ${table} WHERE finished_at <= ${now} - :retention AND due_at <= ${now}
ORDER BY finished_at LIMIT :limit ${skipLocked})
RETURNING id, tenant, operation, version, key, life, tries, phases`
    ),
    count: statement(`SELECT count(*) FROM ${table} WHERE finished_at IS NULL`)
  }
}

const entryOf = ([id, tenant, operation, version, key, life]: Row) => ({
  id: String(id),
  tenant: String(tenant),
  operation: String(operation),
  version: integer(version),
  key: String(key),
  life: integer(life)
})

const decodePhases = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Array(Schema.String)))

const phasesOf = (text: unknown): ReadonlyArray<string> => {
  const phases = decodePhases(text)
  return phases._tag === "Some" ? phases.value : []
}

/** @internal By number and name, for a migrator. */
export const migrations = (table: string): sqlMigrate.Migrations => ({
  "0001_phases": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const big = sql.onDialectOrElse({ pg: () => "bigint", orElse: () => "integer" })
    yield* sql.unsafe(
      `CREATE TABLE "${table}" (
  id text PRIMARY KEY NOT NULL,
  tenant text NOT NULL,
  operation text NOT NULL,
  version ${big} NOT NULL,
  key text NOT NULL,
  payload text NOT NULL,
  phases text NOT NULL,
  life ${big} NOT NULL,
  tries ${big} NOT NULL,
  due_at ${big} NOT NULL,
  finished_at ${big}
)`
    ).unprepared
    yield* sql.unsafe(`CREATE INDEX "${table}_due" ON "${table}" (due_at) WHERE finished_at IS NULL`).unprepared
    yield* sql.unsafe(`CREATE INDEX "${table}_finished" ON "${table}" (finished_at) WHERE finished_at IS NOT NULL`)
      .unprepared
  })
})
