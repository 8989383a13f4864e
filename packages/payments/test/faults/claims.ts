/** Rows of the fault matrix about who may run: duplicates, crashes, take-overs, keys, clocks. */
import { assert } from "@effect/vitest"
import { Deferred, Duration, Effect, Equal, Fiber, Schema } from "effect"
import { Idempotency, PaymentError } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { repeat } from "../support/faultyStore.ts"
import {
  advance,
  authorize,
  type Backend,
  begin,
  charge,
  inspect,
  key,
  leap,
  makeProcess,
  nextMillisecond,
  options,
  type Payload,
  scope,
  stateOf,
  tagOf,
  tester,
  usd,
  word
} from "./harness.ts"

const Receipt = Schema.Struct({ id: Schema.String })

/** An operation without a gateway: what it does is written in the test. */
const operate = <R>(
  self: Effect.Effect<{ readonly id: string }, PaymentError.PaymentError, R>,
  overrides: Partial<Idempotency.Options<typeof Payload.Type, { readonly id: string }, PaymentError.PaymentError>> = {}
) =>
  Idempotency.idempotent(self, {
    ...options,
    success: Receipt,
    ...overrides,
    transactional: undefined
  })

const happened = (id: string) => () => Effect.succeed({ _tag: "Happened" as const, result: { id } })
const notExecuted = Effect.fail(PaymentError.make(new PaymentError.NetworkError({ sent: false })))

export const duplicates = (backend: Backend): void => {
  const test = tester(backend)
  for (const local of backend.name === "memory" ? [true, false] : [false]) {
    const how = local ? ", asked without a wait" : ""

    test(
      `row 1: a thousand duplicates in one process are one charge and three round trips at most${how}`,
      Effect.gen(function*() {
        const gateway = yield* TestGateway.TestGateway
        const process = yield* makeProcess({ local })
        yield* gateway.plan([TestGateway.delay("1 second")])
        const fiber = yield* begin(process.run(Effect.forEach(
          Array.from({ length: 1000 }),
          () => charge({ duplicates: "await" }),
          { concurrency: "unbounded" }
        )))
        yield* advance("2 seconds")
        const all = yield* Fiber.join(fiber)
        assert.isTrue(all.every((transaction) => Equal.equals(transaction, all[0])))
        assert.strictEqual(yield* gateway.charges, 1)
        assert.isAtMost(process.roundTrips(), 3)
        assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
      })
    )
  }

  test(
    "row 1: duplicates that do not wait are told that the first is in flight",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.delay("1 second")])
      const fiber = yield* begin(process.run(Effect.forEach(
        Array.from({ length: 1000 }),
        () => word(charge()),
        { concurrency: "unbounded" }
      )))
      yield* advance("2 seconds")
      const words = yield* Fiber.join(fiber)
      assert.strictEqual(words.filter((word) => word === "test_auth_1").length, 1)
      assert.strictEqual(words.filter((word) => word === "InFlight").length, 999)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 2: four processes of 250 callers each are one charge",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("3 seconds")])
      const processes = yield* Effect.all([makeProcess(), makeProcess(), makeProcess(), makeProcess()])
      const fibers = yield* Effect.forEach(processes, (process) =>
        begin(process.run(Effect.forEach(
          Array.from({ length: 250 }),
          () => charge({ duplicates: "await" }),
          { concurrency: "unbounded" }
        ))))
      yield* advance("6 seconds")
      const all = (yield* Effect.forEach(fibers, Fiber.join)).flat()
      assert.lengthOf(all, 1000)
      assert.isTrue(all.every((transaction) => Equal.equals(transaction, all[0])))
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 10: another payload while the first is in flight is a conflict, in this process and in another one",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.delay("5 seconds")])
      const fiber = yield* begin(first.run(charge()))
      const other = { order: "A", money: usd("99.00") }
      for (const process of [first, second]) {
        for (const duplicates of ["reject", "await"] as const) {
          assert.strictEqual(yield* word(process.run(charge({ payload: other, duplicates }))), "KeyConflict")
        }
      }
      yield* advance("6 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "two payloads at the same moment: the store says which of them is the other one",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* process.run(charge())
      process.plan({ claim: [{ delay: "1 second" }] })
      const wrong = yield* begin(word(process.run(charge({ payload: { order: "B", money: usd("1.00") } }))))
      const right = yield* begin(word(process.run(charge())))
      yield* advance("2 seconds")
      assert.strictEqual(yield* Fiber.join(wrong), "KeyConflict")
      assert.strictEqual(yield* Fiber.join(right), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "a duplicate waits no longer than awaitAtMost, and the first goes on",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.delay("60 seconds")])
      const leader = yield* begin(first.run(charge()))
      const waiting = { duplicates: "await", awaitAtMost: "10 seconds" } as const
      const here = yield* begin(word(first.run(charge(waiting))))
      const there = yield* begin(word(second.run(charge(waiting))))
      yield* advance("9 seconds")
      assert.isUndefined(here.pollUnsafe())
      assert.isUndefined(there.pollUnsafe())
      yield* advance("2 seconds")
      assert.strictEqual(yield* Fiber.join(here), "InFlight")
      assert.strictEqual(yield* Fiber.join(there), "InFlight")
      yield* advance("60 seconds")
      yield* Fiber.join(leader)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "the answer InFlight says when to ask again at the latest",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.delay("20 seconds")])
      const fiber = yield* begin(first.run(charge()))
      const poller = yield* begin(second.run(charge({ duplicates: "await" })))
      yield* advance("5 seconds")
      for (const process of [first, second]) {
        const { reason } = (yield* Effect.flip(process.run(charge()))) as Idempotency.IdempotencyError
        assert.strictEqual(reason._tag, "InFlight")
        const seconds = reason._tag === "InFlight" ? Duration.toSeconds(reason.retryAfter) : 0
        assert.isAtLeast(seconds, 20)
        assert.isAtMost(seconds, 30)
      }
      yield* advance("20 seconds")
      yield* Effect.all([Fiber.join(fiber), Fiber.join(poller)])
    })
  )

  test(
    "a duplicate whose first fails gets the same failure, and one after a freed slot runs",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.delay("1 second", TestGateway.failBefore)])
      const first = yield* begin(word(process.run(charge())))
      const second = yield* begin(word(process.run(charge({ duplicates: "await" }))))
      yield* advance("2 seconds")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["NetworkError", "NetworkError"])
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )
}

