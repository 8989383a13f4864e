/**
 * Statements whose parameters stand in them as `:name`, written once for both databases.
 *
 * @internal
 */

/** @internal */
export interface Dialect {
  readonly name: "pg" | "sqlite"
  /** Milliseconds on the clock of the database. */
  readonly now: string
  readonly greatest: "greatest" | "max"
}

/** @internal */
export const sqlite: Dialect = {
  name: "sqlite",
  now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
  greatest: "max"
}

/** @internal Not `now()`, which stands still from the start of the transaction. */
export const pg: Dialect = {
  name: "pg",
  now: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
  greatest: "greatest"
}

/** @internal The type of each parameter, which Postgres has to be told. */
export type Types = { readonly [name: string]: "bigint" | "text" }

/** @internal */
export type Values = { readonly [name: string]: number | string | null }

/** @internal */
export interface Statement {
  readonly text: string
  readonly bind: (values: Values) => ReadonlyArray<unknown>
}

/** @internal A name that `types` does not know is a defect of the statement: it is left as it is, and fails to parse. */
export const compile = (dialect: Dialect, types: Types, text: string): Statement => {
  const names: Array<string> = []
  const compiled = text.replace(/:([a-z_]+)/g, (whole, name: string) => {
    const type = types[name]
    if (type === undefined) return whole
    if (dialect.name === "sqlite") {
      names.push(name)
      return "?"
    }
    if (!names.includes(name)) names.push(name)
    return `CAST($${names.indexOf(name) + 1} AS ${type})`
  })
  return { text: compiled, bind: (values) => names.map((name) => values[name] ?? null) }
}

/**
 * @internal The rows of a JSON array in the parameter `:rows`, as a relation whose columns are the names with `p_`
 * before them.
 */
export const rows = (dialect: Dialect, types: Types, names: ReadonlyArray<string>): string =>
  dialect.name === "sqlite"
    ? `(SELECT ${names.map((name) => `value ->> 'p_${name}' AS p_${name}`).join(", ")} FROM json_each(:rows))`
    : `json_to_recordset(CAST(:rows AS json)) AS given(${names.map((name) => `p_${name} ${types[name]}`).join(", ")})`

/** @internal */
export const encodeRows = (names: ReadonlyArray<string>, values: ReadonlyArray<Values>): string =>
  JSON.stringify(values.map((row) => Object.fromEntries(names.map((name) => [`p_${name}`, row[name] ?? null]))))

/** @internal */
export const isIdentifier = (name: string): boolean => /^[a-z_][a-z0-9_]{0,39}$/.test(name)
