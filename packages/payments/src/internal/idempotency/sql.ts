/**
 * The state machine as guarded statements, for SQLite and Postgres.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import { type Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { direct, type Execute, pooled, type Row, type Rows } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { writeTimeoutFault, writeTimeoutMillis } from "../sql/silence.ts"
import { type Dialect, encodeRows, isIdentifier, pg, sqlite, type Statement, type Values } from "../sql/statement.ts"
import { inTransactionOfClient } from "../sql/transaction.ts"
import * as Writer from "../sql/writer.ts"
import * as machine from "./machine.ts"
import {
  type ClaimReply,
  type ClaimRequest,
  type CompleteRequest,
  idPrefix,
  isLimit,
  listLimitMax,
  type ListRequest,
  type RecordId,
  type RenewRequest,
  type ResolveRequest,
  sweepLimitMax
} from "./record.ts"
import { decode, decodeListed, timeOf } from "./row.ts"
import * as schema from "./schema.ts"
import * as statements from "./statements.ts"
import * as Turns from "./turns.ts"
import { limitExceeded, StoreUnavailable } from "./unavailable.ts"

type Store = IdempotencyStore["Service"]
type Failure = StoreUnavailable | Writer.Failure

/** @internal */
export interface Options {
  readonly table: string
  readonly migrate: boolean
  readonly batchMax: number
  readonly writeTimeout?: Duration.Input | undefined
  /** The clock of the store as an SQL expression, for tests. */
  readonly now?: string | undefined
}

// Writes that share a commit at the most, writes that wait, and how often a claim looks.
const batchLimit = 1_000
const queueMax = 16_384
const looksMax = 8

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<
  Store,
  StoreUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Scope.Scope
> {
  const sql = yield* SqlClient.SqlClient
  const dialect = yield* dialectOf(sql, options.now)
  if (!isIdentifier(options.table)) return yield* refused("table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  if (!isLimit(options.batchMax, batchLimit)) return yield* refused(`batchMax must be 1 to ${batchLimit}`)
  const timeoutMillis = writeTimeoutMillis(options.writeTimeout)
  if (timeoutMillis === undefined) return yield* refused(writeTimeoutFault)
  if (dialect.name === "pg") yield* checkIsolation(sql)
  if (options.migrate) yield* schema.migrate(options.table)
  const execute = dialect.name === "sqlite" ? direct(sql) : pooled(sql)
  const strategy = dialect.name === "sqlite" ? Writer.inTransaction(sql) : Writer.inStatements(sql, timeoutMillis)
  const writer = yield* Writer.make(sql, { strategy, timeoutMillis, batchMax: options.batchMax, queueMax })
  const database: Database = {
    sql,
    execute,
    writer,
    dialect,
    statements: statements.make(`"${options.table}"`, dialect),
    timeoutMillis,
    turns: dialect.name === "sqlite" ? Turns.make() : undefined
  }
  return {
    claim: dialect.name === "sqlite" ? claimSqlite(database) : claimPg(database),
    ...owning(database),
    ...operating(database),
    transactions: transactions(database)
  }
})

const dialectOf = (sql: SqlClient.SqlClient, now: string | undefined): Effect.Effect<Dialect, StoreUnavailable> => {
  const dialect = sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })
  return dialect === undefined
    ? refused("the store speaks sqlite and pg")
    : Effect.succeed(now === undefined ? dialect : { ...dialect, now })
}

/**
 * A claim sees its row as it is when its turn comes. Under a stricter isolation the one that waited would be told that the row
 * has changed, which is no answer.
 */
const checkIsolation = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const [row] = yield* sql.unsafe("SELECT current_setting('transaction_isolation')").values
  const isolation = row?.[0]
  if (isolation === "read committed" || isolation === "read uncommitted") return
  return yield* refused(
    `default_transaction_isolation is ${isolation}, under which a claim that waited for another may fail: set it to read committed for this client`
  )
})