export const takeOvers = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 3: a crash holds the slot for one lease, then the charge is looked up and not made again",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.hang({ happened: true })])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("28 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "InFlight")
      yield* advance("3 seconds")
      const receipt = yield* second.run(
        Idempotency.idempotentWithReceipt(authorize(), {
          ...options,
          resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
        })
      )
      assert.deepStrictEqual([receipt.how, receipt.value.id as string], ["resolved", "test_auth_1"])
      assert.strictEqual(yield* gateway.charges, 1)
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 3: after a crash before the request left, the charge is made once",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.hang({ happened: false })])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 3: at a gateway that executes all it gets, it is made only when nothing can be under way any more",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.late("120 seconds")])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "OutcomeUnknown")
      yield* advance("91 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
      assert.lengthOf(yield* gateway.calls, 1)
    }),
    { deduplicates: false }
  )

  test(
    "row 3: what never happened runs again after settle, and not before",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.hang({ happened: false })])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("31 seconds")
      yield* leap("290 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "OutcomeUnknown")
      yield* leap("15 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.lengthOf(yield* gateway.calls, 2)
    }),
    { deduplicates: false }
  )

  test(
    "row 4: an owner that was frozen through its lease is interrupted on waking, and the other one's result stays",
    Effect.gen(function*() {
      const [first, second, third] = yield* Effect.all([makeProcess(), makeProcess(), makeProcess()])
      const interrupted = yield* Deferred.make<void>()
      const slow = Effect.as(Effect.sleep("2 minutes"), { id: "slow" }).pipe(
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
      )
      const frozen = yield* begin(word(first.run(operate(slow))))
      first.freeze()
      yield* advance("31 seconds")
      assert.strictEqual((yield* second.run(operate(Effect.never, { resolve: happened("found") }))).id, "found")
      first.thaw()
      yield* advance("1 second")
      assert.isTrue(yield* Deferred.isDone(interrupted))
      assert.strictEqual(yield* Fiber.join(frozen), "OutcomeUnknown")
      assert.strictEqual((yield* third.run(operate(Effect.never))).id, "found")
      assert.deepStrictEqual(first.left(), { live: 0, held: 0 })
    })
  )

  test(
    "row 4: an owner that cannot be interrupted completes too late and is refused",
    Effect.gen(function*() {
      const [first, second, third] = yield* Effect.all([makeProcess(), makeProcess(), makeProcess()])
      const slow = Effect.uninterruptible(Effect.as(Effect.sleep("20 seconds"), { id: "slow" }))
      const frozen = yield* begin(word(first.run(operate(slow))))
      first.freeze()
      yield* advance("31 seconds")
      assert.strictEqual((yield* second.run(operate(Effect.never, { resolve: happened("found") }))).id, "found")
      first.thaw()
      yield* advance("1 second")
      assert.strictEqual(yield* Fiber.join(frozen), "OutcomeUnknown")
      assert.strictEqual((yield* third.run(operate(Effect.never))).id, "found")
    })
  )

  for (const end of ["completes", "fails"] as const) {
    test(
      `row ${end === "completes" ? 4 : 5}: an owner that ${end} while its successor works changes nothing`,
      Effect.gen(function*() {
        const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
        const ending = end === "completes" ? Effect.succeed({ id: "slow" }) : notExecuted
        const slow = Effect.uninterruptible(Effect.andThen(Effect.sleep("20 seconds"), ending))
        const frozen = yield* begin(word(first.run(operate(slow))))
        first.freeze()
        yield* advance("31 seconds")
        const successor = operate(Effect.as(Effect.sleep("10 seconds"), { id: "successor" }), {
          resolve: () => Effect.succeed({ _tag: "NeverHappened" as const, repeatable: true })
        })
        const working = yield* begin(word(second.run(successor)))
        const held = Effect.map(inspect(), (record) => [record?.state, record?.owner, record?.fence, record?.attempt])
        const before = yield* held
        first.thaw()
        yield* advance("3 seconds")
        yield* Fiber.await(frozen)
        assert.deepStrictEqual(yield* held, before)
        yield* advance("8 seconds")
        assert.strictEqual(yield* Fiber.join(working), "successor")
        assert.strictEqual((yield* first.run(operate(Effect.never))).id, "successor")
      })
    )
  }

  test(
    "row 5: an owner that fails too late frees nothing",
    Effect.gen(function*() {
      const [first, second, third] = yield* Effect.all([makeProcess(), makeProcess(), makeProcess()])
      const slow = Effect.uninterruptible(Effect.andThen(Effect.sleep("20 seconds"), notExecuted))
      const frozen = yield* begin(word(first.run(operate(slow))))
      first.freeze()
      yield* advance("31 seconds")
      assert.strictEqual((yield* second.run(operate(Effect.never, { resolve: happened("found") }))).id, "found")
      first.thaw()
      yield* advance("1 second")
      yield* Fiber.await(frozen)
      assert.strictEqual(yield* stateOf(), "Succeeded")
      assert.strictEqual((yield* third.run(operate(Effect.never))).id, "found")
    })
  )

  test(
    "an owner whose store falls silent stops within one lease, before anybody else can start",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      first.plan({ renew: () => "hang", complete: () => "hang" })
      yield* gateway.plan([TestGateway.hang({ happened: false })])
      const fiber = yield* begin(word(first.run(charge())))
      yield* advance("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* advance("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
      yield* advance("2 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "a renewal that fails is tried again in time",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ renew: ["lostRequest", "lostReply", "lostRequest", "hang", "none", "lostReply"] })
      yield* gateway.plan([TestGateway.delay("2 minutes")])
      const fiber = yield* begin(word(process.run(charge())))
      yield* advance("121 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
      assert.isAtLeast(process.calls("renew"), 6)
    })
  )

  test(
    "what a take-over did not execute may still have happened, and nobody is told otherwise",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.late("100 seconds"), TestGateway.failBefore])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "OutcomeUnknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      yield* advance("70 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )
}

