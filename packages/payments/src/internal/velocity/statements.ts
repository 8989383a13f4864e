/**
 * Recording and counting as one statement, which may be sent twice.
 *
 * `t` is the row that is there, `NOW` the time of the database. `excluded` is the row of a counter that begins now: its
 * `updated_at` is the time of the statement, its log the one new entry.
 *
 * @internal
 */
import { compile, type Dialect, rows, type Statement, type Types } from "../sql/statement.ts"

const types: Types = {
  rows: "text",
  id: "text",
  attempt: "text",
  amount: "text",
  value: "text",
  events_max: "bigint",
  window: "bigint",
  limit: "bigint"
}

/** @internal What a row of the set-based statement holds. */
export const names = ["id", "attempt", "amount", "value", "events_max", "window"] as const

/** @internal What an answer holds, in this order. */
const answer = "id, log, dropped_at, updated_at"

/** @internal */
export interface Statements {
  readonly one: Statement
  readonly many: Statement
  readonly measure: Statement
  readonly forget: Statement
  readonly sweep: Statement
}

/** @internal */
export const make = (table: string, dialect: Dialect): Statements => {
  const build = (text: string) => compile(dialect, types, text.replaceAll("NOW", dialect.now))
  const one = build(
    dialect.name === "sqlite"
      ? recordSqlite(table)
      : recordPg(table, `(SELECT ${names.map((name) => `:${name} AS p_${name}`).join(", ")}) AS given`)
  )
  return {
    one,
    many: dialect.name === "sqlite" ? one : build(recordPg(table, rows(dialect, types, names))),
    measure: build(
      `SELECT n.now, t.log, t.dropped_at FROM (SELECT NOW AS now) AS n LEFT JOIN ${table} AS t ON t.id = :id`
    ),
    forget: build(`DELETE FROM ${table} WHERE id = :id RETURNING expires_at, NOW AS now`),
    sweep: build(
      dialect.name === "sqlite"
        ? `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE expires_at <= NOW LIMIT :limit)`
        : `DELETE FROM ${table} WHERE id IN (
  SELECT id FROM ${table} WHERE expires_at <= NOW ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)`
    )
  }
}

const columns = "id, log, dropped_at, events_max, updated_at, expires_at"

const recordSqlite = (table: string): string =>
  `INSERT INTO ${table} AS t (${columns})
SELECT :id, json_array(json_array(n.now, :attempt, :amount, :value)), 0, :events_max, n.now, n.now + :window
FROM (SELECT NOW AS now) AS n WHERE true
ON CONFLICT (id) DO UPDATE SET ${
    update({ each: (alias) => `json_each(t.log) AS ${alias}`, array: "json_group_array(json(entry))", greatest: "max" })
  } RETURNING ${answer}`

/** Rows are locked in the order of their ids: two statements that took them in different orders would wait for each other. */
const recordPg = (table: string, source: string): string =>
  `WITH clock AS MATERIALIZED (SELECT NOW AS now), r AS MATERIALIZED (SELECT * FROM ${source})
INSERT INTO ${table} AS t (${columns})
SELECT r.p_id, jsonb_build_array(jsonb_build_array(clock.now, r.p_attempt, r.p_amount, r.p_value)), 0, r.p_events_max,
  clock.now, clock.now + r.p_window
FROM r CROSS JOIN clock ORDER BY r.p_id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET ${
    update({
      each: (alias) => `jsonb_array_elements(t.log) AS ${alias}(value)`,
      array: "jsonb_agg(entry)",
      greatest: "greatest"
    })
  } RETURNING ${answer}`

interface Functions {
  /** The entries of the row that is there, as a relation with the column `value`. */
  readonly each: (alias: string) => string
  readonly array: string
  readonly greatest: string
}

const atOf = (entry: string): string => `CAST(${entry} ->> 0 AS bigint)`

const isLive = (entry: string): string =>
  `${atOf(entry)} > excluded.updated_at - (excluded.expires_at - excluded.updated_at)`

/** What has left the window goes, the attempt comes unless it is there as it is, and of these the newest stay. */
const update = ({ array, each, greatest }: Functions): string => {
  const fresh = "excluded.log -> 0"
  const same = [1, 2, 3].map((field) => `k.value ->> ${field} = ${fresh} ->> ${field}`).join(" AND ")
  const known = `SELECT 1 FROM ${each("k")} WHERE ${isLive("k.value")} AND ${same}`
  return `(log, dropped_at) = (
  SELECT ${array} FILTER (WHERE n <= excluded.events_max),
    ${greatest}(t.dropped_at, coalesce(max(at) FILTER (WHERE n > excluded.events_max), 0))
  FROM (SELECT entry, at, row_number() OVER (ORDER BY at DESC, is_fresh DESC) AS n FROM (
    SELECT j.value AS entry, ${atOf("j.value")} AS at, 0 AS is_fresh FROM ${each("j")} WHERE ${isLive("j.value")}
    UNION ALL SELECT ${fresh}, excluded.updated_at, 1 WHERE NOT EXISTS (${known})
  ) AS live) AS ranked
), events_max = excluded.events_max, updated_at = excluded.updated_at, expires_at = excluded.expires_at`
}
