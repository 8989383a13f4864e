/**
 * The transitions of the machine as SQL, one guarded statement each, which may be sent twice.
 *
 * `t` is the row that is there, `NOW` the time of the database, `:name` a parameter. A set-based statement takes its
 * parameters from the relation `r`.
 *
 * @internal
 */
import { compile, type Dialect, rows, type Statement, type Types } from "../sql/statement.ts"
import { columns, idColumns } from "./schema.ts"

const types: Types = {
  rows: "text",
  id: "text",
  tenant: "text",
  operation: "text",
  version: "bigint",
  key: "text",
  fingerprint: "text",
  owner: "text",
  fence: "bigint",
  lease: "bigint",
  can_resolve: "bigint",
  attempts_max: "bigint",
  state: "text",
  result: "text",
  ttl: "bigint",
  ran: "bigint",
  counted: "bigint",
  resolver: "text",
  force: "bigint",
  after: "text",
  from: "text",
  until: "text",
  limit: "bigint"
}

/** @internal A statement for one item, and the same for many at once. */
export interface Pair {
  readonly one: Statement
  readonly many: Statement
  /** What a row of `many` holds. */
  readonly names: ReadonlyArray<string>
}

interface Transition {
  readonly names: ReadonlyArray<string>
  readonly set: string
  readonly guard: string
}

const held = "t.state IN ('Claimed', 'Resolving')"
const owned = "t.owner = :owner AND t.fence = :fence"

/** @internal */
export type Statements = ReturnType<typeof make>

/** @internal */
export const make = (table: string, dialect: Dialect) => {
  const build = (text: string) => compile(dialect, types, text)
  const update = (transition: Transition): Pair => ({
    one: build(updateOne(table, dialect, transition)),
    many: build(updateMany(table, dialect, transition)),
    names: transition.names
  })
  const fence = `${dialect.greatest}(t.fence + 1, NOW)`
  return {
    ...claim(table, dialect),
    succeed: update(succeed),
    giveUp: update(giveUp),
    release: update(release),
    renew: update({
      names: ["id", "owner", "fence", "lease"],
      set: `lease_until = ${dialect.greatest}(t.lease_until, NOW + :lease), updated_at = NOW`,
      guard: `${owned} AND ${held}`
    }),
    resolve: build(
      updateOne(table, dialect, {
        ...resolve,
        set: `${resolve.set}, fence = CASE WHEN ${resolved} THEN t.fence ELSE ${fence} END`
      })
    ),
    inspect: build(
      `SELECT ${columnsOf("t")}, n.now FROM (SELECT ${dialect.now} AS now) AS n LEFT JOIN ${table} AS t ON t.id = :id`
    ),
    evict: build(
      `DELETE FROM ${table} WHERE id = :id AND (:force = 1 OR state IN ('Vacant', 'Succeeded', 'Refused')) RETURNING id`
    ),
    exists: build(`SELECT id FROM ${table} WHERE id = :id`),
    sweep: build(sweep(table, dialect)),
    list: list(table, dialect)
  }
}

const columnsOf = (relation: string): string => columns.map((column) => `${relation}.${column}`).join(", ")

// --- the end of a claim

// Sent again, it changes nothing.
const unlessAgain = (column: string, value: string): string =>
  `${column} = CASE WHEN t.state = :state THEN t.${column} ELSE ${value} END`

const succeed: Transition = {
  names: ["id", "owner", "fence", "state", "result", "ttl"],
  set: `state = :state, result = :result, lease_until = 0, ${unlessAgain("updated_at", "NOW")}, ${
    unlessAgain("expires_at", "NOW + :ttl")
  }`,
  guard:
    `${owned} AND (t.state IN ('Claimed', 'Resolving', 'Indeterminate') OR (t.state = :state AND t.result = :result))`
}

const release: Transition = {
  names: ["id", "owner", "fence", "state", "ttl"],
  set: `state = :state, lease_until = 0, ${unlessAgain("updated_at", "NOW")}, ${
    unlessAgain("expires_at", "NOW + :ttl")
  }`,
  guard: `${owned} AND (${held} OR t.state = :state)`
}