export const keys = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 6: operations that share a store, also one inside the other, get their own results",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const other = Idempotency.Scope.make({ tenant: "acme", operation: "refund", version: 1 })
      const inner = operate(Effect.succeed({ id: "refund" }), { scope: other })
      const outer = operate(Effect.as(inner.pipe(Effect.orDie), { id: "charge" }))
      for (let call = 0; call < 2; call++) {
        assert.strictEqual((yield* process.run(outer)).id, "charge")
        assert.strictEqual((yield* process.run(inner)).id, "refund")
        assert.strictEqual((yield* process.run(operate(Effect.never))).id, "charge")
      }
    })
  )

  test(
    "row 6: an operation inside itself is in flight, and does not wait for itself for ever",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const inner = (duplicates: "await" | "reject") => word(operate(Effect.succeed({ id: "inner" }), { duplicates }))
      const outer = (duplicates: "await" | "reject", name: string) =>
        operate(Effect.map(inner(duplicates), (word) => ({ id: word })), { key: Idempotency.Key.make(name) })
      const same = operate(Effect.map(inner("reject"), (id) => ({ id })))
      assert.strictEqual((yield* process.run(same)).id, "InFlight")
      assert.strictEqual((yield* process.run(outer("reject", "other"))).id, "InFlight")
    })
  )

  test(
    "row 6: an operation that waits for itself is told after awaitAtMost",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const inner = operate(Effect.succeed({ id: "inner" }), { duplicates: "await", awaitAtMost: "10 seconds" })
      const fiber = yield* begin(process.run(operate(Effect.map(word(inner), (id) => ({ id })))))
      yield* advance("11 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).id, "InFlight")
      assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
    })
  )

  test(
    "row 9: the same key with another amount is a conflict, without any option",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* first.run(charge())
      for (const process of [first, second]) {
        const error = yield* Effect.flip(process.run(charge({ payload: { order: "A", money: usd("10.01") } })))
        assert.strictEqual(tagOf(error), "KeyConflict")
        assert.strictEqual(error.disposition, "Refused")
      }
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 9: a freed key stays with its payload",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.failBefore])
      assert.strictEqual(yield* word(process.run(charge())), "NetworkError")
      assert.strictEqual(
        yield* word(process.run(charge({ payload: { order: "B", money: usd("10.00") } }))),
        "KeyConflict"
      )
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
    })
  )

  test(
    "row 33: keys that would run into each other when joined are different keys",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const scopeOf = (tenant: string, operation: string) => Idempotency.Scope.make({ tenant, operation, version: 1 })
      const names: ReadonlyArray<readonly [Idempotency.Scope, string]> = [
        [scopeOf("a", "b"), "c:d"],
        [scopeOf("a", "b:c"), "d"],
        [scopeOf("a:b", "c"), "d"],
        [scopeOf("a:1", "b"), "d"],
        [scopeOf("a", "1:b"), "d"],
        [scopeOf("1:a", "b"), "d"],
        [scopeOf("1", "a1:b1"), "d"],
        [scopeOf("1:a1", "b1"), "d"]
      ]
      for (const [scope, name] of names) yield* process.run(charge({ scope, key: Idempotency.Key.make(name) }))
      assert.strictEqual(yield* gateway.charges, names.length)
      for (const [scope, name] of names) yield* process.run(charge({ scope, key: Idempotency.Key.make(name) }))
      assert.strictEqual(yield* gateway.charges, names.length)
    })
  )

  test(
    "row 33: a key of 255 characters works, and what could break a header, a log or a statement is no key",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      for (const name of ["k".repeat(255), "!~\"'%_\\;--", "a b"]) {
        const longest = Idempotency.Key.make(name)
        const { id } = yield* process.run(charge({ key: longest }))
        assert.strictEqual((yield* process.run(charge({ key: longest }))).id, id)
      }
      assert.strictEqual(yield* gateway.charges, 3)
      const isKey = Schema.is(Idempotency.Key)
      for (const name of ["", "k".repeat(256), "a\r\nb", "a\u0000b", "\u00e9", "a\tb", " a", "a ", "\u007f"]) {
        assert.isFalse(isKey(name), JSON.stringify(name))
      }
    })
  )

  test(
    "row 34: tenant, operation and version each make another key",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const scopes = [
        { tenant: "acme", operation: "charge", version: 1 },
        { tenant: "other", operation: "charge", version: 1 },
        { tenant: "acme", operation: "deposit", version: 1 },
        { tenant: "acme", operation: "charge", version: 2 }
      ].map((scope) => Idempotency.Scope.make(scope))
      for (const scope of [...scopes, ...scopes]) yield* process.run(charge({ scope }))
      assert.strictEqual(yield* gateway.charges, 4)
      const keys = new Set((yield* gateway.calls).map(({ downstreamKey }) => downstreamKey))
      assert.strictEqual(keys.size, 4)
      assert.isFalse([...keys].some((downstreamKey) => downstreamKey.includes(key)))
      const wrong = [{ ...scope, tenant: "" }, { ...scope, operation: "a\nb" }, { ...scope, version: 0 }]
      for (const scope of wrong) assert.isFalse(Schema.is(Idempotency.Scope)(scope))
    })
  )
}

