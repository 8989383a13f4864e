/**
 * All or nothing: what an effect writes to the database is committed together or not at all, and what others are to hear
 * of it is said after the commit.
 *
 * It prevents three failures: half of an order in the database; a message about an order that was rolled back, since it
 * was sent from inside; and a transaction that holds its locks while a gateway takes its time. The last one does not
 * compile. Nor does a write that needs a unit of work and stands outside of one: it asks for `UnitOfWork`, which only
 * {@link atomic} provides.
 *
 * A unit of work inside another is a part of it: when the inner one fails and the failure is handled, only the inner one
 * is undone, with what it wanted to say; when the outer one fails, both are.
 *
 * What it does not do: make what happens after the commit durable. {@link afterCommit} is lost when the process dies in
 * between; for what must be said, write it into the same transaction: see `EventBus.makeOutbox`. And it takes nothing
 * back that was done outside of the database: that is a `Saga`.
 *
 * It is `withTransaction` and `afterCommit` of Effect's `SqlClient`, made visible in the types. Isolation levels and the
 * rest are options of the client.
 *
 * Read `EventBus` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { SqlClient, SqlError } from "./internal/sql/client.ts"
import type { GatewayCallMustBeInsideIdempotent } from "./internal/stack/claim.ts"
import { CommitUnknown, NotCommitted, UnitOfWorkError } from "./internal/unitOfWork/errors.ts"
import type { Sagas } from "./Saga.ts"

export {
  /**
   * @category reasons
   * @since 0.1.0
   */
  CommitUnknown,
  /**
   * @category reasons
   * @since 0.1.0
   */
  NotCommitted,
  /**
   * @category errors
   * @since 0.1.0
   */
  UnitOfWorkError
} from "./internal/unitOfWork/errors.ts"

/**
 * The evidence that an effect runs inside a unit of work. `depth` is 0 for the outermost. Only {@link atomic} provides
 * it.
 *
 * @category services
 * @since 0.1.0
 */
export class UnitOfWork extends Context.Service<UnitOfWork, {
  readonly depth: number
  /** See {@link afterCommit}. */
  readonly afterCommit: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
}>()("effect-payments/UnitOfWork") {}

type NoGatewayCall<R> = GatewayCallMustBeInsideIdempotent extends R ? {
    readonly "a gateway call inside a unit of work would hold the transaction open while it waits: use a saga": never
  }
  : Sagas extends R ? { readonly "a saga inside a unit of work would hold the transaction open: run it outside": never }
  : unknown

/**
 * Runs the effect in a transaction: a success commits it, a failure, a defect or an interruption rolls it back.
 *
 * **Details**
 *
 * Adds `UnitOfWorkError` to the errors and `SqlClient` to the services, and provides `UnitOfWork`. Errors of the effect's
 * own statements stay as they are. On Postgres a statement that fails spoils the transaction also when its failure is
 * handled: then nothing is written, and the error is `NotCommitted`. What may fail goes into a unit of work of its own.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Effect } from "effect"
 * import { UnitOfWork } from "effect-payments"
 * import { SqlClient } from "effect/sql"
 *
 * const said: Array<string> = []
 * const insert = (id: string) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`INSERT INTO orders VALUES (${id})`
 *     yield* UnitOfWork.afterCommit(Effect.sync(() => void said.push(id)))
 *   })
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`CREATE TABLE orders (id TEXT PRIMARY KEY)`
 *   yield* UnitOfWork.atomic(insert("A"))
 *   yield* UnitOfWork.atomic(Effect.andThen(insert("B"), Effect.fail("no stock"))).pipe(Effect.ignore)
 *   return yield* sql`SELECT id FROM orders`.values
 * })
 *
 * const rows = await Effect.runPromise(program.pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
 * rows // => [["A"]]
 * said // => ["A"]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const atomic = <A, E, R>(
  self: Effect.Effect<A, E, R> & NoGatewayCall<R>
): Effect.Effect<A, E | UnitOfWorkError, Exclude<R, UnitOfWork> | SqlClient.SqlClient> =>
  Effect.withFiber((fiber) => {
    const sql = Context.getUnsafe(fiber.context, SqlClient.SqlClient)
    const outer = Context.getOrUndefined(fiber.context, UnitOfWork)
    let stage: "begin" | "commit" | "own" = "begin"
    const own = Effect.onExit(
      Effect.suspend(() => {
        stage = "own"
        return Effect.provideService(self, UnitOfWork, {
          depth: outer === undefined ? 0 : outer.depth + 1,
          afterCommit: after(sql)
        })
      }),
      (exit) =>
        Effect.sync(() => {
          if (exit._tag === "Success") stage = "commit"
        })
    )
    return Effect.mapError(
      sql.withTransaction(own),
      (error) => stage === "own" || !SqlError.isSqlError(error) ? error as E : failed(stage, error)
    ) as Effect.Effect<A, E | UnitOfWorkError, Exclude<R, UnitOfWork>>
  })

// An answer of the database says that nothing was written; no answer to a commit says nothing.
const failed = (stage: "begin" | "commit", { reason }: SqlError.SqlError): UnitOfWorkError => {
  const detail = stage === "commit" && isRolledBack(reason) ? "RolledBack" : reason._tag
  return new UnitOfWorkError({
    reason: stage === "commit" && (detail === "ConnectionError" || detail === "UnknownError")
      ? new CommitUnknown({ detail })
      : new NotCommitted({ detail })
  })
}

/** Postgres answers COMMIT with ROLLBACK where a statement has failed before, and its client has only words for it. */
const isRolledBack = ({ _tag, message, operation }: SqlError.SqlError["reason"]): boolean =>
  _tag === "UnknownError" && operation === "commit" && message === "PgClient: COMMIT rolled back an aborted transaction"

const after =
  (sql: SqlClient.SqlClient): UnitOfWork["Service"]["afterCommit"] => <R>(effect: Effect.Effect<void, never, R>) =>
    // What comes after belongs to it no more.
    sql.afterCommit(Effect.updateContext(effect, (context: Context.Context<R>) =>
      Context.omit(UnitOfWork)(context) as Context.Context<R>))

type AfterIt<R> = UnitOfWork extends R ? {
    readonly "what runs after the commit is no part of the unit of work: write before it, or in one of its own": never
  }
  : unknown

/**
 * Has the effect run once the outermost unit of work has committed, and not at all when it is rolled back, nor when the
 * inner one is that asked for it.
 *
 * **When to use**
 *
 * To wake workers, drop cached values or tell listeners in this process.
 *
 * **Gotchas**
 *
 * `atomic` waits for it, and it cannot be interrupted: keep it short. It is lost when the process dies right after the
 * commit. A defect in it is logged and spoils nothing.
 *
 * @category combinators
 * @since 0.1.0
 */
export const afterCommit = <R>(
  effect: Effect.Effect<void, never, R> & AfterIt<R>
): Effect.Effect<void, never, R | UnitOfWork> =>
  Effect.flatMap(UnitOfWork, (unit) => unit.afterCommit(effect as Effect.Effect<void, never, R>))

/**
 * Requires a unit of work around the effect: a repository marks its writes with it, and they do not compile outside of
 * {@link atomic}.
 *
 * @category combinators
 * @since 0.1.0
 */
export const inside = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | UnitOfWork> =>
  Effect.andThen(UnitOfWork, self)