const ifHeld = (column: string, value: string): string =>
  `${column} = CASE WHEN ${held} THEN ${value} ELSE t.${column} END`

const giveUp: Transition = {
  names: ["id", "owner", "fence", "ran", "counted", "attempts_max"],
  set: [
    ifHeld("state", "CASE WHEN t.unresolved + :counted >= :attempts_max THEN 'Parked' ELSE 'Indeterminate' END"),
    ifHeld("unresolved", "t.unresolved + :counted"),
    ifHeld("lease_until", "0"),
    ifHeld("unknown_since", "CASE WHEN :ran = 1 THEN NOW ELSE t.unknown_since END"),
    ifHeld("updated_at", "NOW")
  ].join(", "),
  guard: `${owned} AND (${held} OR t.state IN ('Indeterminate', 'Parked'))`
}

const resolved = "t.owner = :resolver"
const unlessResolved = (column: string, value: string): string =>
  `${column} = CASE WHEN ${resolved} THEN t.${column} ELSE ${value} END`

const resolve: Transition = {
  names: [],
  set: [
    "state = :state, result = :result, owner = :resolver, lease_until = 0",
    "unresolved = CASE WHEN :state = 'Vacant' THEN 0 ELSE t.unresolved END",
    unlessResolved("updated_at", "NOW"),
    unlessResolved("expires_at", "NOW + :ttl")
  ].join(", "),
  guard: `((${resolved} AND t.state = :state AND (:state = 'Vacant' OR t.result = :result))
    OR (t.fence = :fence AND (t.state IN ('Indeterminate', 'Parked') OR (${held} AND t.lease_until <= NOW))))`
}

const updateOne = (table: string, dialect: Dialect, { guard, set }: Transition): string =>
  dialect.name === "sqlite"
    ? `UPDATE ${table} AS t SET ${set} WHERE t.id = :id AND ${guard} RETURNING id`.replaceAll("NOW", dialect.now)
    : `WITH clock AS MATERIALIZED (SELECT ${dialect.now} AS now)
UPDATE ${table} AS t SET ${set} FROM clock WHERE t.id = :id AND ${guard} RETURNING t.id`.replaceAll("NOW", "clock.now")

/**
 * Postgres locks the rows in the order of their ids first: two statements that took them in different orders would wait
 * for each other. It keeps the plan that it made when the table was small: each row is looked for by itself, which no plan
 * can do but by the index, and what is found counts as one row, so that the update looks for it in the same way.
 */
const updateMany = (table: string, dialect: Dialect, { guard, names, set }: Transition): string => {
  const from = (relation: string, text: string) => text.replace(/:([a-z_]+)/g, `${relation}.p_$1`)
  const source = rows(dialect, types, names)
  if (dialect.name === "sqlite") {
    return `UPDATE ${table} AS t SET ${from("r", set)} FROM ${source} AS r WHERE t.id = r.p_id AND ${
      from("r", guard)
    } RETURNING id, owner, fence`.replaceAll("NOW", dialect.now)
  }
  return `WITH clock AS MATERIALIZED (SELECT ${dialect.now} AS now),
r AS MATERIALIZED (
  SELECT s.* FROM (SELECT * FROM ${source} ORDER BY p_id COLLATE "C" OFFSET 0) AS s
  CROSS JOIN LATERAL (SELECT t.id FROM ${table} AS t WHERE t.id = s.p_id AND ${from("s", guard)} FOR UPDATE) AS locked
  WHERE locked.id = s.p_id)
UPDATE ${table} AS t SET ${from("r", set)} FROM clock, r
WHERE t.id = r.p_id AND ${from("r", guard)} RETURNING t.id, t.owner, t.fence`.replaceAll("NOW", "clock.now")
}

// --- claim

interface Names {
  /** The row that is there. */
  readonly row: string
  readonly fingerprint: string
  readonly owner: string
  readonly now: string
}

