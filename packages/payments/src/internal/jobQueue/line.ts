/**
 * One worker at a time over all processes, and jobs in the order in which they were offered: what an outbox needs beyond a
 * queue.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SecureRandom } from "../effect/crypto.ts"
import type { SqlClient, SqlError } from "../sql/client.ts"
import { type Execute, pooled } from "../sql/execute.ts"
import { compile, type Dialect, type Types } from "../sql/statement.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { type JobQueueError, unavailable } from "./errors.ts"

/** @internal */
export interface Line {
  /** Puts a job that was just offered to where its offer stands, and not to where its transaction began. */
  readonly enter: (queue: string, id: string) => Effect.Effect<void, JobQueueError>
  /**
   * Works while it leads, and waits while another one does. One that can no longer renew that it leads stops before
   * another one may begin.
   */
  readonly lead: <R>(queue: string, work: Effect.Effect<never, never, R>) => Effect.Effect<never, never, R>
}

interface Table {
  readonly pollMillis: number
  readonly lockMillis: number
  /** Makes the owner the one that leads, or leaves it that. False: another one does. */
  readonly lead: (queue: string, owner: string) => Effect.Effect<boolean, JobQueueError>
  readonly resign: (queue: string, owner: string) => Effect.Effect<void, JobQueueError>
  /** Takes back what those before it hold. Their word for it counts no more. */
  readonly recall: (queue: string) => Effect.Effect<void, JobQueueError>
}

const types: Types = { queue: "text", id: "text", owner: "text", millis: "bigint" }

/** @internal */
export const createTable = (table: string): string =>
  `CREATE TABLE "${table}_line" (queue_name TEXT PRIMARY KEY, owner TEXT NOT NULL, until BIGINT NOT NULL)`

/** @internal */
export const make = (
  sql: SqlClient.SqlClient,
  dialect: Dialect,
  { lockMillis, pollMillis, table }: {
    readonly table: string
    readonly lockMillis: number
    readonly pollMillis: number
  }
): Line => {
  const run = runner(pooled(sql), dialect)
  const line = `"${table}_line"`
  const enter = run(
    "offer",
    `UPDATE "${table}" SET visible_at = '1970-01-01 00:00:00'
WHERE queue_name = :queue AND id = :id AND state = 'pending' AND attempts = 0`
  )
  const lead = run(
    "lead",
    `INSERT INTO ${line} (queue_name, owner, until) VALUES (:queue, :owner, ${dialect.now} + :millis)
ON CONFLICT (queue_name) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE ${line}.owner = excluded.owner OR ${line}.until <= ${dialect.now} RETURNING owner`
  )
  const resign = run("resign", `DELETE FROM ${line} WHERE queue_name = :queue AND owner = :owner`)
  const recall = run(
    "recall",
    `UPDATE "${table}" SET acquired_by = NULL, acquired_at = NULL
WHERE queue_name = :queue AND state = 'pending' AND acquired_by IS NOT NULL`
  )
  const leaders: Table = {
    pollMillis,
    lockMillis,
    lead: (queue, owner) => Effect.map(lead({ queue, owner, millis: lockMillis }), (rows) => rows.length > 0),
    resign: (queue, owner) => Effect.asVoid(resign({ queue, owner })),
    recall: (queue) => Effect.asVoid(recall({ queue }))
  }
  return {
    enter: (queue, id) => Effect.asVoid(enter({ queue, id })),
    lead: (queue, work) => inLine(leaders, queue, work)
  }
}

const runner = (execute: Execute, dialect: Dialect) => (operation: string, text: string) => {
  const statement = compile(dialect, types, text)
  return (values: Parameters<typeof statement.bind>[0]) =>
    Effect.mapError(
      execute(statement.text, statement.bind(values)),
      ({ reason }: SqlError.SqlError) => unavailable(operation, reason._tag)
    )
}

const inLine = <R>(
  line: Table,
  queue: string,
  work: Effect.Effect<never, never, R>
): Effect.Effect<never, never, R> =>
  Effect.suspend(() => {
    const owner = SecureRandom.uuidV4Unsafe()
    const poll = Effect.sleep(line.pollMillis)
    const lead = Effect.timeoutOption(
      Effect.orElseSucceed(Effect.map(line.lead(queue, owner), Option.some), Option.none<boolean>),
      line.lockMillis / 3
    ).pipe(Effect.map(Option.flatten))
    const term = Effect.withFiber<void, never, R>((fiber) => {
      let confirmedAt = monotonicMillis(fiber)
      const renew: Effect.Effect<void> = Effect.gen(function*() {
        while (true) {
          yield* Effect.sleep(line.lockMillis / 3)
          const start = monotonicMillis(fiber)
          const leads = yield* lead
          if (Option.isSome(leads) && !leads.value) return
          if (Option.isSome(leads)) confirmedAt = start
          else if (monotonicMillis(fiber) - confirmedAt >= line.lockMillis * 2 / 3) return
        }
      })
      return Effect.flatMap(lead, (leads) =>
        Option.isNone(leads) || !leads.value
          ? poll
          : Effect.matchEffect(line.recall(queue), {
            onFailure: () => poll,
            onSuccess: () => Effect.raceFirst(work, renew)
          }))
    })
    const resign = Effect.ignore(
      Effect.timeoutOption(Effect.interruptible(line.resign(queue, owner)), line.lockMillis / 3)
    )
    return Effect.ensuring(Effect.forever(term), resign)
  })
