/**
 * What a saga log does as SQL, one guarded statement each, which may be sent twice.
 *
 * `t` is the run that is there, `NOW` the time of the database, `:name` a parameter. A set-based statement takes its
 * parameters from the relation `r`.
 *
 * @internal
 */
import { compile, type Dialect, rows, type Statement, type Types } from "../sql/statement.ts"
import { signalsMax } from "./record.ts"
import { columns, entryColumns, signalColumns } from "./tables.ts"

const types: Types = {
  rows: "text",
  keys: "text",
  sagas: "text",
  except: "text",
  key: "text",
  saga: "text",
  id: "text",
  fingerprint: "text",
  definition: "text",
  payload: "text",
  state: "text",
  open: "bigint",
  owner: "text",
  epoch: "bigint",
  lease: "bigint",
  reopen: "bigint",
  seq: "bigint",
  tail: "text",
  after: "text",
  age: "bigint",
  step: "text",
  event: "text",
  value: "text",
  note: "text",
  limit: "bigint"
}

/** @internal A statement for one run, and the same for many at once. */
export interface Pair {
  readonly one: Statement
  readonly many: Statement
  /** What a row of `many` holds. */
  readonly names: ReadonlyArray<string>
}

/** @internal By which columns runs are listed. */
export interface Filters {
  readonly saga: boolean
  readonly state: boolean
  readonly step: boolean
  readonly age: boolean
}

/** @internal What a row of `inbox` holds. */
export const inboxNames = ["key", "step", "except"]

/** @internal */
export type Statements = ReturnType<typeof make>

const unfinished = "t.state IN ('Running', 'Compensating')"
const hasEnded = "IN ('Completed', 'Compensated')"
const owned = "t.owner = :owner AND t.epoch = :epoch"

/** @internal */
export const make = (name: string, dialect: Dialect) => {
  const table = `"${name}"`
  const entries = `"${name}_entries"`
  const build = (text: string) => compile(dialect, types, text.replaceAll("NOW", dialect.now))
  const all = columns.map((column) => `t.${column}`).join(", ")
  const run = `SELECT ${all}, NOW AS now FROM ${table} AS t`
  const taken =
    `owner = :owner, epoch = ${dialect.greatest}(t.epoch + 1, NOW), lease_until = NOW + :lease, updated_at = NOW`
  return {
    create: pair(dialect, createNames, create(table, entries, dialect)),
    append: pair(dialect, appendNames, append(table, entries, dialect)),
    take: build(
      `UPDATE ${table} AS t SET ${
        ["owner", "epoch", "lease_until", "updated_at", "ended_at"].map((column) =>
          `${column} = ${retaken(dialect)[column]}`
        ).join(
          ", "
        )
      } WHERE t.key = :key AND ${isFree} RETURNING ${columns.join(", ")}, updated_at AS now`
    ),
    // As an array it is selected once: a subquery of Postgres may be run again, and lock more than the limit.
    orphans: build(`UPDATE ${table} AS t SET ${taken} WHERE t.key ${dialect.name === "pg" ? "= ANY (ARRAY" : "IN "}(
  SELECT t.key FROM ${table} AS t WHERE ${unfinished} AND t.lease_until <= NOW AND t.saga IN (${
      values(dialect, "sagas")
    }) AND t.key NOT IN (${values(dialect, "except")})
  ORDER BY t.lease_until LIMIT :limit${dialect.name === "pg" ? " FOR UPDATE SKIP LOCKED" : ""}
)${dialect.name === "pg" ? ")" : ""} RETURNING ${columns.join(", ")}, updated_at AS now`),
    renew: build(renew(table, dialect)),
    release: build(`UPDATE ${table} AS t SET lease_until = 0 WHERE t.key = :key AND ${owned} RETURNING key`),
    cancel: build(`UPDATE ${table} AS t SET cancel_requested = 1
WHERE t.key = :key AND t.state IN ('Running', 'Parked') RETURNING ${columns.join(", ")}, NOW AS now`),
    pause: build(`UPDATE ${table} AS t SET pause = :note
WHERE t.key = :key AND ${unfinished} RETURNING ${columns.join(", ")}, NOW AS now`),
    look: build(`${run} WHERE t.key = :key`),
    entries: build(
      `SELECT ${entryColumns.join(", ")} FROM ${entries} WHERE key IN (${values(dialect, "keys")}) ORDER BY key, seq`
    ),
    list: (filters: Filters) =>
      build(
        `${run} WHERE t.key > :after${filters.saga ? " AND t.saga = :saga" : ""}${
          filters.state ? " AND t.state = :state" : ""
        }${filters.step ? " AND t.step = :step" : ""}${
          filters.age ? " AND t.updated_at <= NOW - :age" : ""
        } ORDER BY t.key LIMIT :limit`
      ),
    ...messages(name, dialect, build),
    ...upkeep(name, dialect, build)
  }
}