const isExpired = ({ now, row }: Names): string => `(${row}.expires_at IS NOT NULL AND ${row}.expires_at <= ${now})`
const isHeld = ({ row }: Names): string => `${row}.state IN ('Claimed', 'Resolving')`

/** Whether a claim changes the row. */
const isOpen = (names: Names): string => {
  const { fingerprint, now, owner, row } = names
  return `(${isExpired(names)} OR (${row}.fingerprint = ${fingerprint} AND CASE WHEN ${row}.owner = ${owner}
    THEN ${isHeld(names)}
    ELSE ${row}.state = 'Vacant' OR (:can_resolve = 1 AND (${row}.state = 'Indeterminate'
      OR (${isHeld(names)} AND ${row}.lease_until <= ${now}))) END))`
}

/**
 * What each column becomes when the claim changes the row. `excluded` is the row of a fresh claim, whose `updated_at` is
 * the time of the statement.
 */
const claimed = (dialect: Dialect): { readonly [column: string]: string } => {
  const expired = isExpired(conflict)
  const again = `(${isHeld(conflict)} AND t.owner = excluded.owner)`
  const lapsed = `(${isHeld(conflict)} AND t.owner <> excluded.owner)`
  const parked = `(${lapsed} AND t.unresolved + 1 >= :attempts_max)`
  return {
    state: `CASE WHEN ${again} THEN t.state WHEN ${expired} OR t.state = 'Vacant' THEN 'Claimed'
      WHEN ${parked} THEN 'Parked' ELSE 'Resolving' END`,
    fingerprint: "excluded.fingerprint",
    owner: `CASE WHEN ${parked} THEN t.owner ELSE excluded.owner END`,
    fence: `CASE WHEN ${again} THEN t.fence ELSE ${dialect.greatest}(t.fence + 1, excluded.fence) END`,
    attempt: `CASE WHEN ${expired} THEN 1 WHEN ${again} OR ${parked} THEN t.attempt ELSE t.attempt + 1 END`,
    unresolved: `CASE WHEN ${expired} THEN 0 WHEN ${lapsed} THEN t.unresolved + 1 ELSE t.unresolved END`,
    lease_until: `CASE WHEN ${again} THEN ${dialect.greatest}(t.lease_until, excluded.lease_until)
      WHEN ${parked} THEN t.lease_until ELSE excluded.lease_until END`,
    unknown_since: `CASE WHEN ${expired} THEN 0 WHEN ${lapsed} THEN t.lease_until ELSE t.unknown_since END`,
    result: "NULL",
    created_at: `CASE WHEN ${expired} THEN excluded.created_at ELSE t.created_at END`,
    updated_at: "excluded.updated_at",
    expires_at: "NULL"
  }
}

const conflict: Names = {
  row: "t",
  fingerprint: "excluded.fingerprint",
  owner: "excluded.owner",
  now: "excluded.updated_at"
}

const claimNames = ["id", "tenant", "operation", "version", "key", "fingerprint", "owner", "lease"]

const claim = (table: string, dialect: Dialect): { readonly look: Statement; readonly claim: Pair } => {
  const build = (text: string) => compile(dialect, types, text)
  const look = build(`SELECT ${columns.join(", ")}, ${dialect.now} AS now FROM ${table} WHERE id = :id`)
  if (dialect.name === "sqlite") {
    const put = build(putSqlite(table, dialect))
    return { look, claim: { one: put, many: put, names: claimNames } }
  }
  return {
    look,
    claim: {
      one: build(
        claimPg(table, dialect, `(SELECT ${claimNames.map((name) => `:${name} AS p_${name}`).join(", ")}) AS given`)
      ),
      many: build(claimPg(table, dialect, rows(dialect, types, claimNames))),
      names: claimNames
    }
  }
}

const target = [...columns, ...idColumns].join(", ")

