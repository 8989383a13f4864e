/** What every inbox does, and what one over SQL does besides. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, type Layer } from "effect"
import { Inbox } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

let events = 0
const arrivalOf = (options: Partial<Inbox.Arrival> = {}): Inbox.Arrival => ({
  provider: "acme",
  endpoint: "shop",
  id: `evt_${events++}`,
  fingerprint: "v1:a",
  window: Duration.days(4),
  ...options
})

/** Counts how often it ran. */
const handler = () => {
  const attempts: Array<number> = []
  return { attempts, run: ({ attempt }: Inbox.Delivery) => Effect.sync(() => attempts.push(attempt)) }
}

/** What an inbox says of a delivery that it does not handle. */
const refusal = <E, R>(taken: Effect.Effect<unknown, E | Inbox.InboxError, R>) =>
  Effect.map(Effect.flip(taken), (error) => error instanceof Inbox.InboxError ? error.reason._tag : error)

export interface InboxContractOptions<R> {
  /** Which of the services; one that is not in the layer is not asked for. */
  readonly take: Effect.Effect<Inbox.Take, never, R>
  /** Lets time pass for the store. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<unknown, unknown, R>
}

export const inboxContract = <R, E>(
  name: string,
  layer: Layer.Layer<R, E>,
  { advance, take }: InboxContractOptions<R>
): void => {
  it.layer(layer)(`an inbox on ${name}`, (it) => {
    it.effect("handles the first delivery and acknowledges the others", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf()
        const first = yield* inbox(arrival, (delivery) => Effect.as(run(delivery), "value"))
        assert.deepStrictEqual(first, { _tag: "Handled", value: "value", attempt: 1 })
        assert.deepStrictEqual(yield* inbox(arrival, run), { _tag: "Duplicate" })
        assert.deepStrictEqual(yield* inbox(arrival, run), { _tag: "Duplicate" })
        assert.deepStrictEqual(attempts, [1])
      }))

    it.effect("handles one of many deliveries at once", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf()
        const taken = yield* Effect.forEach(
          Array.from({ length: 64 }),
          () => Effect.result(inbox(arrival, (delivery) => Effect.andThen(run(delivery), Effect.yieldNow))),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(attempts, [1])
        const outcomes = taken.map((result) =>
          result._tag === "Success" ? result.success._tag : result.failure.reason._tag
        )
        assert.strictEqual(outcomes.filter((outcome) => outcome === "Handled").length, 1)
        assert.isTrue(outcomes.every((outcome) => ["Handled", "Duplicate", "InFlight"].includes(outcome)))
        assert.deepStrictEqual(yield* inbox(arrival, run), { _tag: "Duplicate" })
      }))

    it.effect("keeps providers, endpoints and ids apart", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf()
        const others = [arrival, { ...arrival, provider: "other" }, { ...arrival, endpoint: "shop2" }, arrivalOf()]
        for (const other of others) assert.strictEqual((yield* inbox(other, run))._tag, "Handled")
        assert.strictEqual(attempts.length, 4)
      }))

    it.effect("leaves an event free whose handler failed, died or was interrupted, and passes its end on", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const arrival = arrivalOf()
        const ends: ReadonlyArray<Effect.Effect<never, "no">> = [Effect.fail("no"), Effect.die("bug"), Effect.interrupt]
        for (const [index, end] of ends.entries()) {
          const exit = yield* Effect.exit(inbox(arrival, ({ attempt }) => {
            assert.strictEqual(attempt, index + 1)
            return end
          }))
          assert.isTrue(Exit.isFailure(exit))
          const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
          assert.strictEqual(reason?._tag, ["Fail", "Die", "Interrupt"][index])
        }
        const thrown = yield* Effect.exit(inbox(arrival, (): Effect.Effect<void> => {
          throw new Error("before there was an effect")
        }))
        assert.isTrue(Exit.hasDies(thrown))
        const { attempts, run } = handler()
        assert.strictEqual((yield* inbox(arrival, run))._tag, "Handled")
        assert.deepStrictEqual(attempts, [5])
      }))

    it.effect("handles an event whose content changed after its handler failed, and from then on refuses another", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf()
        const other = { ...arrival, fingerprint: "v1:b" }
        yield* Effect.exit(inbox(arrival, () => Effect.fail("no")))
        assert.strictEqual((yield* inbox(other, run))._tag, "Handled")
        assert.strictEqual(yield* refusal(inbox(arrival, run)), "EventConflict")
        assert.deepStrictEqual(yield* inbox(other, run), { _tag: "Duplicate" })
        assert.deepStrictEqual(attempts, [2])
      }))

    it.effect("lets an event with another content wait while the first is being handled, then refuses it", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf()
        const other = { ...arrival, fingerprint: "v1:b" }
        const taken = yield* inbox(arrival, () => refusal(Effect.suspend(() => inbox(other, run))))
        const refused = taken._tag === "Handled" ? taken.value : taken._tag
        assert.isTrue(refused === "InFlight" || refused === "InsideTransaction", String(refused))
        assert.strictEqual(yield* refusal(inbox(other, run)), "EventConflict")
        assert.deepStrictEqual(attempts, [])
      }))

    it.effect("says how long a delivery has to wait for one that is being handled", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const arrival = arrivalOf()
        const inside = yield* inbox(arrival, () => Effect.flip(Effect.suspend(() => inbox(arrival, () => Effect.void))))
          .pipe(
            Effect.map((taken) => taken._tag === "Handled" ? taken.value : undefined)
          )
        assert.include(["InFlight", "InsideTransaction"], inside?.reason._tag)
        if (inside?.reason._tag !== "InFlight") return
        const wait = Duration.toMillis(inside.reason.retryAfter)
        assert.isTrue(wait > 0 && wait <= 60_000, String(wait))
      }))

    it.effect("remembers for the window, and no longer", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { attempts, run } = handler()
        const arrival = arrivalOf({ window: Duration.days(4) })
        yield* inbox(arrival, run)
        yield* advance(Duration.sum(Duration.days(4), Duration.seconds(-30)))
        assert.deepStrictEqual(yield* inbox(arrival, run), { _tag: "Duplicate" })
        yield* advance("31 seconds")
        assert.strictEqual((yield* inbox(arrival, run))._tag, "Handled")
        assert.strictEqual(attempts.length, 2)
      }))

    it.effect("refuses what cannot name an event", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        for (
          const wrong of [
            { id: "" },
            { id: "ü" },
            { id: "a".repeat(256) },
            { endpoint: "a\nb" },
            { window: Duration.zero },
            { window: Duration.infinity }
          ]
        ) {
          assert.strictEqual(yield* refusal(inbox(arrivalOf(wrong), () => Effect.die("ran"))), "ArrivalMalformed")
        }
      }))

    it.effect("interrupts a handler that takes too long, and leaves the event free", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const arrival = arrivalOf()
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          refusal(inbox(arrival, () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)))
        )
        yield* Deferred.await(started)
        yield* TestClock.adjust("29 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(fiber), "HandlerTimeout")
        const { attempts, run } = handler()
        yield* inbox(arrival, run)
        assert.deepStrictEqual(attempts, [2])
      }))
  })
}

/** For stores beside whose handler another delivery can be taken: all but SQLite in a transaction. */
export const takeOverContract = <R, E>(
  name: string,
  layer: Layer.Layer<R, E>,
  { advance, take }: InboxContractOptions<R>
): void => {
  it.layer(layer)(`an inbox on ${name}, several deliveries beside each other`, (it) => {
    it.effect("is in flight until the lease ends, then taken over, and the first owner is told", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const arrival = arrivalOf()
        const started = yield* Deferred.make<void>()
        const thawed = yield* Deferred.make<void>()
        const frozen = yield* Effect.forkChild(
          refusal(inbox(arrival, () => Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(thawed))))
        )
        yield* Deferred.await(started)
        const { attempts, run } = handler()
        assert.strictEqual(yield* refusal(inbox(arrival, run)), "InFlight")
        // A process that stands still: time passes in the store and not for its handler.
        yield* advance("61 seconds")
        assert.strictEqual((yield* inbox(arrival, run))._tag, "Handled")
        yield* Deferred.succeed(thawed, undefined)
        assert.strictEqual(yield* Fiber.join(frozen), "ClaimLost")
        // Its end frees nothing.
        assert.deepStrictEqual(yield* inbox(arrival, run), { _tag: "Duplicate" })
        assert.deepStrictEqual(attempts, [2])
      }))
  })
}