type Build = (text: string) => Statement

const messages = (name: string, dialect: Dialect, build: Build) => {
  const [table, signals] = [`"${name}"`, `"${name}_signals"`]
  return {
    // The bound is one of good order: writers that come at once may pass it by their number.
    signal: build(`INSERT INTO ${signals} (${signalColumns.join(", ")}) SELECT :key, :step, :event, :value, NOW
WHERE (SELECT count(*) FROM ${signals} WHERE key = :key) < ${signalsMax} ON CONFLICT DO NOTHING RETURNING key`),
    signalled: build(`SELECT key FROM ${signals} WHERE key = :key AND step = :step AND event = :event`),
    inbox: build(
      `SELECT r.p_key, r.p_step, r.p_except, t.cancel_requested, t.pause, s.value, s.event, s.at FROM ${
        dialect.name === "pg" ? "(SELECT * FROM " : ""
      }${rows(dialect, types, inboxNames)}${
        dialect.name === "pg" ? ")" : ""
      } AS r LEFT JOIN ${table} AS t ON t.key = r.p_key
LEFT JOIN ${signals} AS s ON s.key = r.p_key AND s.step = r.p_step AND s.event = (
  SELECT n.event FROM ${signals} AS n WHERE n.key = r.p_key AND n.step = r.p_step AND n.event NOT IN (
    ${
        dialect.name === "sqlite"
          ? "SELECT value FROM json_each(r.p_except)"
          : "SELECT jsonb_array_elements_text(CAST(r.p_except AS jsonb))"
      }
  ) ORDER BY n.at, n.event LIMIT 1
)`
    )
  }
}

const upkeep = (name: string, dialect: Dialect, build: Build) => {
  const [table, entries, signals] = [`"${name}"`, `"${name}_entries"`, `"${name}_signals"`]
  return {
    ended: build(
      `SELECT key FROM ${table} WHERE ended_at <= NOW - :age AND state ${hasEnded} LIMIT :limit${
        dialect.name === "pg" ? " FOR UPDATE SKIP LOCKED" : ""
      }`
    ),
    dropRuns: build(`DELETE FROM ${table} WHERE key IN (${values(dialect, "keys")})
AND state ${hasEnded} RETURNING key`),
    dropEntries: build(`DELETE FROM ${entries} WHERE key IN (${values(dialect, "keys")})`),
    dropSignals: build(`DELETE FROM ${signals} WHERE key IN (${values(dialect, "keys")})`),
    dropStray: build(`DELETE FROM ${signals} WHERE key IN (SELECT DISTINCT s.key FROM ${signals} AS s
WHERE s.at <= NOW - :age AND NOT EXISTS (SELECT 1 FROM ${table} AS t WHERE t.key = s.key) LIMIT :limit)`)
  }
}

/** A list of texts, in a JSON array. */
const values = (dialect: Dialect, name: string): string =>
  dialect.name === "sqlite"
    ? `SELECT value FROM json_each(:${name})`
    : `SELECT jsonb_array_elements_text(CAST(:${name} AS jsonb))`

