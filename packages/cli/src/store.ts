/**
 * Which store a command works on, and the way to it: a file of SQLite, Postgres or Redis.
 *
 * A URL holds a password. It is read from the environment or a flag and never printed, nor is what a driver says about it.
 *
 * @internal
 */
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redis from "effect/persistence/Redis"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import { BadInput, Unavailable } from "./failure.ts"

type Url = Redacted.Redacted

/** @internal Where it is. `place` says so without the password. */
export type Target =
  | { readonly _tag: "sqlite"; readonly place: string; readonly path: string }
  | { readonly _tag: "postgres"; readonly place: string; readonly url: Url; readonly schema: string | undefined }
  | { readonly _tag: "redis"; readonly place: string; readonly url: Url }

/** @internal A target that is spoken to in SQL. */
export type Database = Exclude<Target, { readonly _tag: "redis" }>

const url = (name: string, variable: string) =>
  Flag.Redacted(name).pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription(`The URL of the server. Better: ${variable}, since others on the machine see arguments`),
    Flag.optional
  )

const databaseFlags = {
  sqlite: Flag.String("sqlite").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("A database of SQLite"),
    Flag.optional
  ),
  postgres: url("postgres", "DATABASE_URL"),
  schema: Flag.String("schema").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("The schema of Postgres (default: as the server has it)"),
    Flag.optional
  )
}

/** @internal */
export const storeFlags = {
  ...databaseFlags,
  redis: url("redis", "REDIS_URL"),
  store: Flag.Literals("store", ["postgres", "redis"]).pipe(
    Flag.withDescription("Which one, where DATABASE_URL and REDIS_URL are both set"),
    Flag.optional
  )
}

interface DatabaseOptions {
  readonly sqlite: Option.Option<string>
  readonly postgres: Option.Option<Url>
  readonly schema: Option.Option<string>
}

interface StoreOptions extends DatabaseOptions {
  readonly redis: Option.Option<Url>
  readonly store: Option.Option<"postgres" | "redis">
}

const bad = (what: string) => Effect.fail(new BadInput({ what }))

/** @internal */
export const targetOf = Effect.fnUntraced(function*(options: StoreOptions) {
  const flags = [
    ...Option.match(options.sqlite, { onNone: () => [], onSome: (path) => [sqlite(path)] }),
    ...Option.match(options.postgres, { onNone: () => [], onSome: (url) => [postgres(url, "--postgres", options)] }),
    ...Option.match(options.redis, { onNone: () => [], onSome: (url) => [redis(url, "--redis")] })
  ]
  if (flags.length > 1) return yield* bad("--sqlite, --postgres and --redis: one of them")
  const [flag] = flags
  if (flag !== undefined) return yield* flag
  const wanted = Option.getOrUndefined(options.store)
  const database = wanted === "redis" ? undefined : yield* variable("DATABASE_URL")
  const cache = wanted === "postgres" ? undefined : yield* variable("REDIS_URL")
  if (database !== undefined && cache !== undefined) {
    return yield* bad("DATABASE_URL and REDIS_URL are both set: say --store postgres or --store redis")
  }
  if (database !== undefined) return yield* postgres(database, "DATABASE_URL", options)
  if (cache !== undefined) return yield* redis(cache, "REDIS_URL")
  return yield* bad("no store: set DATABASE_URL or REDIS_URL, or say --sqlite FILE")
})

/** An empty one counts as none. */
const variable = (name: string): Effect.Effect<Url | undefined, BadInput> =>
  Config.option(Config.Redacted(name)).pipe(
    Effect.mapError(() => new BadInput({ what: `${name} cannot be read` })),
    Effect.map(Option.filter((url) => Redacted.value(url) !== "")),
    Effect.map(Option.getOrUndefined)
  )

const sqlite = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  // SQLite would make it.
  const isThere = yield* Effect.orElseSucceed(fs.exists(path), () => false)
  if (!isThere) return yield* bad(`${path}: there is no such file`)
  return { _tag: "sqlite", place: path, path } as Target
})

const postgres = Effect.fnUntraced(function*(url: Url, from: string, options: DatabaseOptions) {
  const schema = Option.getOrUndefined(options.schema)
  if (schema !== undefined && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    return yield* bad("--schema must be 1 to 63 of a-z, 0-9 and _, no digit first")
  }
  const place = yield* placeOf(url, from, ["postgres:", "postgresql:"])
  return { _tag: "postgres", place: `Postgres at ${place}`, url, schema } as Target
})