/** What the transaction adds. */
export const transactionContract = <E>(
  name: string,
  layer: Layer.Layer<Inbox.Inbox | Inbox.AtLeastOnceInbox | SqlClient.SqlClient, E>
): void => {
  const table = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const paid = `paid_${events++}`
    yield* sql`CREATE TABLE ${sql(paid)} (id TEXT NOT NULL)`
    return {
      insert: sql`INSERT INTO ${sql(paid)} (id) VALUES ('order')`,
      count: Effect.map(sql`SELECT id FROM ${sql(paid)}`, (rows) => rows.length)
    }
  })
  const take: Effect.Effect<Inbox.Take, never, Inbox.Inbox> = Effect.map(Inbox.Inbox, ({ take }) => take)

  it.layer(layer)(`the transaction of an inbox on ${name}`, (it) => {
    it.effect("commits what the handler writes with the mark, or neither", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { count, insert } = yield* table
        const arrival = arrivalOf()
        for (const end of [Effect.fail("no"), Effect.die("bug"), Effect.interrupt]) {
          yield* Effect.exit(inbox(arrival, () => Effect.andThen(insert, end)))
          assert.strictEqual(yield* count, 0)
        }
        assert.strictEqual((yield* inbox(arrival, () => insert))._tag, "Handled")
        assert.deepStrictEqual(yield* inbox(arrival, () => insert), { _tag: "Duplicate" })
        assert.strictEqual(yield* count, 1)
      }))

    it.effect("keeps nothing of a handler that was interrupted for its time", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const { count, insert } = yield* table
        const arrival = arrivalOf()
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          refusal(
            inbox(arrival, () =>
              Effect.andThen(insert, Effect.andThen(Deferred.succeed(started, undefined), Effect.never)))
          )
        )
        yield* Deferred.await(started)
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "HandlerTimeout")
        assert.strictEqual(yield* count, 0)
        assert.strictEqual(
          (yield* inbox(arrival, () =>
            insert))._tag,
          "Handled"
        )
        assert.strictEqual(yield* count, 1)
      }))

    it.effect("rolls back when somebody else has taken the event over", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const sql = yield* SqlClient.SqlClient
        const { count, insert } = yield* table
        const arrival = arrivalOf()
        const stolen = sql`UPDATE effect_payments_inbox SET owner = 'somebody else' WHERE key = ${arrival.id}`
        assert.strictEqual(yield* refusal(inbox(arrival, () => Effect.andThen(insert, stolen))), "ClaimLost")
        assert.strictEqual(yield* count, 0)
      }))

    it.effect("is refused inside another one, which could roll the mark back", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const ran = handler()
        for (const inbox of [yield* take, (yield* Inbox.AtLeastOnceInbox).take]) {
          const taken = sql.withTransaction(inbox(arrivalOf(), ran.run))
          assert.strictEqual(yield* refusal(taken), "InsideTransaction")
        }
        assert.deepStrictEqual(ran.attempts, [])
      }))

    it.effect("tells an error of the handler's from one of the store's", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(inbox(arrivalOf(), () => sql`SELECT * FROM no_such_table`))
        assert.strictEqual(error._tag, "SqlError")
      }))

    it.effect("does not run a handler that could not be marked", () =>
      Effect.gen(function*() {
        const inbox = yield* take
        const sql = yield* SqlClient.SqlClient
        const { attempts, run } = handler()
        yield* sql`ALTER TABLE effect_payments_inbox RENAME TO away`
        assert.strictEqual(yield* refusal(inbox(arrivalOf(), run)), "StoreUnavailable")
        yield* sql`ALTER TABLE away RENAME TO effect_payments_inbox`
        assert.deepStrictEqual(attempts, [])
      }))
  })
}

/** Lets time pass for the table of an inbox. */
export const shiftInbox = (duration: Duration.Input) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    yield* sql`UPDATE effect_payments_inbox SET
      lease_until = CASE WHEN lease_until = 0 THEN 0 ELSE lease_until - ${millis} END,
      expires_at = expires_at - ${millis}`
  })