// Its own claim again, or free: nobody works on it and somebody has to.
const again = "(t.owner = :owner AND t.lease_until <> 0)"
const isFree = `(${again} OR (t.lease_until <= NOW AND (${unfinished}
  OR (:reopen >= 1 AND t.state IN ('Parked', 'FailedCompensation')) OR (:reopen = 2 AND t.state = 'Completed'))))`

const retaken = ({ greatest }: Dialect): { readonly [column: string]: string } => ({
  owner: ":owner",
  epoch: `CASE WHEN ${again} THEN t.epoch ELSE ${greatest}(t.epoch + 1, NOW) END`,
  lease_until: `CASE WHEN ${again} THEN ${greatest}(t.lease_until, NOW + :lease) ELSE NOW + :lease END`,
  updated_at: "NOW",
  ended_at: "CASE WHEN t.ended_at IS NOT NULL THEN NOW END"
})

/** A statement for one run, without a source, and the same for many: there `:name` becomes the column of `r`. */
const pair = (dialect: Dialect, names: ReadonlyArray<string>, text: (source: string) => string): Pair => {
  const build = (text: string) => compile(dialect, types, text.replaceAll("NOW", dialect.now))
  if (dialect.name === "sqlite") {
    const one = build(text(""))
    return { one, many: one, names }
  }
  const given = text("@source").replace(/:([a-z_]+)/g, "r.p_$1").replace("@source", rows(dialect, types, names))
  return { one: build(text("")), many: compile(dialect, types, given.replaceAll("NOW", "clock.now")), names }
}

const createNames = [
  "key",
  "saga",
  "id",
  "fingerprint",
  "definition",
  "payload",
  "state",
  "open",
  "owner",
  "lease",
  "tail",
  "step"
]

const created = (epoch: string): string =>
  `:key, :saga, :id, :fingerprint, :definition, :payload, :state, :owner, ${epoch},
  CASE WHEN :open = 1 THEN NOW + :lease ELSE 0 END, 1, 0, :tail, NOW, NOW, :step, NULL,
  CASE WHEN :state ${hasEnded} THEN NOW END`

/** Makes the run, or takes over one that is free and about the same. Answers nothing when it is neither. */
const create = (table: string, entries: string, dialect: Dialect) => (source: string): string => {
  // In a conflict `excluded` is the run as it would have been made, at the time of the statement.
  const own = "(t.owner = excluded.owner AND t.lease_until <> 0)"
  const conflict = `ON CONFLICT (key) DO UPDATE SET
  owner = excluded.owner,
  epoch = CASE WHEN ${own} THEN t.epoch ELSE ${dialect.greatest}(t.epoch + 1, excluded.epoch) END,
  lease_until = CASE WHEN ${own} THEN ${dialect.greatest}(t.lease_until, excluded.lease_until)
    ELSE excluded.lease_until END,
  updated_at = excluded.updated_at
WHERE t.fingerprint = excluded.fingerprint AND (${own} OR (t.lease_until <= excluded.updated_at AND ${unfinished}))`
  const insert = `INSERT INTO ${table} AS t (${columns.join(", ")}, ended_at)`
  if (dialect.name === "sqlite") {
    return `${insert} VALUES (${created("NOW")}) ${conflict} RETURNING ${columns.join(", ")}, updated_at AS now`
  }
  const clock = `clock AS MATERIALIZED (SELECT ${dialect.now} AS now)`
  const [given, values] = source === ""
    ? [clock, `${created("NOW").replaceAll("NOW", "clock.now")} FROM clock`]
    : [
      `${clock},
r AS MATERIALIZED (SELECT * FROM ${source})`,
      `${created("NOW")} FROM r CROSS JOIN clock ORDER BY r.p_key COLLATE "C"`
    ]
  return `WITH ${given},
put AS (
  ${insert} SELECT ${values}
  ${conflict} RETURNING ${columns.map((column) => `t.${column}`).join(", ")}),
entered AS (
  INSERT INTO ${entries} (${entryColumns.join(", ")})
  SELECT key, length, epoch, updated_at, state, tail FROM put WHERE length = 1 ON CONFLICT (key, seq) DO NOTHING)
SELECT put.*, put.updated_at AS now FROM put`
}