const redis = Effect.fnUntraced(function*(url: Url, from: string) {
  return { _tag: "redis", place: `Redis at ${yield* placeOf(url, from, ["redis:", "rediss:"])}`, url } as Target
})

/** Host and database of a URL: neither user nor password, nor options, which may hold one. */
const placeOf = (url: Url, from: string, protocols: ReadonlyArray<string>): Effect.Effect<string, BadInput> => {
  const text = Redacted.value(url)
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const prefixes = protocols.map((protocol) => `${protocol}//`)
  if (parsed === undefined || !prefixes.some((prefix) => text.startsWith(prefix))) {
    return bad(`${from} is no URL that begins with ${prefixes.join(" or ")}`)
  }
  // The password has a character in it that ends what stands before the host: a part of it would be taken for a place.
  if (`${parsed.pathname}${parsed.search}${parsed.hash}`.includes("@")) {
    return bad(`${from} has an @ behind its host: percent-encode user and password`)
  }
  return Effect.succeed(
    `${parsed.host || "localhost"}${/^\/[\w.-]{1,63}$/.test(parsed.pathname) ? parsed.pathname : ""}`
  )
}

/** @internal Who only reads opens a file of SQLite so that nothing can be changed. */
export type Access = "read" | "write"

/** @internal */
export const sqlLayer = (target: Database, access: Access): Layer.Layer<SqlClient.SqlClient, Unavailable> => {
  // What is not used is not loaded.
  const layer = target._tag === "sqlite"
    ? Layer.unwrap(
      Effect.map(Effect.promise(() => import("@effect-payments/sqlite")), ({ SqliteClient }) =>
        SqliteClient.layer({
          filename: target.path,
          readonly: access === "read",
          disableWAL: true,
          busyTimeout: "5 seconds"
        }))
    )
    : Layer.unwrap(Effect.map(Effect.promise(() => import("@effect/sql-pg/PgClient")), (PgClient) =>
      PgClient.layer({
        url: target.url,
        maxConnections: 2,
        applicationName: "payctl",
        ...target.schema === undefined ? {} : { startupParameters: { search_path: target.schema } }
      })))
  return mapError(layer, (error) => sqlUnavailable(target, error))
}

/** @internal */
export const redisLayer = (target: Exclude<Target, Database>): Layer.Layer<Redis.Redis, Unavailable> =>
  mapError(
    Layer.unwrap(Effect.map(
      Effect.promise(() => import("@effect/platform-node/NodeRedis")),
      (NodeRedis) =>
        NodeRedis.layer({ url: Redacted.value(target.url), name: "payctl", socket: { connectTimeout: 5000 } })
    )),
    () => new Unavailable({ what: `${target.place} does not answer: ${reach}` })
  )

const mapError = <A, E, E2, R>(layer: Layer.Layer<A, E, R>, f: (error: E) => E2): Layer.Layer<A, E2, R> =>
  Layer.catch(layer, (error) => Layer.effectContext(Effect.fail(f(error))))

const reach = "see that it runs, and that address, user and password are right"

/** Says which kind of failure it was and where. The driver's own words may hold what stands in the URL. */
const sqlUnavailable = ({ place }: Target, { reason }: SqlError.SqlError): Unavailable => {
  const what = `${place} cannot be used (${reason._tag})`
  switch (reason._tag) {
    case "ConnectionError":
    case "AuthenticationError":
      return new Unavailable({ what: `${what}: ${reach}` })
    case "AuthorizationError":
      return new Unavailable({ what: `${what}: the user may not do that` })
    case "LockTimeoutError":
    case "StatementTimeoutError":
      return new Unavailable({ what: `${what}: another process holds it. Try again` })
    default:
      return new Unavailable({ what })
  }
}

/** @internal Fails unless the database has the table: a command makes none. */
export const requireTable = Effect.fnUntraced(function*(target: Database, table: string) {
  if (!/^[a-z_][a-z0-9_]{0,39}$/.test(table)) {
    return yield* bad("--table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  }
  const sql = yield* SqlClient.SqlClient
  const rows = yield* Effect.mapError(
    target._tag === "sqlite"
      ? sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`
      : sql`SELECT 1 WHERE to_regclass(${table}) IS NOT NULL`,
    (error) => sqlUnavailable(target, error)
  )
  if (rows.length === 0) {
    return yield* bad(
      `${target.place} has no table ${table}: is it the service's database? --table${
        target._tag === "sqlite" ? " names" : " and --schema name"
      } another one`
    )
  }
})