export const clocks = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 29: a record's lifetime that is shorter than the operation makes no second run",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.delay("60 seconds")])
      const fiber = yield* begin(word(first.run(charge({ ttl: "5 seconds" }))))
      for (let asked = 0; asked < 5; asked++) {
        yield* advance("11 seconds")
        assert.strictEqual(yield* word(second.run(charge({ ttl: "5 seconds" }))), "InFlight")
      }
      yield* advance("6 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
      assert.strictEqual(yield* word(second.run(charge({ ttl: "5 seconds" }))), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 29: a record lives from its completion on, and then the key is new",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.delay("60 seconds")])
      const fiber = yield* begin(word(process.run(charge({ ttl: "1 hour" }))))
      yield* advance("61 seconds")
      yield* Fiber.join(fiber)
      yield* leap("3570 seconds")
      assert.strictEqual(yield* word(process.run(charge({ ttl: "1 hour" }))), "test_auth_1")
      yield* leap("40 seconds")
      yield* process.run(charge({ ttl: "1 hour" }))
      assert.lengthOf(yield* gateway.calls, 2)
    })
  )

  test(
    "row 29: what is not finished never expires",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      yield* gateway.planLookups(() => "stillUnknown")
      assert.strictEqual(yield* word(process.run(charge({ ttl: "1 second" }))), "NetworkError")
      yield* leap("365 days")
      assert.strictEqual(yield* word(process.run(charge({ ttl: "1 second" }))), "OutcomeUnknown")
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 30: clocks that are hours apart change nothing: not a lease, not a lifetime",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const ahead = yield* makeProcess({ skew: "6 hours" })
      const behind = yield* makeProcess({ skew: "-6 hours" })
      yield* gateway.plan([TestGateway.delay("50 seconds")])
      const fiber = yield* begin(word(behind.run(charge({ ttl: "1 hour" }))))
      for (let asked = 0; asked < 4; asked++) {
        yield* advance("11 seconds")
        assert.strictEqual(yield* word(ahead.run(charge({ ttl: "1 hour" }))), "InFlight")
      }
      yield* advance("7 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
      yield* leap("50 minutes")
      for (const process of [ahead, behind]) {
        assert.strictEqual(yield* word(process.run(charge({ ttl: "1 hour" }))), "test_auth_1")
      }
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 30: a crash is noticed after one lease on the store's clock, whatever the time of day",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const first = yield* makeProcess({ skew: "6 hours" })
      const second = yield* makeProcess({ skew: "-6 hours" })
      yield* gateway.plan([TestGateway.hang({ happened: true })])
      yield* begin(first.run(charge()))
      yield* first.crash
      yield* advance("28 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "InFlight")
      yield* advance("3 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "a fence never starts over, also after the record was dropped",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const fences: Array<number> = []
      for (let run = 0; run < 3; run++) {
        yield* process.run(charge())
        fences.push((yield* inspect())?.fence ?? 0)
        assert.strictEqual(yield* process.run(Idempotency.evict({ scope, key })), "Evicted")
        yield* leap("1 second")
        yield* nextMillisecond
      }
      for (let run = 0; run < 3; run++) {
        yield* Effect.exit(process.run(operate(notExecuted, { key: Idempotency.Key.make("freed") })))
        const { fence = 0 } = (yield* inspect(Idempotency.Key.make("freed"))) ?? {}
        assert.isAbove(fence, fences.at(-1) ?? 0)
        fences.push(fence)
      }
      assert.isTrue(fences.every((fence, index) => index === 0 || fence > (fences[index - 1] ?? 0)), fences.join())
    })
  )
}

