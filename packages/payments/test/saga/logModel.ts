/** Random commands on a log in a database whose clock the test sets, beside the pure functions that say what comes of them. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import type { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import * as ledger from "../../src/internal/saga/ledger.ts"
import { make } from "../../src/internal/saga/log.ts"
import { runId } from "../../src/internal/saga/record.ts"
import { openingOf } from "./logContract.ts"

type Log = SagaLog.SagaLog["Service"]

/** A log in a database whose clock is a row. */
export class ClockLog extends Context.Service<ClockLog, {
  readonly log: Log
  readonly reset: Effect.Effect<void>
  readonly setTime: (now: number) => Effect.Effect<void>
}>()("test/ClockLog") {}

export const clockLog = Layer.effect(
  ClockLog,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE model_clock (now BIGINT NOT NULL)`
    yield* sql`INSERT INTO model_clock (now) VALUES (0)`
    return {
      log: yield* make({ table: "model_saga", migrate: true, now: "(SELECT now FROM model_clock)" }),
      reset: Effect.orDie(Effect.andThen(sql`DELETE FROM model_saga`, sql`DELETE FROM model_saga_entries`)),
      setTime: (now) => Effect.orDie(sql`UPDATE model_clock SET now = ${now}`)
    }
  })
)

const Run = Schema.Literals([0, 0, 0, 1])
const Owner = Schema.Literals([0, 1, 2])
/** Mostly the one that holds the run. */
const Writer = Schema.Literals(["holder", "holder", "holder", 0, 1])
const Rarely = Schema.Literals([false, false, false, true])
const State = Schema.Literals([
  "Running",
  "Running",
  "Running",
  "Compensating",
  "Completed",
  "Compensated",
  "FailedCompensation",
  "Parked"
])

const Command = Schema.Union([
  Schema.TaggedStruct("Claim", {
    run: Run,
    owner: Owner,
    fingerprint: Schema.Literals(["a", "a", "a", "b"]),
    opens: Schema.Literals([true, true, false]),
    reopen: Schema.Literals([false, false, false, true, "Completed"]),
    lease: Schema.Literals([1, 400, 1000])
  }),
  Schema.TaggedStruct("Append", {
    run: Run,
    owner: Writer,
    ahead: Schema.Literals([1, 1, 1, 1, 0, 2]),
    state: State,
    result: Schema.Literals(["1", "2"]),
    twice: Rarely
  }),
  Schema.TaggedStruct("Renew", { owner: Writer, lease: Schema.Literals([1, 1000]) }),
  Schema.TaggedStruct("Release", { run: Run, owner: Writer }),
  Schema.TaggedStruct("Cancel", { run: Run }),
  Schema.TaggedStruct("Pause", { run: Run }),
  Schema.TaggedStruct("Orphans", { limit: Schema.Literals([1, 5]), known: Schema.Boolean }),
  Schema.TaggedStruct("Sweep", { age: Schema.Literals([0, 1000]) }),
  Schema.TaggedStruct("Wait", { millis: Schema.Literals([1, 400, 1000, 2500]) }),
  Schema.TaggedStruct("Wait", { millis: Schema.Literals([1, 400, 1000, 2500]) })
])

export const Commands = Schema.Array(Command).check(Schema.isMaxLength(30))

const ids = [runId("checkout", "0"), runId("other", "1")] as const

/** Plays the commands to both, and compares each answer and what is there in the end. */
export const compare = (commands: ReadonlyArray<typeof Command.Type>) =>
  Effect.gen(function*() {
    const { log, reset, setTime } = yield* ClockLog
    const rows = new Map<string, ledger.Row>()
    let now = 1000
    yield* reset
    yield* setTime(now)
    const set = (key: string, row: ledger.Row | undefined) => {
      if (row !== undefined) rows.set(key, row)
      return row
    }
    const held = (run: 0 | 1, owner: "holder" | 0 | 1 | 2) => {
      const row = rows.get(ids[run].key)
      return { ...ids[run], owner: owner === "holder" ? row?.run.owner ?? "0" : `${owner}`, epoch: row?.run.epoch ?? 1 }
    }
    for (const command of commands) {
      switch (command._tag) {
        case "Claim": {
          const { fingerprint, lease, opens, owner, reopen, run } = command
          const id = ids[run]
          const request: SagaLog.ClaimRequest = {
            ...id,
            owner: `${owner}`,
            leaseMillis: lease,
            opening: opens && reopen === false ? openingOf({ fingerprint }) : undefined,
            reopen
          }
          const row = set(id.key, ledger.claim(rows.get(id.key), request, now))
          const history = yield* log.claim(request)
          assert.deepStrictEqual(history, row === undefined ? undefined : { ...row, now })
          break
        }
        case "Append": {
          const { ahead, owner, result, run, state, twice } = command
          const row = rows.get(ids[run].key)
          const request = {
            ...held(run, owner),
            seq: (row?.run.length ?? 0) + ahead,
            state,
            events: [{ _tag: "Succeeded" as const, step: "reserve", result }]
          }
          for (let time = 0; time < (twice ? 2 : 1); time++) {
            const next = set(ids[run].key, ledger.append(rows.get(ids[run].key), request, now))
            assert.deepStrictEqual(yield* log.append(request), {
              appended: next !== undefined,
              cancelRequested: next?.run.cancelRequested ?? false,
              pauseRequested: next?.run.pauseRequested
            })
          }
          break
        }
        case "Renew": {
          const requests = ([0, 1] as const).map((run) => ({ ...held(run, command.owner), leaseMillis: command.lease }))
          const expected = requests.map((request) =>
            set(request.key, ledger.renew(rows.get(request.key), request, now)) !== undefined
          )
          assert.deepStrictEqual(yield* log.renew(requests), expected)
          break
        }
        case "Release": {
          const request = held(command.run, command.owner)
          const row = set(request.key, ledger.release(rows.get(request.key), request))
          assert.strictEqual(yield* log.release(request), row !== undefined)
          break
        }
        case "Cancel": {
          const { key } = ids[command.run]
          const row = rows.get(key)
          const next = row === undefined ? undefined : set(key, ledger.cancel(row))
          assert.deepStrictEqual(yield* log.cancel(ids[command.run]), next?.run)
          break
        }
        case "Pause": {
          const { key } = ids[command.run]
          const request = { ...ids[command.run], note: "ann" }
          const row = rows.get(key)
          const next = row === undefined ? undefined : set(key, ledger.pause(row, request))
          assert.deepStrictEqual(yield* log.pause(request), next?.run)
          break
        }
        case "Orphans": {
          const request = {
            sagas: command.known ? ["checkout", "other"] : ["none"],
            owner: "recoverer",
            leaseMillis: 400,
            limit: command.limit
          }
          const found = yield* log.orphans(request)
          const orphans = [...rows.values()].filter((row) => ledger.isOrphan(row, request, now))
          assert.strictEqual(found.length, Math.min(orphans.length, request.limit))
          for (const history of found) {
            const row = orphans.find(({ run }) => run.key === history.run.key)
            assert.isDefined(row)
            const adopted = set(row.run.key, ledger.adopt(row, request, now))
            assert.deepStrictEqual(history, adopted === undefined ? undefined : { ...adopted, now })
          }
          break
        }
        case "Sweep": {
          const request = { olderThanMillis: command.age, limit: 10 }
          const swept = [...rows.values()].filter(({ run }) => ledger.isSwept(run, request, now))
          for (const { run } of swept) rows.delete(run.key)
          assert.strictEqual(yield* log.sweep(request), swept.length)
          break
        }
        case "Wait":
          now += command.millis
          yield* setTime(now)
      }
    }
    for (const id of ids) {
      const row = rows.get(id.key)
      assert.deepStrictEqual(yield* log.read(id), row === undefined ? undefined : { ...row, now })
    }
  })
