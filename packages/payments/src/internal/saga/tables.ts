/**
 * The tables of the saga log and their migrations: one row per run, which carries owner, epoch and lease, one row per
 * entry, and one per message for a run. Entries and messages are never changed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "../sql/client.ts"
import * as sqlMigrate from "../sql/migrate.ts"

/**
 * @internal In the order in which rows are read. `tail` is the text of the last entry. Beside them stands `ended_at`: the time
 * of the last change of a run that has ended, all well or all undone.
 */
export const columns = [
  "key",
  "saga",
  "id",
  "fingerprint",
  "definition",
  "payload",
  "state",
  "owner",
  "epoch",
  "lease_until",
  "length",
  "cancel_requested",
  "tail",
  "created_at",
  "updated_at",
  "step",
  "pause"
] as const

/** @internal */
export const signalColumns = ["key", "step", "event", "value", "at"] as const

/** @internal */
export const entryColumns = ["key", "seq", "epoch", "at", "state", "events"] as const

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): sqlMigrate.Migrations => ({
  "0001_runs": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { integer, key, triggers } = sql.onDialectOrElse({
      pg: () => ({ key: `text COLLATE "C"`, integer: "bigint", triggers: [] as ReadonlyArray<string> }),
      orElse: () => ({ key: "text", integer: "integer", triggers: [entered(table), appended(table)] })
    })
    const statements = [
      runs(table, key, integer),
      entries(table, key, integer),
      // Finds what has lost its owner; what has ended is not in it.
      `CREATE INDEX "${table}_open" ON "${table}" (lease_until) WHERE state IN ('Running', 'Compensating')`,
      `CREATE INDEX "${table}_state" ON "${table}" (state, updated_at)`,
      ...triggers
    ]
    for (const statement of statements) yield* sql.unsafe(statement).unprepared
  }),
  "0002_signals": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { integer, key } = sql.onDialectOrElse({
      pg: () => ({ key: `text COLLATE "C"`, integer: "bigint" }),
      orElse: () => ({ key: "text", integer: "integer" })
    })
    const statements = [
      `ALTER TABLE "${table}" ADD COLUMN step text`,
      `ALTER TABLE "${table}" ADD COLUMN pause text`,
      signals(table, key, integer),
      `CREATE INDEX "${table}_signals_at" ON "${table}_signals" (at)`
    ]
    for (const statement of statements) yield* sql.unsafe(statement).unprepared
  }),
  // No column that every entry changes is in an index: Postgres then writes the run alone, on the page where it is.
  "0003_ended": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { integer, room } = sql.onDialectOrElse({
      pg: () => ({ integer: "bigint", room: [`ALTER TABLE "${table}" SET (fillfactor = 50)`] }),
      orElse: () => ({ integer: "integer", room: [] as ReadonlyArray<string> })
    })
    const statements = [
      `ALTER TABLE "${table}" ADD COLUMN ended_at ${integer}`,
      `UPDATE "${table}" SET ended_at = updated_at WHERE state IN ('Completed', 'Compensated')`,
      `DROP INDEX "${table}_state"`,
      `CREATE INDEX "${table}_state" ON "${table}" (state, key)`,
      `CREATE INDEX "${table}_ended" ON "${table}" (ended_at) WHERE ended_at IS NOT NULL`,
      ...room
    ]
    for (const statement of statements) yield* sql.unsafe(statement).unprepared
  })
})

const signals = (table: string, key: string, integer: string): string =>
  `CREATE TABLE "${table}_signals" (
  key ${key} NOT NULL,
  step ${key} NOT NULL,
  event ${key} NOT NULL,
  value text NOT NULL,
  at ${integer} NOT NULL,
  PRIMARY KEY (key, step, event)
)`

const runs = (table: string, key: string, integer: string): string =>
  `CREATE TABLE "${table}" (
  key ${key} PRIMARY KEY NOT NULL,
  saga text NOT NULL,
  id text NOT NULL,
  fingerprint text NOT NULL,
  definition text NOT NULL,
  payload text NOT NULL,
  state text NOT NULL,
  owner text NOT NULL,
  epoch ${integer} NOT NULL,
  lease_until ${integer} NOT NULL,
  length ${integer} NOT NULL,
  cancel_requested ${integer} NOT NULL,
  tail text NOT NULL,
  created_at ${integer} NOT NULL,
  updated_at ${integer} NOT NULL
)`

const entries = (table: string, key: string, integer: string): string =>
  `CREATE TABLE "${table}_entries" (
  key ${key} NOT NULL,
  seq ${integer} NOT NULL,
  epoch ${integer} NOT NULL,
  at ${integer} NOT NULL,
  state text NOT NULL,
  events text NOT NULL,
  PRIMARY KEY (key, seq)
)`

// SQLite has no INSERT within WITH: there the entry is added by a trigger, in the statement that writes the run.
const enter = (table: string): string =>
  `BEGIN INSERT INTO "${table}_entries" (${entryColumns.join(", ")})
  VALUES (NEW.key, NEW.length, NEW.epoch, NEW.updated_at, NEW.state, NEW.tail); END`

const entered = (table: string): string =>
  `CREATE TRIGGER "${table}_entered" AFTER INSERT ON "${table}" ${enter(table)}`

const appended = (table: string): string =>
  `CREATE TRIGGER "${table}_appended" AFTER UPDATE OF length ON "${table}" WHEN NEW.length > OLD.length ${enter(table)}`

/** @internal */
export const migrate = (table: string) => sqlMigrate.migrate(table, migrations(table))