export const storeFaults = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 26: a store that is down at the claim is a typed error, and nothing runs",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ claim: repeat("lostRequest", 2) })
      const error = yield* Effect.flip(process.run(charge()))
      assert.instanceOf(error, Idempotency.IdempotencyError)
      assert.strictEqual(tagOf(error), "StoreUnavailable")
      // This call ran nothing; an earlier one may have, so the same key is asked again, and no other.
      assert.strictEqual(error.disposition, "Unknown")
      assert.isTrue(error instanceof Idempotency.IdempotencyError && error.repeatable)
      assert.strictEqual(yield* gateway.charges, 0)
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
    })
  )

  test(
    "row 26: a store that hangs at the claim is waited for a lease per try, also where the caller cannot be interrupted",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      for (const caller of [charge(), Effect.uninterruptible(charge())]) {
        process.plan({ claim: repeat("hang", 2) })
        const fiber = yield* begin(word(process.run(caller)))
        yield* advance("59 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* advance("2 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "StoreUnavailable")
      }
      assert.strictEqual(yield* gateway.charges, 0)
      assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
    })
  )

  test(
    "a claim that was answered at the second try has its lease from then on",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.delay("5 seconds")])
      process.plan({ claim: ["hang"] })
      const fiber = yield* begin(word(process.run(charge())))
      yield* advance("36 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
    })
  )

  test(
    "a claim whose answer comes after its own lease is not acted on",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      first.plan({
        claim: () => {
          first.freeze()
          return undefined
        }
      })
      const fiber = yield* begin(word(first.run(charge())))
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      first.plan({})
      first.thaw()
      yield* advance("1 second")
      assert.include(["StoreUnavailable", "test_auth_1"], yield* Fiber.join(fiber))
      assert.lengthOf(yield* gateway.calls, 1)
      assert.strictEqual(yield* word(first.run(charge())), "test_auth_1")
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 27: a claim that was made and whose reply was lost is recognised by the same call",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ claim: ["lostReply"] })
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
      assert.strictEqual((yield* inspect())?.attempt, 1)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 27: and by the next call of the same process, however much later",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      first.plan({ claim: repeat("lostReply", 2) })
      assert.strictEqual(yield* word(first.run(charge({ resolve: undefined }))), "StoreUnavailable")
      assert.strictEqual(yield* word(second.run(charge({ resolve: undefined }))), "InFlight")
      yield* advance("300 seconds")
      assert.strictEqual(yield* word(second.run(charge({ resolve: undefined }))), "OutcomeUnknown")
      assert.strictEqual(yield* word(first.run(charge({ payload: { order: "B", money: usd("1.00") } }))), "KeyConflict")
      assert.strictEqual(yield* word(first.run(charge({ resolve: undefined }))), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 27: another process is told after a lease that nobody knows, and looks it up",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      first.plan({ claim: repeat("hangAfter", 2) })
      const lost = yield* begin(word(first.run(charge())))
      assert.strictEqual(yield* word(second.run(charge())), "InFlight")
      yield* advance("91 seconds")
      assert.strictEqual(yield* Fiber.join(lost), "StoreUnavailable")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      assert.strictEqual(yield* word(first.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 28: a save that fails is tried again while the lease is kept",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ complete: [...repeat("lostRequest", 3), "lostReply", "hang", "lostRequest"] })
      const fiber = yield* begin(word(process.run(charge())))
      yield* advance("20 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
      assert.strictEqual(yield* stateOf(), "Succeeded")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 28: a save that cannot be made within a lease is an unknown outcome, which is looked up and never run again",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      for (const [name, fault] of [["a", "lostRequest"], ["b", "hang"]] as const) {
        const at = { key: Idempotency.Key.make(name) }
        first.plan({ complete: () => fault })
        const fiber = yield* begin(word(first.run(charge(at))))
        yield* advance("25 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* advance("10 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
        assert.strictEqual(yield* stateOf(at.key), "Claimed")
        yield* advance("31 seconds")
        const { id } = yield* second.run(charge(at))
        first.plan({})
        assert.strictEqual((yield* first.run(charge(at))).id, id)
      }
      assert.lengthOf(yield* gateway.calls, 2)
      assert.deepStrictEqual(first.left(), { live: 0, held: 0 })
    })
  )

  test(
    "row 28: a save that was made and whose reply never comes is found out",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ complete: ["hangAfter"] })
      const fiber = yield* begin(word(process.run(charge())))
      yield* advance("12 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 28: an end without a result is not waited for long",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      process.plan({ release: () => "hang", complete: () => "hang" })
      yield* gateway.plan([TestGateway.failBefore, TestGateway.lostReply])
      yield* gateway.planLookups(["stillUnknown"])
      const freed = yield* begin(word(process.run(charge())))
      const lost = yield* begin(word(process.run(charge({ key: Idempotency.Key.make("b") }))))
      yield* advance("3 seconds")
      assert.strictEqual(yield* Fiber.join(freed), "NetworkError")
      assert.strictEqual(yield* Fiber.join(lost), "NetworkError")
    })
  )
}
