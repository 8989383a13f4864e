import { assert, describe } from "@effect/vitest"
import { Cause, Deferred, type Duration, Effect, Equal, Exit, Fiber, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { checkTable } from "../support/faultTable.ts"
import { repeat, type Store } from "../support/faultyStore.ts"
import {
  advance,
  authorize,
  begin,
  charge,
  inspect,
  key,
  makeProcess,
  Payload,
  payload,
  quiesce,
  scope,
  sqlite,
  stateOf,
  tagOf,
  tester,
  usd,
  word
} from "./harness.ts"

const Receipt = Schema.Struct({ id: Schema.String })
type Receipt = typeof Receipt.Type
const fail = (reason: PaymentError.Reason) => Effect.fail(PaymentError.make(reason))

const test = tester(sqlite)

const setUp = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE ledger (entry TEXT NOT NULL)`)
const rows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    Effect.map(
      sql<{ readonly entry: string }>`SELECT entry FROM ledger ORDER BY rowid`,
      (rows) => rows.map(({ entry }) => entry)
    )
)
const write = (entry: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.orDie(sql`INSERT INTO ledger ${sql.insert({ entry })}`))

/** Time that passes while a transaction is open, which holds the one connection: for the process alone. */
const passInside = (duration: Duration.Input) =>
  Effect.andThen(quiesce, Effect.andThen(TestClock.adjust(duration), quiesce))

/** Writes a row, does what the test says, and answers. */
const booking = (
  overrides: Partial<Idempotency.Options<typeof payload, Receipt, PaymentError.PaymentError>> & {
    readonly and?: Effect.Effect<
      unknown,
      PaymentError.PaymentError,
      SqlClient.SqlClient | IdempotencyStore.IdempotencyStore
    >
    readonly entry?: string
    readonly success?: Schema.Codec<Receipt, unknown>
  } = {}
) => {
  const { and = Effect.void, entry = "booked", ...rest } = overrides
  return write(entry).pipe(
    Effect.andThen(and),
    Effect.as({ id: entry }),
    Idempotency.idempotent({
      scope,
      key,
      payload,
      payloadSchema: Payload,
      success: Receipt,
      error: PaymentError.PaymentError,
      ...rest,
      transactional: true
    })
  )
}

describe("transactional: true, on SQLite", () => {
  test(
    "rows and record are committed together, and replayed",
    Effect.gen(function*() {
      yield* setUp
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      const answer = yield* first.run(booking())
      assert.isTrue(Equal.equals(yield* second.run(booking()), answer))
      assert.deepStrictEqual(yield* rows, ["booked"])
      assert.strictEqual(yield* stateOf(), "Succeeded")
    })
  )

  test(
    "a gateway call whose types were cast away dies before it leaves, and nothing is left of it",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      const cast = authorize() as unknown as Effect.Effect<unknown, PaymentError.PaymentError>
      const exit = yield* Effect.exit(process.run(booking({ and: cast })))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.lengthOf(yield* gateway.calls, 0)
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Vacant")
    })
  )

  test(
    "what ran without a transaction is never taken over as if it had rolled back",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.lostReply])
      yield* Effect.flip(process.run(charge({ resolve: undefined })))
      assert.strictEqual(yield* word(process.run(booking())), "KeyConflict")
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Indeterminate")
    })
  )

  test(
    "an owner whose slot was taken does not say that nothing happened",
    Effect.gen(function*() {
      yield* setUp
      const store = yield* IdempotencyStore.IdempotencyStore
      const process = yield* Effect.provideService(makeProcess(), IdempotencyStore.IdempotencyStore, {
        ...store,
        release: (request) => Effect.andThen(store.evict(request, { force: true }), store.release(request))
      })
      const refused = fail(new PaymentError.NetworkError({ sent: false }))
      assert.strictEqual(yield* word(process.run(booking({ and: refused }))), "OutcomeUnknown")
      assert.deepStrictEqual(yield* rows, [])
    })
  )

  test(
    "the key is claimed while the effect runs",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const claimed = Effect.map(Effect.orDie(inspect()), (record) => assert.strictEqual(record?.state, "Claimed"))
      yield* process.run(booking({ and: claimed }))
      assert.strictEqual(yield* stateOf(), "Succeeded")
    })
  )

  test(
    "an effect that fails leaves no row: a refusal is kept, anything else frees the key, since nothing is left of it",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const reasons: ReadonlyArray<readonly [PaymentError.Reason, string]> = [
        [new PaymentError.InvalidRequest({ code: "amount" }), "Refused"],
        [new PaymentError.NetworkError({ sent: false }), "Vacant"],
        [new PaymentError.GatewayTimeout({}), "Vacant"]
      ]
      for (const [reason, state] of reasons) {
        const at = { key: Idempotency.Key.make(reason._tag) }
        assert.strictEqual(yield* word(process.run(booking({ ...at, and: fail(reason) }))), reason._tag)
        assert.strictEqual(yield* stateOf(at.key), state)
        assert.deepStrictEqual(yield* rows, [])
        assert.strictEqual(yield* word(process.run(booking({ ...at, and: fail(reason) }))), reason._tag)
      }
      assert.strictEqual(
        yield* word(process.run(booking({ key: Idempotency.Key.make("GatewayTimeout"), entry: "again" }))),
        "again"
      )
      assert.deepStrictEqual(yield* rows, ["again"])
    })
  )

  test(
    "a defect leaves no row and frees the key",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      assert.strictEqual(yield* word(process.run(booking({ and: Effect.die("boom") }))), "Die")
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Vacant")
      assert.strictEqual(yield* word(process.run(booking())), "booked")
      assert.deepStrictEqual(yield* rows, ["booked"])
    })
  )

  test(
    "a caller that goes leaves no row and frees the key",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const fiber = yield* begin(process.run(booking({ and: Effect.never })))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Vacant")
      assert.strictEqual(yield* word(process.run(booking())), "booked")
      assert.deepStrictEqual(yield* rows, ["booked"])
    })
  )

  test(
    "one that joined while the work was being rolled back starts over",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      // The end of the work takes a second: a caller can join in it.
      const slowly = Effect.onInterrupt(Effect.never, () => Effect.sleep("1 second"))
      const first = yield* begin(process.run(booking({ and: slowly })))
      const leaving = yield* begin(Fiber.interrupt(first))
      const second = yield* begin(word(process.run(booking({ duplicates: "await", entry: "second" }))))
      yield* passInside("2 seconds")
      yield* Fiber.join(leaving)
      assert.strictEqual(yield* Fiber.join(second), "second")
      assert.deepStrictEqual(yield* rows, ["second"])
    })
  )

  test(
    "a result that cannot be stored leaves no row",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const narrow = Schema.Struct({ id: Schema.String.check(Schema.isMaxLength(3)) })
      assert.strictEqual(yield* word(process.run(booking({ success: narrow }))), "ResultInvalid")
      assert.deepStrictEqual(yield* rows, [])
    })
  )

  test(
    "a crash in the transaction leaves no row, and after the lease another process runs it",
    Effect.gen(function*() {
      yield* setUp
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* begin(first.run(booking({ and: Effect.never, entry: "first" })))
      yield* first.crash
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* word(second.run(booking())), "InFlight")
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(booking({ entry: "second" }))), "second")
      assert.deepStrictEqual(yield* rows, ["second"])
    })
  )

  test(
    "a save that fails inside the transaction rolls all of it back",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      for (const fault of ["lostRequest", "lostReply"] as const) {
        process.plan({ complete: [fault] })
        assert.strictEqual(yield* word(process.run(booking())), "StoreUnavailable")
        assert.deepStrictEqual(yield* rows, [])
        assert.strictEqual(yield* stateOf(), "Vacant")
      }
      assert.strictEqual(yield* word(process.run(booking())), "booked")
      assert.deepStrictEqual(yield* rows, ["booked"])
    })
  )

  test(
    "a commit that fails is rolled back, and the key is free",
    Effect.gen(function*() {
      yield* setUp
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE parent (id TEXT PRIMARY KEY)`
      yield* sql`CREATE TABLE child (id TEXT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`
      const process = yield* makeProcess()
      // Found only at the commit.
      const orphan = Effect.orDie(sql`INSERT INTO child ${sql.insert({ id: "orphan" })}`)
      assert.strictEqual(yield* word(process.run(booking({ and: orphan }))), "StoreUnavailable")
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Vacant")
      assert.strictEqual(yield* word(process.run(booking())), "booked")
    })
  )

  test(
    "a commit without an answer is asked for at the record: what was committed is the answer, what was not is free",
    Effect.gen(function*() {
      yield* setUp
      const commits: Array<"lostReply" | "lostRequest"> = []
      const store = yield* withCommits(commits)
      const process = yield* Effect.provideService(makeProcess(), IdempotencyStore.IdempotencyStore, store)
      commits.push("lostReply")
      assert.strictEqual(yield* word(process.run(booking())), "booked")
      assert.deepStrictEqual(yield* rows, ["booked"])
      commits.push("lostRequest")
      const other = { key: Idempotency.Key.make("other"), entry: "other" }
      assert.strictEqual(yield* word(process.run(booking(other))), "StoreUnavailable")
      assert.strictEqual(yield* stateOf(other.key), "Vacant")
      assert.strictEqual(yield* word(process.run(booking(other))), "other")
      assert.deepStrictEqual(yield* rows, ["booked", "other"])
    })
  )

  test(
    "when nobody answers after a commit, the outcome is unknown, within bounds, and a later call gets the truth",
    Effect.gen(function*() {
      yield* setUp
      const commits: Array<"lostReply" | "lostRequest"> = []
      const store = yield* withCommits(commits)
      const process = yield* Effect.provideService(makeProcess(), IdempotencyStore.IdempotencyStore, store)
      for (const [name, commit, later] of [["a", "lostReply", "a"], ["b", "lostRequest", "again"]] as const) {
        commits.push(commit)
        process.plan({ release: () => "hang", inspect: () => "hang" })
        const at = { key: Idempotency.Key.make(name) }
        const fiber = yield* begin(word(process.run(booking({ ...at, entry: name }))))
        yield* advance("5 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
        process.plan({})
        yield* advance("31 seconds")
        assert.strictEqual(yield* word(process.run(booking({ ...at, entry: "again" }))), later)
      }
      assert.deepStrictEqual(yield* rows, ["a", "again"])
    })
  )

  test(
    "a caller that goes while the commit is under way changes nothing: committed is committed",
    Effect.gen(function*() {
      yield* setUp
      const committing = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const inner = yield* IdempotencyStore.IdempotencyStore
      const slow = Effect.andThen(Deferred.succeed(committing, undefined), Deferred.await(go))
      const store: typeof inner = {
        ...inner,
        transactions: {
          isInside: inner.transactions?.isInside ?? Effect.succeed(false),
          withTransaction: (self) =>
            Effect.uninterruptible(
              Effect.tap(
                inner.transactions?.withTransaction(Effect.interruptible(self)) ?? Effect.die("no transactions"),
                slow
              )
            )
        }
      }
      const process = yield* Effect.provideService(makeProcess(), IdempotencyStore.IdempotencyStore, store)
      const first = yield* begin(process.run(booking()))
      yield* Deferred.await(committing)
      const leaving = yield* begin(Fiber.interrupt(first))
      const joined = yield* begin(word(process.run(booking({ duplicates: "await", entry: "second" }))))
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(leaving)
      assert.strictEqual(yield* Fiber.join(joined), "booked")
      assert.deepStrictEqual(yield* rows, ["booked"])
      assert.strictEqual(yield* stateOf(), "Succeeded")
    })
  )

  test(
    "a lease that is lost in the transaction leaves no row, and the caller is told that nothing happened",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      process.plan({ renew: () => "hang" })
      const fiber = yield* begin(word(process.run(booking({ and: Effect.sleep("60 seconds") }))))
      yield* passInside("31 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "StoreUnavailable")
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* word(process.run(booking({ entry: "again" }))), "again")
      assert.deepStrictEqual(yield* rows, ["again"])
    })
  )

  test(
    "an owner that has been taken over commits nothing",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const sql = yield* SqlClient.SqlClient
      // The other one's writes, as they would come from another process while this transaction waits for the lock.
      const takenOver = Effect.orDie(
        sql`UPDATE effect_payments_idempotency SET fence = fence + 1, owner = 'other', state = 'Succeeded', result = '{"id":"other"}', lease_until = 0, expires_at = 9000000000000000`
      )
      assert.strictEqual(
        yield* word(process.run(booking({ and: takenOver }))),
        "OutcomeUnknown"
      )
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual(yield* stateOf(), "Claimed")
    })
  )

  test(
    "called inside an open transaction, nothing is claimed and nothing runs",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const sql = yield* SqlClient.SqlClient
      const plain = Effect.as(write("plain"), { id: "plain" }).pipe(Idempotency.idempotent({
        scope,
        key: Idempotency.Key.make("plain"),
        payload,
        payloadSchema: Payload,
        success: Receipt,
        error: PaymentError.PaymentError
      }))
      for (const call of [booking(), plain]) {
        const error = yield* Effect.flip(sql.withTransaction(process.run(call)))
        assert.strictEqual(tagOf(error), "InsideTransaction")
      }
      const nested = yield* word(process.run(booking({
        and: Effect.flatMap(process.run(word(plain)), (word) => Effect.orDie(write(word)))
      })))
      assert.strictEqual(nested, "booked")
      assert.deepStrictEqual(yield* rows, ["booked", "InsideTransaction"])
      assert.isUndefined(yield* stateOf(Idempotency.Key.make("plain")))
    })
  )

  test(
    "another payload is a conflict, and a thousand duplicates are one row",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      const calls = Array.from({ length: 1000 }, () => process.run(booking({ duplicates: "await" })))
      const answers = yield* Effect.all(calls, { concurrency: "unbounded" })
      assert.isTrue(answers.every(({ id }) => id === "booked"))
      assert.deepStrictEqual(yield* rows, ["booked"])
      assert.strictEqual(
        yield* word(process.run(booking({ payload: { order: "A", money: usd("9.00") } }))),
        "KeyConflict"
      )
    })
  )

  test(
    "a claim that is down runs nothing",
    Effect.gen(function*() {
      yield* setUp
      const process = yield* makeProcess()
      process.plan({ claim: repeat("lostRequest", 2) })
      assert.strictEqual(yield* word(process.run(booking())), "StoreUnavailable")
      assert.deepStrictEqual(yield* rows, [])
    })
  )
})

/** The store of the test whose commits lose their reply, or are never made. */
const withCommits = (plan: Array<"lostReply" | "lostRequest">) =>
  Effect.map(IdempotencyStore.IdempotencyStore, (inner): Store => {
    const { transactions } = inner
    if (transactions === undefined) return assert.fail("no transactions")
    const unanswered = new IdempotencyStore.StoreUnavailable({ operation: "commit", detail: "ConnectionError" })
    return {
      ...inner,
      transactions: {
        isInside: transactions.isInside,
        withTransaction: (self) => {
          const fault = plan.shift()
          if (fault === undefined) return transactions.withTransaction(self)
          return fault === "lostReply"
            ? Effect.andThen(transactions.withTransaction(self), Effect.fail(unanswered))
            : transactions.withTransaction(Effect.andThen(self, Effect.fail(unanswered)))
        }
      }
    }
  })

checkTable(({ where }) => where === "transactions.test.ts")