const refused = (detail: string) => Effect.fail(new StoreUnavailable({ operation: "start", detail }))

interface Database {
  readonly sql: SqlClient.SqlClient
  readonly execute: Execute
  readonly writer: Writer.Writer
  readonly dialect: Dialect
  readonly statements: statements.Statements
  readonly timeoutMillis: number
  /** Where there is one connection. */
  readonly turns: Turns.Turns | undefined
}

// --- claim

/** Looks first, because a replay must write nothing; SQLite cannot do both in one statement. */
const claimSqlite = (database: Database): Store["claim"] => {
  const { sql, statements } = database
  const look = (request: ClaimRequest, looks: number): Effect.Effect<ClaimReply, Failure> =>
    Effect.flatMap(run(database, statements.look, { id: request.id }), ([row]) => {
      if (row === undefined) return put(request, looks)
      const reply = toReply(request, row)
      if (reply === undefined) return unreadable("claim")
      return machine.claim(reply.record, request, reply.now) === reply.record
        ? Effect.succeed(reply)
        : put(request, looks)
    })

  // Guarded anew: when another one was faster, nothing is written and nothing comes back.
  const put = (request: ClaimRequest, looks: number): Effect.Effect<ClaimReply, Failure> =>
    Effect.flatMap(
      submit(database, statements.claim, toValues(request)),
      ([row]) => {
        if (row !== undefined) return readReply(request, row)
        return looks < looksMax ? look(request, looks + 1) : contended
      }
    )

  // There is one connection, and the transaction holds it: a claim would wait for its own end.
  return (request) =>
    unavailable(
      "claim",
      Effect.flatMap(isInside(sql), (inside) => inside ? insideTransaction : look(request, 1))
    )
}

const claimPg = (database: Database): Store["claim"] => (request) => {
  const values = toValues(request)
  const claim = (looks: number): Effect.Effect<ClaimReply, Failure> =>
    Effect.flatMap(
      submit(database, database.statements.claim, values, `${values["can_resolve"]} ${values["attempts_max"]}`),
      ([row]) => {
        if (row !== undefined) return readReply(request, row)
        // Another one was faster, and is seen now.
        return looks < looksMax ? claim(looks + 1) : contended
      }
    )
  return unavailable("claim", outside(database.sql, claim(1)))
}

const contended = Effect.fail(new StoreUnavailable({ operation: "claim", detail: "Contended" }))
const insideTransaction = Effect.fail(new StoreUnavailable({ operation: "claim", detail: "InsideTransaction" }))

const toValues = (request: ClaimRequest): Values => ({
  id: request.id,
  tenant: request.scope.tenant,
  operation: request.scope.operation,
  version: request.scope.version,
  key: request.key,
  fingerprint: request.fingerprint,
  owner: request.owner,
  lease: Math.ceil(request.leaseMillis),
  can_resolve: request.canResolve ? 1 : 0,
  attempts_max: request.attemptsMax
})

const toReply = (request: ClaimRequest, row: Row): ClaimReply | undefined => {
  const record = decode(request, row)
  const now = timeOf(row)
  return record === undefined || Number.isNaN(now) ? undefined : { record, now }
}

const readReply = (request: ClaimRequest, row: Row): Effect.Effect<ClaimReply, StoreUnavailable> => {
  const reply = toReply(request, row)
  return reply === undefined ? unreadable("claim") : Effect.succeed(reply)
}

const unreadable = (operation: string) => Effect.fail(new StoreUnavailable({ operation, detail: "RowUnreadable" }))

// --- what an owner does

const owning = (database: Database): Pick<Store, "complete" | "release" | "renew"> => ({
  complete: (request) => unavailable("complete", Effect.map(complete(database, request), isOne)),
  release: ({ fence, id, owner, ttlMillis }) => {
    const values = { id, owner, fence, state: "Vacant", ttl: Math.ceil(ttlMillis) }
    return unavailable("release", Effect.map(submit(database, database.statements.release, values), isOne))
  },
  renew: (requests) => requests.length === 0 ? Effect.succeed([]) : renew(database, requests)
})