const inserted = (value: (name: string) => string, now: string): string =>
  [
    value("id"),
    "'Claimed'",
    value("fingerprint"),
    value("owner"),
    now,
    "1",
    "0",
    `${now} + ${value("lease")}`,
    "0",
    "NULL",
    now,
    now,
    "NULL",
    ...idColumns.map(value)
  ].join(", ")

/** Runs only when the slot looked free; answers nothing when it is not any more. SQLite has no INSERT within WITH. */
const putSqlite = (table: string, dialect: Dialect): string =>
  `INSERT INTO ${table} AS t (${target}) VALUES (${inserted((name) => `:${name}`, dialect.now)})
ON CONFLICT (id) DO UPDATE SET ${
    Object.entries(claimed(dialect)).map(([column, value]) => `${column} = ${value}`).join(", ")
  }
WHERE ${isOpen(conflict)} RETURNING ${columns.join(", ")}, updated_at AS now`

/**
 * Answers with the row as it is afterwards, in one statement; with none where it was free when it was seen and is not when
 * it is written: then it is asked again. To answer there too, each column would have to be told when it stays as it is,
 * and a statement with that many conditions takes twice as long to start.
 */
const claimPg = (table: string, dialect: Dialect, source: string): string => {
  const open = isOpen({ row: "t", fingerprint: "r.p_fingerprint", owner: "r.p_owner", now: "clock.now" })
  return `WITH clock AS MATERIALIZED (SELECT ${dialect.now} AS now),
r AS MATERIALIZED (SELECT * FROM ${source}),
held AS MATERIALIZED (
  SELECT t.* FROM r CROSS JOIN clock
  CROSS JOIN LATERAL (SELECT ${columnsOf("t")} FROM ${table} AS t WHERE t.id = r.p_id OFFSET 0) AS t WHERE NOT ${open}),
put AS (
  INSERT INTO ${table} AS t (${target})
  SELECT ${inserted((name) => `r.p_${name}`, "clock.now")} FROM r CROSS JOIN clock
  WHERE NOT EXISTS (SELECT 1 FROM held WHERE held.id = r.p_id)
  ORDER BY r.p_id COLLATE "C"
  ON CONFLICT (id) DO UPDATE SET ${
    Object.entries(claimed(dialect)).map(([column, value]) => `${column} = ${value}`).join(", ")
  }
  WHERE ${isOpen(conflict)}
  RETURNING ${columnsOf("t")})
SELECT put.*, clock.now AS now FROM put, clock
UNION ALL SELECT held.*, clock.now AS now FROM held, clock`
}

// --- operators

const sweep = (table: string, dialect: Dialect): string =>
  dialect.name === "sqlite"
    ? `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE expires_at <= ${dialect.now} LIMIT :limit) RETURNING 1 AS swept`
    : `DELETE FROM ${table} WHERE id IN (
  SELECT id FROM ${table} WHERE expires_at <= ${dialect.now} ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
) RETURNING 1 AS swept`

/** @internal The filters of a page, each at most once. */
export interface Filters {
  readonly after: boolean
  readonly range: boolean
  readonly operation: boolean
  readonly state: boolean
  /** The state has no expiry: the index finds it. */
  readonly unfinished: boolean
  readonly stuck: boolean
}

const stuck = `(t.state IN ('Indeterminate', 'Parked') OR (${held} AND t.lease_until <= NOW))`

const list = (table: string, dialect: Dialect) => (filters: Filters): Statement => {
  const conditions = [
    ...(filters.after ? ["t.id > :after"] : []),
    ...(filters.range ? ["t.id >= :from AND t.id < :until"] : []),
    ...(filters.operation ? ["t.operation = :operation"] : []),
    ...(filters.state ? ["t.state = :state"] : []),
    ...(filters.unfinished || filters.stuck ? ["t.expires_at IS NULL"] : []),
    ...(filters.stuck ? [stuck.replaceAll("NOW", dialect.now)] : [])
  ]
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")} `
  return compile(
    dialect,
    types,
    `SELECT ${columnsOf("t")}, ${idColumns.join(", ")} FROM ${table} AS t ${where}ORDER BY t.id LIMIT :limit`
  )
}
