/** An operation of three phases over SQLite: rows, a charge, rows; processes that die between any two of its steps. */
import { assert, describe } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Schema } from "effect"
import { Idempotency, PaymentError, PaymentGateway, Phases, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { SqlClient } from "effect/sql"
import {
  advance,
  begin,
  key,
  leap,
  makeProcess,
  Payload,
  payload,
  type Process,
  sqlite,
  tagOf,
  tester,
  usd
} from "./faults/harness.ts"
import type { Fault } from "./support/faultyStore.ts"

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE reservations (entry TEXT)`
  yield* sql`CREATE TABLE receipts (entry TEXT)`
})

const test = tester({
  ...sqlite,
  layer: Layer.merge(Phases.layerSql(), Layer.effectDiscard(tables)).pipe(Layer.provideMerge(sqlite.layer))
})

const write = (table: string, entry: string) =>
  SqlClient.SqlClient.use((sql) => Effect.orDie(sql`INSERT INTO ${sql(table)} ${sql.insert({ entry })}`))

const rows = (table: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.map(
      sql<{ readonly entry: string }>`SELECT entry FROM ${sql(table)}`,
      (rows) => rows.map(({ entry }) => entry)
    )
  )

type Between = (at: string) => Effect.Effect<void, PaymentError.PaymentError>

/** Reserves, charges, writes a receipt; `between` is what happens at each of its points. */
const checkout = (between: Between = () => Effect.void, version = 1) =>
  Phases.make("checkout", { version, payload: Payload, error: PaymentError.PaymentError }).pipe(
    Phases.atomic("reserve", {
      success: Schema.String,
      run: ({ payload: { order } }) =>
        between("before reserve").pipe(
          Effect.andThen(write("reservations", order)),
          Effect.andThen(between("after reserve")),
          Effect.as(`reserved ${order}`)
        )
    }),
    Phases.call("charge", {
      success: PaymentGateway.Transaction,
      run: ({ payload: { money } }) =>
        between("before charge").pipe(
          Effect.andThen(PaymentGateway.PaymentGateway),
          Effect.flatMap((gateway) => gateway.authorize({ token, money, capture: true })),
          Effect.tap(between("after charge"))
        ),
      resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
    }),
    Phases.atomic("receipt", {
      success: Schema.String,
      run: ({ charge, reserve }) =>
        between("before receipt").pipe(
          Effect.andThen(write("receipts", `${reserve}, ${charge.id}`)),
          Effect.andThen(between("after receipt")),
          Effect.as(charge.id)
        )
    })
  )

const token = PaymentGateway.AuthorizeRequest.fields.token.make("tok_visa")
const whose = { tenant: "acme", key }
const plain = checkout()
const run = Phases.run(plain, payload, whose)

/** Time passes for the journal too, in steps; or in one leap, for when nothing runs. */
const pass = (duration: Duration.Input, elapse = advance) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    yield* sql`UPDATE effect_payments_phases SET due_at = due_at - ${millis}, finished_at = finished_at - ${millis}`
    yield* elapse(duration)
  })

const word = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.exit(self),
    (exit) =>
      Exit.isSuccess(exit) ?
        "done" :
        exit.cause.reasons.map((reason) => reason._tag === "Fail" ? tagOf(reason.error) : reason._tag).join()
  )

const complete = (process: Process, definition: Phases.Phases<never, never, never> = plain as never) =>
  process.run(Phases.complete([definition as unknown as typeof plain]))

/** One reservation, one charge, one receipt, and nothing that is not over. */
const assertOnce = Effect.gen(function*() {
  const gateway = yield* TestGateway.TestGateway
  assert.deepStrictEqual(yield* rows("reservations"), ["A"])
  assert.strictEqual(yield* gateway.charges, 1)
  const [entry] = (yield* gateway.ledger).entries
  assert.deepStrictEqual(yield* rows("receipts"), [`reserved A, ${entry?.transaction.id}`])
})

describe("an operation of several phases", () => {
  test(
    "answers what its phases answered, and the same again",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const first = yield* process.run(run)
      const second = yield* process.run(run)
      assert.strictEqual(first.reserve, "reserved A")
      assert.strictEqual(first.receipt, first.charge.id)
      assert.deepStrictEqual(second, first)
      yield* assertOnce
      assert.strictEqual(yield* Phases.countUnfinished, 0)
    })
  )

  test(
    "of another payload under the key is refused",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      yield* process.run(run)
      const other = Phases.run(plain, { ...payload, money: usd("99.00") }, whose)
      assert.strictEqual(yield* word(process.run(other)), "KeyConflict")
      assert.strictEqual(yield* Phases.countUnfinished, 0)
      yield* assertOnce
    })
  )

  test(
    "is refused where its call is, for good, and keeps what was written before",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.decline("insufficient_funds")])
      assert.strictEqual(yield* word(process.run(run)), "InsufficientFunds")
      assert.strictEqual(yield* word(process.run(run)), "InsufficientFunds")
      assert.deepStrictEqual(yield* rows("reservations"), ["A"])
      assert.deepStrictEqual(yield* rows("receipts"), [])
      assert.strictEqual(yield* Phases.countUnfinished, 0)
    })
  )

  test(
    "of which nothing was executed is free, and nobody finishes it later",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const limited = checkout((at) =>
        at === "before reserve"
          ? Effect.fail(PaymentError.make(new PaymentError.RateLimited({ by: "rateLimit" })))
          : Effect.void
      )
      assert.strictEqual(yield* word(process.run(Phases.run(limited, payload, whose))), "RateLimited")
      assert.strictEqual(yield* Phases.countUnfinished, 0)
      yield* pass("1 hour", leap)
      assert.deepStrictEqual(yield* complete(process), { taken: 0, finished: 0, left: 0 })
      assert.deepStrictEqual(yield* rows("reservations"), [])
      assert.strictEqual(yield* word(process.run(run)), "done")
    })
  )

  test(
    "of which a later phase was not executed is in doubt, and finished later",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.rateLimit()])
      assert.strictEqual(yield* word(process.run(run)), "OutcomeUnknown")
      yield* pass("4 minutes")
      assert.deepStrictEqual(yield* complete(process), { taken: 0, finished: 0, left: 0 })
      yield* pass("2 minutes")
      assert.deepStrictEqual(yield* complete(process), { taken: 1, finished: 1, left: 0 })
      yield* assertOnce
      assert.strictEqual(yield* word(process.run(run)), "done")
      assert.strictEqual(yield* Phases.countUnfinished, 0)
    })
  )

  test(
    "whose charge is in doubt is tried again until it is known",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.lostReply])
      yield* gateway.planLookups(["stillUnknown", "stillUnknown"])
      assert.strictEqual(yield* word(process.run(run)), "NetworkError")
      yield* pass("6 minutes")
      assert.deepStrictEqual(yield* complete(process), { taken: 1, finished: 0, left: 1 })
      // Left alone for a minute.
      assert.deepStrictEqual(yield* complete(process), { taken: 0, finished: 0, left: 0 })
      yield* pass("6 minutes")
      assert.deepStrictEqual(yield* complete(process), { taken: 1, finished: 1, left: 0 })
      yield* assertOnce
    })
  )

  test(
    "that is used again after its ttl is another one",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      yield* process.run(run)
      yield* pass("25 hours", leap)
      const next = yield* process.run(Phases.run(plain, { order: "B", money: usd("20.00") }, whose))
      assert.strictEqual(next.reserve, "reserved B")
      assert.deepStrictEqual(yield* rows("reservations"), ["A", "B"])
      const gateway = yield* TestGateway.TestGateway
      assert.strictEqual(yield* gateway.charges, 2)
    })
  )

  test(
    "dies when its phases have changed under the same version, and runs under the next",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.rateLimit()])
      yield* word(process.run(run))
      const short = Phases.make("checkout", { version: 1, payload: Payload, error: PaymentError.PaymentError }).pipe(
        Phases.atomic("reserve", { success: Schema.String, run: () => Effect.succeed("none") })
      )
      const exit = yield* Effect.exit(process.run(Phases.run(short, payload, whose)))
      const defect = Exit.isFailure(exit) ? Cause.findDefect(exit.cause) : undefined
      assert.isTrue(
        defect?._tag === "Success" && defect.success instanceof Resilience.InvalidOption &&
          defect.success.option === "version"
      )
      assert.strictEqual(yield* word(process.run(run)), "done")
      yield* assertOnce
    })
  )

  test(
    "is left alone by who knows only another version of it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.rateLimit()])
      yield* word(process.run(run))
      yield* pass("1 hour", leap)
      const next = checkout(undefined, 2)
      assert.strictEqual((yield* process.run(Phases.complete([next]))).taken, 0)
      assert.strictEqual((yield* process.run(Phases.complete([next, plain]))).finished, 1)
    })
  )

  test(
    "says that nothing was run when the journal does not answer",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const sql = yield* SqlClient.SqlClient
      yield* sql`ALTER TABLE effect_payments_phases RENAME TO away`
      assert.strictEqual(yield* word(process.run(run)), "StoreUnavailable")
      yield* sql`ALTER TABLE away RENAME TO effect_payments_phases`
      assert.deepStrictEqual(yield* rows("reservations"), [])
      assert.strictEqual(yield* word(process.run(run)), "done")
      yield* assertOnce
    })
  )

  test(
    "is dropped with its phases when it has been over for long, and its answer stays until the ttl",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const sql = yield* SqlClient.SqlClient
      const records = Effect.map(
        sql<{ n: number }>`SELECT count(*) AS n FROM effect_payments_idempotency`,
        ([row]) => row?.n
      )
      const first = yield* process.run(run)
      yield* pass("1 hour", leap)
      const reap = process.run(Phases.reap({ retention: "2 hours" }))
      assert.strictEqual(yield* reap, 0)
      assert.strictEqual(yield* records, 4)
      yield* pass("2 hours", leap)
      assert.strictEqual(yield* reap, 1)
      assert.strictEqual(yield* records, 1)
      assert.deepStrictEqual(yield* process.run(run), first)
      yield* assertOnce
      // What is not over is never dropped.
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.rateLimit()])
      const other = { tenant: "acme", key: Idempotency.Key.make("key-2") }
      assert.strictEqual(yield* word(process.run(Phases.run(plain, payload, other))), "OutcomeUnknown")
      yield* pass("100 days", leap)
      assert.strictEqual(yield* reap, 0)
      assert.strictEqual(yield* Phases.countUnfinished, 1)
    })
  )
})

describe("a process that dies", () => {
  const points = [
    "before reserve",
    "after reserve",
    "before charge",
    "after charge",
    "before receipt",
    "after receipt"
  ]
  for (const point of points) {
    test(
      `${point}: another one finishes it, once`,
      Effect.gen(function*() {
        const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
        const dying = checkout((at) => at === point ? Effect.never : Effect.void)
        yield* begin(word(first.run(Phases.run(dying, payload, whose))))
        yield* first.crash
        yield* pass("6 minutes")
        assert.deepStrictEqual(yield* complete(second), { taken: 1, finished: 1, left: 0 })
        yield* assertOnce
        assert.strictEqual(yield* word(second.run(run)), "done")
      })
    )
  }

  const faults: ReadonlyArray<Fault> = ["hang", "hangAfter"]
  for (const operation of ["claim", "complete"] as const) {
    for (const fault of faults) {
      for (let call = 1; call <= 4; call++) {
        test(
          `${
            fault === "hang" ? "before" : "after"
          } ${operation} ${call} has come to the store: a caller finishes it, once`,
          Effect.gen(function*() {
            const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
            let met = 0
            first.plan({ [operation]: (number: number) => number === call ? (met++, fault) : undefined })
            yield* begin(word(first.run(run)))
            assert.strictEqual(met, 1)
            // What hangs ends with its lease at the latest.
            yield* begin(first.crash)
            yield* pass("31 seconds")
            const answer = yield* begin(word(second.run(run)))
            yield* pass("31 seconds")
            assert.strictEqual(answer.pollUnsafe()?._tag, "Success")
            yield* pass("6 minutes")
            yield* complete(second)
            assert.strictEqual(yield* word(second.run(run)), "done")
            yield* assertOnce
            assert.strictEqual(yield* Phases.countUnfinished, 0)
          })
        )
      }
    }
  }
})

describe("the completer and the reaper", () => {
  test(
    "work for as long as their layers live",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.rateLimit()])
      yield* word(process.run(run))
      yield* begin(process.run(Layer.launch(Layer.merge(
        Phases.layerCompleter([plain], { every: "10 seconds" }),
        Phases.layerReaper({ every: "1 minute", retention: "1 hour" })
      ))))
      yield* pass("6 minutes")
      yield* pass("11 seconds")
      yield* assertOnce
      assert.strictEqual(yield* Phases.countUnfinished, 0)
      yield* pass("1 hour", leap)
      yield* pass("2 minutes")
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT id FROM effect_payments_phases`, [])
    })
  )
})