const isOne = (rows: Rows): boolean => rows.length === 1

const complete = (database: Database, { completion, fence, id, owner }: CompleteRequest) =>
  completion._tag === "Indeterminate"
    ? submit(database, database.statements.giveUp, {
      id,
      owner,
      fence,
      ran: completion.ran ? 1 : 0,
      counted: completion.counted ? 1 : 0,
      attempts_max: completion.attemptsMax
    })
    : submit(database, database.statements.succeed, {
      id,
      owner,
      fence,
      state: completion._tag,
      result: completion.result,
      ttl: Math.ceil(completion.ttlMillis)
    })

/** One statement for all of them, outside any transaction and past the queue: a lease does not wait. */
const renew = (database: Database, requests: ReadonlyArray<RenewRequest>) => {
  const nameOf = (id: unknown, owner: unknown, fence: number) => `${fence} ${String(owner)} ${String(id)}`
  const given = new Map(requests.map((request) => [nameOf(request.id, request.owner, request.fence), request]))
  const values = Array.from(given.values(), ({ fence, id, leaseMillis, owner }): Values => ({
    id,
    owner,
    fence,
    lease: Math.ceil(leaseMillis)
  }))
  const { many, names } = database.statements.renew
  const renewal = outside(database.sql, run(database, many, { rows: encodeRows(names, values) }))
  const shortest = requests.reduce((shortest, { leaseMillis }) => Math.min(shortest, leaseMillis), Number.MAX_VALUE)
  return unavailable(
    "renew",
    Effect.map(database.turns?.renewal(renewal, shortest) ?? renewal, (rows) => {
      const renewed = new Set(rows.map((row) => nameOf(row[0], row[1], integer(row[2]))))
      return requests.map((request) => renewed.has(nameOf(request.id, request.owner, request.fence)))
    })
  )
}

/** Through the queue, with others; inside a transaction of the caller, there. */
const submit = ({ dialect, writer }: Database, pair: statements.Pair, values: Values, shared = "") =>
  writer.submit({
    key: String(values["id"]),
    text: pair.one.text,
    parameters: pair.one.bind(values),
    member: dialect.name === "sqlite" ? undefined : {
      text: pair.many.text,
      shared,
      values,
      parametersOf: (members) => pair.many.bind({ ...values, rows: encodeRows(pair.names, members) })
    }
  })

// --- what an operator does

const operating = (database: Database): Pick<Store, "evict" | "inspect" | "list" | "resolve" | "sweep"> => {
  const { statements } = database
  return {
    resolve: (request) =>
      unavailable("resolve", Effect.map(run(database, statements.resolve, toResolution(request)), isOne)),
    inspect: (id) => unavailable("inspect", inspect(database, id)),
    list: (request) =>
      isLimit(request.limit, listLimitMax)
        ? unavailable("list", list(database, request))
        : limitExceeded("list", listLimitMax),
    evict: (id, { force }) => unavailable("evict", evict(database, id, force)),
    sweep: ({ limit }) =>
      isLimit(limit, sweepLimitMax)
        ? unavailable("sweep", Effect.map(run(database, statements.sweep, { limit }), (rows) => rows.length))
        : limitExceeded("sweep", sweepLimitMax)
  }
}

const toResolution = (request: ResolveRequest): Values => ({
  id: request.id,
  fence: request.fence,
  resolver: machine.resolver(request),
  state: request.resolution._tag === "NeverHappened" ? "Vacant" : request.resolution._tag,
  result: request.resolution._tag === "NeverHappened" ? null : request.resolution.result,
  ttl: Math.ceil(request.ttlMillis)
})