const appendNames = ["key", "owner", "epoch", "seq", "state", "open", "tail", "step"]

const append = (table: string, entries: string, dialect: Dialect) => (source: string): string => {
  const set = `length = :seq, state = :state, tail = :tail, step = COALESCE(:step, t.step),
  pause = CASE WHEN :open = 1 THEN t.pause END,
  updated_at = CASE WHEN t.length = :seq THEN t.updated_at ELSE NOW END,
  lease_until = CASE WHEN :open = 1 THEN t.lease_until ELSE 0 END,
  ended_at = CASE WHEN :state ${hasEnded} THEN CASE WHEN t.length = :seq THEN t.ended_at ELSE NOW END END`
  const guard = `${owned} AND (t.length = :seq - 1 OR (t.length = :seq AND t.tail = :tail))`
  if (dialect.name === "sqlite") {
    return `UPDATE ${table} AS t SET ${set} WHERE t.key = :key AND ${guard} RETURNING key, cancel_requested, pause`
  }
  const put = source === ""
    ? `put AS (
  UPDATE ${table} AS t SET ${set} WHERE t.key = :key AND ${guard}`
    : `clock AS MATERIALIZED (SELECT ${dialect.now} AS now),
r AS MATERIALIZED (${locked(table, source, guard)}),
put AS (
  UPDATE ${table} AS t SET ${set} FROM clock, r WHERE t.key = r.p_key AND ${guard}`
  return `WITH ${put}
  RETURNING t.key, t.length, t.epoch, t.updated_at, t.state, t.tail, t.cancel_requested, t.pause),
entered AS (
  INSERT INTO ${entries} (${entryColumns.join(", ")})
  SELECT key, length, epoch, updated_at, state, tail FROM put ON CONFLICT (key, seq) DO NOTHING)
SELECT put.key, put.cancel_requested, put.pause FROM put`
}

/**
 * The rows of a source whose runs the guard lets through, which are locked in one order for all, so that two statements never
 * wait for each other. Postgres keeps the plan that it made when the table was small: each run is looked for by itself, which
 * no plan can do but by the index, and what is found counts as one row, so that an update looks for it in the same way.
 */
const locked = (table: string, source: string, guard: string): string =>
  `SELECT s.* FROM (SELECT * FROM ${source} ORDER BY p_key COLLATE "C" OFFSET 0) AS s
CROSS JOIN LATERAL (
  SELECT t.key FROM ${table} AS t WHERE t.key = s.p_key AND ${
    guard.replace(/:([a-z_]+)/g, "s.p_$1")
  } FOR UPDATE) AS locked
WHERE locked.key = s.p_key`

/** @internal What a row of `renew` holds. */
export const renewNames = ["key", "owner", "epoch", "lease"]

const renew = (table: string, dialect: Dialect): string => {
  const source = rows(dialect, types, renewNames)
  const isHeld = `${owned} AND t.lease_until <> 0`
  const guard = `t.key = r.p_key AND ${isHeld.replace(/:([a-z_]+)/g, "r.p_$1")}`
  const set = `lease_until = ${dialect.greatest}(t.lease_until, NOW + r.p_lease)`
  return dialect.name === "sqlite"
    ? `UPDATE ${table} AS t SET ${set} FROM ${source} AS r WHERE ${guard} RETURNING key, owner, epoch`
    : `WITH r AS MATERIALIZED (${locked(table, source, isHeld)})
UPDATE ${table} AS t SET ${set} FROM r WHERE ${guard} RETURNING t.key, t.owner, t.epoch`
}