const inspect = Effect.fnUntraced(function*({ execute, statements }: Database, id: RecordId) {
  const [row] = yield* run({ execute }, statements.inspect, { id: id.id })
  const now = row === undefined ? Number.NaN : timeOf(row)
  if (row === undefined || Number.isNaN(now)) return yield* unreadable("inspect")
  if (row[0] === null) return { record: undefined, now }
  const record = decode(id, row)
  return record === undefined ? yield* unreadable("inspect") : { record, now }
})

const list = Effect.fnUntraced(function*({ execute, statements }: Database, request: ListRequest) {
  const { after, limit, operation, state, stuck, tenant } = request
  const statement = statements.list({
    after: after !== undefined,
    range: tenant !== undefined,
    operation: tenant === undefined && operation !== undefined,
    state: state !== undefined,
    unfinished: state !== undefined && machine.isUnfinished(state),
    stuck: stuck === true
  })
  const from = tenant === undefined ? null : idPrefix(tenant, operation)
  const rows = yield* run({ execute }, statement, {
    after: after ?? null,
    from,
    // Behind every character that an id can have.
    until: `${from}\x7f`,
    operation: operation ?? null,
    state: state ?? null,
    limit
  })
  const records = rows.flatMap((row) => decodeListed(row) ?? [])
  return records.length === rows.length ? records : yield* unreadable("list")
})

const evict = Effect.fnUntraced(function*({ execute, statements }: Database, { id }: RecordId, force: boolean) {
  const evicted = yield* run({ execute }, statements.evict, { id, force: force ? 1 : 0 })
  if (evicted.length > 0) return "Evicted"
  const left = yield* run({ execute }, statements.exists, { id })
  return left.length > 0 ? "Held" : "Absent"
})

// --- statements and transactions

const run = ({ execute }: Pick<Database, "execute">, { bind, text }: Statement, values: Values) =>
  execute(text, bind(values))

const unavailable = <A, R>(operation: string, self: Effect.Effect<A, Failure, R>) =>
  Effect.mapError(self, (failure) => toUnavailable(operation, failure))

const toUnavailable = (operation: string, failure: Failure): StoreUnavailable => {
  switch (failure._tag) {
    case "StoreUnavailable":
      return failure
    case "SqlError":
      return new StoreUnavailable({ operation, detail: failure.reason._tag })
    case "Unanswered":
      return new StoreUnavailable({ operation, detail: failure._tag })
    case "WriterRefused":
      return new StoreUnavailable({ operation, detail: `Queue${failure.reason}` })
  }
}

const isInside = (sql: SqlClient.SqlClient): Effect.Effect<boolean> =>
  Effect.withFiber((fiber) =>
    Effect.succeed(Context.getOrUndefined(fiber.context, sql.transactionService) !== undefined)
  )

const outside = <A, E>(sql: SqlClient.SqlClient, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    isInside(sql),
    (inside) => inside ? Effect.updateContext(self, Context.omit(sql.transactionService)) : self
  )

const transactions = ({ sql, timeoutMillis, turns }: Database): NonNullable<Store["transactions"]> => {
  // An SqlError of the effect's own stays what it is.
  const open = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreUnavailable, R> => {
    const own = Effect.mapError(self, (error) => ({ _tag: "Own" as const, error }))
    return Effect.mapError(
      turns === undefined ? inTransactionOfClient(sql, timeoutMillis, own) : sql.withTransaction(own),
      (failure) => failure._tag === "Own" ? failure.error : toUnavailable("commit", failure)
    )
  }
  return {
    isInside: isInside(sql),
    isOwn: (context) => {
      const client = Context.getOrUndefined(context, SqlClient.SqlClient)
      return client === undefined || client.transactionService === sql.transactionService
    },
    withTransaction: (self) =>
      turns === undefined
        ? open(self)
        // Within another one it waits for nobody: it would wait for its own end.
        : Effect.flatMap(isInside(sql), (inside) => inside ? open(self) : turns.transaction(self, open))
  }
}
