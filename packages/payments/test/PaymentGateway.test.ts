import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, References } from "effect"
import { Card, Money, PaymentError, PaymentGateway } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import * as Routes from "../src/internal/gateway/routes.ts"
import { makeClaim, underClaim, withClaim } from "./support/claim.ts"

const token = Card.CardToken.make("tok_visa")
const money = Money.makeUnsafe("EUR", "12.50")
const sale = { token, money, capture: true }
const id = (text: string) => PaymentGateway.TransactionId.make(text)
const timeout = PaymentError.make(new PaymentError.GatewayTimeout({}))
const unavailable = PaymentError.make(new PaymentError.GatewayUnavailable({ by: "gateway" }))
const refusal = PaymentError.make(new PaymentError.InvalidRequest({ code: "unknown_transaction" }))
const transaction = (text: string) =>
  new PaymentGateway.Transaction({ id: id(text), kind: "authorize", status: "authorized", money })

const capabilities: PaymentGateway.Capabilities = {
  name: "a",
  deduplicates: "1 hour",
  lookup: true,
  partialCapture: false,
  partialRefund: false
}

/** A gateway that answers each authorization with the next of `answers`, and every look-up with `known`. */
const scripted = (
  options: Partial<PaymentGateway.Capabilities>,
  answers: ReadonlyArray<Effect.Effect<PaymentGateway.Transaction, PaymentError.PaymentError>>,
  known: Effect.Effect<PaymentGateway.Lookup, PaymentError.PaymentError> = Effect.succeed(PaymentGateway.neverHappened)
) => {
  const keys: Array<string> = []
  const next = (_: unknown, key: string) => answers[keys.push(key) - 1] ?? Effect.die("the script has ended")
  return {
    keys,
    gateway: PaymentGateway.make({ ...capabilities, ...options }, {
      authorize: next,
      capture: next,
      void: next,
      refund: next,
      lookup: () => known
    })
  }
}

describe("PaymentGateway.make", () => {
  it.effect("sends the claim's key of the method, and of the phase where one is named", () =>
    Effect.gen(function*() {
      const { gateway, keys } = scripted({}, [
        Effect.succeed(transaction("1")),
        Effect.succeed(transaction("2")),
        Effect.succeed(transaction("3"))
      ])
      yield* Effect.andThen(gateway.authorize(sale), gateway.void({ transactionId: id("1") })).pipe(withClaim("k"))
      yield* gateway.authorize(sale).pipe(withClaim("k", { phase: "second-card" }))
      assert.deepStrictEqual(keys, ["down:k:authorize", "down:k:void", "down:k:second-card/authorize"])
    }))

  it.effect("stamps an Unknown as repeatable while the gateway knows the key, and not after", () =>
    Effect.gen(function*() {
      const { gateway } = scripted({}, [Effect.fail(timeout), Effect.fail(timeout)])
      const claim = makeClaim("k")
      const first = yield* Effect.flip(gateway.authorize(sale)).pipe(underClaim(claim))
      yield* TestClock.adjust("1 hour")
      const second = yield* Effect.flip(gateway.authorize(sale)).pipe(underClaim(claim))
      assert.deepStrictEqual([first.repeatable, second.repeatable], [true, false])
    }))

  it.effect("stamps no Unknown as repeatable at a gateway that does not de-duplicate", () =>
    Effect.gen(function*() {
      const stamped = [
        timeout,
        PaymentError.make(new PaymentError.NetworkError({ sent: true, repeatable: true })),
        PaymentError.make(new PaymentError.GatewayFault({ status: 502, repeatable: true }))
      ]
      for (const error of stamped) {
        const { gateway } = scripted({ deduplicates: false }, [Effect.fail(error)])
        const seen = yield* Effect.flip(gateway.authorize(sale)).pipe(withClaim("k"))
        assert.strictEqual(seen.reason._tag, error.reason._tag)
        assert.isFalse(seen.repeatable)
      }
    }))

  it.effect("keeps the status of a fault, and leaves other failures alone", () =>
    Effect.gen(function*() {
      const fault = PaymentError.make(new PaymentError.GatewayFault({ status: 502 }))
      const { gateway } = scripted({}, [Effect.fail(fault), Effect.fail(unavailable)])
      const seen = yield* Effect.flip(gateway.authorize(sale)).pipe(withClaim("k"))
      assert.deepStrictEqual(seen.reason, new PaymentError.GatewayFault({ status: 502, repeatable: true }))
      assert.strictEqual(yield* Effect.flip(gateway.authorize(sale)).pipe(withClaim("l")), unavailable)
    }))

  it.effect("tells the claim what came of the call", () =>
    Effect.gen(function*() {
      const cases = [
        [Effect.succeed(transaction("1")), true],
        [Effect.fail(refusal), true],
        [Effect.fail(timeout), false],
        [Effect.die("a bug"), false],
        [Effect.interrupt, false],
        [Effect.failCause(Cause.combine(Cause.fail(unavailable), Cause.die("a bug"))), false],
        [Effect.fail(unavailable), undefined]
      ] as const
      for (const [answer, certain] of cases) {
        const claim = makeClaim("k")
        yield* Effect.exit(scripted({}, [answer]).gateway.authorize(sale)).pipe(underClaim(claim))
        assert.strictEqual(claim.certain("authorize"), certain)
      }
    }))

  it.effect("dies before another request leaves in the same phase, and lets the same one leave again", () =>
    Effect.gen(function*() {
      const { gateway, keys } = scripted({}, [Effect.fail(unavailable), Effect.succeed(transaction("1"))])
      const claim = makeClaim("k")
      yield* Effect.flip(gateway.authorize(sale)).pipe(underClaim(claim))
      yield* gateway.authorize(sale).pipe(underClaim(claim))
      const other = yield* Effect.exit(gateway.authorize({ ...sale, money: Money.makeUnsafe("EUR", "13") })).pipe(
        underClaim(claim)
      )
      assert.isTrue(Exit.isFailure(other) && Cause.hasDies(other.cause))
      assert.lengthOf(keys, 2)
    }))

  it.effect("refuses a part where the gateway takes the whole only, before anything leaves", () =>
    Effect.gen(function*() {
      const { gateway, keys } = scripted({}, [Effect.succeed(transaction("1"))])
      const request = { transactionId: id("1"), money }
      const capture = yield* Effect.flip(gateway.capture(request)).pipe(withClaim("k"))
      const refund = yield* Effect.flip(gateway.refund(request)).pipe(withClaim("l"))
      assert.deepStrictEqual(
        [capture.reason, refund.reason],
        ["capture", "refund"].map((name) =>
          new PaymentError.InvalidRequest({ code: `partial_${name}_unsupported`, field: "money" })
        )
      )
      yield* gateway.capture({ transactionId: id("1") }).pipe(withClaim("m"))
      assert.lengthOf(keys, 1)
    }))

  it.effect("answers StillUnknown for a gateway that cannot be asked", () =>
    Effect.gen(function*() {
      const { gateway } = scripted({ lookup: false }, [], Effect.die("asked"))
      assert.deepStrictEqual(yield* gateway.lookup("k"), PaymentGateway.stillUnknown)
    }))
})

describe("PaymentGateway.failover", () => {
  const pair = (
    first: Parameters<typeof scripted>[1],
    second: Parameters<typeof scripted>[1],
    options: {
      readonly first?: Partial<PaymentGateway.Capabilities>
      readonly second?: Partial<PaymentGateway.Capabilities>
    } = {}
  ) => {
    const a = scripted({ name: "a", ...options.first }, first)
    const b = scripted({ name: "b", ...options.second }, second)
    return { a, b, both: PaymentGateway.failover(a.gateway, b.gateway) }
  }
  const ok = (text: string) => Effect.succeed(transaction(text))

  it.effect("stays at the first gateway while it answers", () =>
    Effect.gen(function*() {
      const { b, both } = pair([ok("1")], [])
      assert.strictEqual((yield* both.authorize(sale).pipe(withClaim("k"))).id, "a:1")
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("moves on from NotExecuted, under the same key", () =>
    Effect.gen(function*() {
      const { a, b, both } = pair([Effect.fail(unavailable)], [ok("1")])
      const claim = makeClaim("k")
      assert.strictEqual((yield* both.authorize(sale).pipe(underClaim(claim))).id, "b:1")
      assert.deepStrictEqual(a.keys, b.keys)
      assert.strictEqual(claim.departures(), 2)
      assert.strictEqual(claim.certain("authorize"), true)
    }))

  it.effect.each(
    [
      ["Refused", Effect.fail(refusal)],
      ["Unknown", Effect.fail(timeout)],
      ["a defect", Effect.die("a bug")],
      ["an interruption", Effect.interrupt],
      ["a defect beside NotExecuted", Effect.failCause(Cause.combine(Cause.fail(unavailable), Cause.die("a bug")))]
    ] as const
  )("does not move on from %s", ([, answer]) =>
    Effect.gen(function*() {
      const { b, both } = pair([answer], [ok("1")])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(both.authorize(sale)).pipe(withClaim("k"))))
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("never takes a key that the first may have executed to the second, though the first is down by then", () =>
    Effect.gen(function*() {
      const { b, both } = pair([Effect.fail(timeout), Effect.fail(unavailable), ok("1")], [ok("2")])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "Unknown")
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "NotExecuted")
      assert.strictEqual((yield* attempt).id, "a:1")
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("repeats at the second what the second may have executed", () =>
    Effect.gen(function*() {
      const { a, both } = pair([Effect.fail(unavailable), ok("1")], [Effect.fail(timeout), ok("2")])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "Unknown")
      assert.strictEqual((yield* attempt).id, "b:2")
      assert.lengthOf(a.keys, 1)
    }))

  it.effect("repeats at the second what the second has executed", () =>
    Effect.gen(function*() {
      const { a, both } = pair([Effect.fail(unavailable), ok("1")], [ok("2"), ok("2")])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      assert.deepStrictEqual([(yield* attempt).id, (yield* attempt).id], ["b:2", "b:2"])
      assert.lengthOf(a.keys, 1)
    }))

  it.effect("counts an attempt that was interrupted by a timeout outside as one that may have happened", () =>
    Effect.gen(function*() {
      const { b, both } = pair([Effect.never, Effect.fail(unavailable)], [ok("2")])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      const running = yield* Effect.forkChild(attempt)
      yield* Effect.yieldNow
      yield* Fiber.interrupt(running)
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "NotExecuted")
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("does not move on while another call under the key is out", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const slow = Effect.andThen(Deferred.await(gate), ok("1"))
      const { b, both } = pair([slow, Effect.fail(unavailable)], [ok("2")])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      const running = yield* Effect.forkChild(attempt)
      yield* Effect.yieldNow
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "NotExecuted")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(running)).id, "a:1")
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("starts over at the first when neither did anything", () =>
    Effect.gen(function*() {
      const { both } = pair([Effect.fail(unavailable), ok("1")], [Effect.fail(unavailable)])
      const claim = makeClaim("k")
      const attempt = both.authorize(sale).pipe(underClaim(claim))
      assert.strictEqual((yield* Effect.flip(attempt)).disposition, "NotExecuted")
      assert.strictEqual((yield* attempt).id, "a:1")
    }))

  it.effect("is repeatable only when both de-duplicate", () =>
    Effect.gen(function*() {
      for (const first of ["2 hours", false] as const) {
        for (const second of ["1 hour", false] as const) {
          for (const at of ["a", "b"] as const) {
            const unknown = Effect.fail(timeout)
            const { both } = pair(
              [at === "a" ? unknown : Effect.fail(unavailable)],
              [unknown],
              { first: { deduplicates: first }, second: { deduplicates: second } }
            )
            const error = yield* Effect.flip(both.authorize(sale)).pipe(withClaim("k"))
            assert.strictEqual(error.repeatable, first !== false && second !== false, `${first} ${second} ${at}`)
          }
        }
      }
    }))

  it.effect("sends capture, void and refund to the gateway that made the transaction, and hands its ids back", () =>
    Effect.gen(function*() {
      for (const down of [false, true]) {
        const first = yield* TestGateway.make({ name: "first", plan: down ? [TestGateway.failBefore] : [] })
        const second = yield* TestGateway.make({ name: "second" })
        const both = PaymentGateway.failover(first.gateway, second.gateway)
        const name = down ? "second" : "first"
        const made = yield* both.authorize({ token, money }).pipe(withClaim("1"))
        const taken = yield* both.capture({ transactionId: made.id }).pipe(withClaim("2"))
        const given = yield* both.refund({ transactionId: taken.id }).pipe(withClaim("3"))
        const other = yield* both.authorize({ token, money }).pipe(withClaim("4"))
        yield* both.void({ transactionId: other.id }).pipe(withClaim("5"))
        assert.match(made.id, new RegExp(`^${name}:`))
        assert.strictEqual(taken.parent, made.id)
        assert.strictEqual(given.parent, made.id)
        const kinds = (yield* (down ? second : first).ledger).entries.map(({ transaction }) => transaction.kind)
        assert.deepStrictEqual(kinds.slice(0, 3), ["authorize", "capture", "refund"])
        const found = yield* both.lookup("down:1:authorize")
        assert.deepStrictEqual(found, PaymentGateway.happened(made))
      }
    }))

  it.effect("does not move on from the gateway that made the transaction", () =>
    Effect.gen(function*() {
      const { b, both } = pair([ok("1"), Effect.fail(unavailable)], [ok("2")])
      const made = yield* both.authorize(sale).pipe(withClaim("k"))
      const error = yield* Effect.flip(both.refund({ transactionId: made.id })).pipe(withClaim("l"))
      assert.strictEqual(error.reason, unavailable.reason)
      assert.lengthOf(b.keys, 0)
    }))

  it.effect("keeps names apart that hold the separator", () =>
    Effect.gen(function*() {
      const { both } = pair(
        [ok("b:1"), Effect.succeed(transaction("cap"))],
        [],
        { first: { name: "x" }, second: { name: "x:b" } }
      )
      const made = yield* both.authorize(sale).pipe(withClaim("k"))
      assert.strictEqual(made.id, "x:b:1")
      assert.strictEqual((yield* both.capture({ transactionId: made.id }).pipe(withClaim("l"))).id, "x:cap")
    }))

  it.effect("sends what the second made to the second, though the first's name is the start of its name", () =>
    Effect.gen(function*() {
      const { a, b, both } = pair(
        [Effect.fail(unavailable)],
        [ok("1"), ok("2")],
        { first: { name: "x" }, second: { name: "x:b" } }
      )
      const made = yield* both.authorize(sale).pipe(withClaim("k"))
      yield* both.void({ transactionId: made.id }).pipe(withClaim("l"))
      assert.lengthOf(a.keys, 1)
      assert.lengthOf(b.keys, 2)
    }))

  it.effect("composes: the id tells the way through both levels", () =>
    Effect.gen(function*() {
      const [a, b, c] = yield* Effect.all([
        TestGateway.make({ name: "a", plan: [TestGateway.failBefore] }),
        TestGateway.make({ name: "b", plan: [TestGateway.rateLimit()] }),
        TestGateway.make({ name: "c" })
      ])
      const left = PaymentGateway.failover(PaymentGateway.failover(a.gateway, b.gateway), c.gateway)
      const made = yield* left.authorize({ token, money }).pipe(withClaim("k"))
      assert.match(made.id, /^c:/)
      const again = yield* left.authorize({ token, money }).pipe(withClaim("l"))
      assert.match(again.id, /^a\+b:a:/)
      yield* left.void({ transactionId: again.id }).pipe(withClaim("m"))
      assert.strictEqual((yield* a.ledger).entries.at(-1)?.transaction.kind, "void")
    }))

  it.effect("refuses a transaction that neither made", () =>
    Effect.gen(function*() {
      const { a, b, both } = pair([ok("1")], [ok("2")])
      const error = yield* Effect.flip(both.refund({ transactionId: id("c:1") })).pipe(withClaim("k"))
      assert.deepStrictEqual(
        error.reason,
        new PaymentError.InvalidRequest({ code: "unknown_transaction", field: "transactionId" })
      )
      assert.deepStrictEqual([...a.keys, ...b.keys], [])
    }))

  it.effect("takes an id that does not fit for an answer that cannot be read", () =>
    Effect.gen(function*() {
      const { both } = pair([ok("x".repeat(254))], [])
      const error = yield* Effect.flip(both.authorize(sale)).pipe(withClaim("k"))
      assert.strictEqual(error.disposition, "Unknown")
      assert.isFalse(error.repeatable)
    }))

  it.effect("refuses equal names before anything leaves", () =>
    Effect.gen(function*() {
      const { a, b, both } = pair([ok("1")], [ok("2")], { second: { name: "a" } })
      const error = yield* Effect.flip(both.authorize(sale)).pipe(withClaim("k"))
      assert.deepStrictEqual(
        error.reason,
        new PaymentError.InvalidRequest({ code: "failover_names_equal", field: "name" })
      )
      assert.deepStrictEqual([...a.keys, ...b.keys], [])
    }))

  it("can what both can", () => {
    const { both } = pair([], [], {
      first: { deduplicates: "1 day", partialRefund: true, exponents: { JPY: 2, KWD: 2 } },
      second: { deduplicates: "1 hour", partialCapture: true, partialRefund: true, exponents: { JPY: 2, KWD: 3 } }
    })
    assert.deepStrictEqual(both.capabilities, {
      name: "a+b",
      deduplicates: false,
      lookup: true,
      partialCapture: false,
      partialRefund: true,
      exponents: { JPY: 2 }
    })
    assert.isFalse(pair([], [], { first: { lookup: false } }).both.capabilities.lookup)
  })

  it.effect("lets no other process take NeverHappened for a licence to run at once", () =>
    Effect.gen(function*() {
      const first = yield* TestGateway.make({ name: "first", plan: [TestGateway.failBefore] })
      const second = yield* TestGateway.make({ name: "second", plan: [TestGateway.late("1 minute")] })
      const here = PaymentGateway.failover(first.gateway, second.gateway)
      const there = PaymentGateway.failover(first.gateway, second.gateway)
      const dying = yield* Effect.forkChild(here.authorize(sale).pipe(withClaim("k")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(dying)
      // Both say so, both de-duplicate, and yet a run at the first gateway now would be the second charge.
      assert.strictEqual((yield* there.lookup("down:k:authorize"))._tag, "NeverHappened")
      assert.isFalse(there.capabilities.deduplicates)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* there.lookup("down:k:authorize"))._tag, "Happened")
      assert.strictEqual((yield* first.charges) + (yield* second.charges), 1)
    }))

  it.effect("refuses a part that only one can take", () =>
    Effect.gen(function*() {
      const { both } = pair([ok("1")], [], { first: { partialRefund: true } })
      const error = yield* Effect.flip(both.refund({ transactionId: id("a:1"), money })).pipe(withClaim("k"))
      assert.deepStrictEqual(
        error.reason,
        new PaymentError.InvalidRequest({ code: "partial_refund_unsupported", field: "money" })
      )
    }))

  const declined = PaymentError.make(
    new PaymentError.CardDeclined({ code: "CardDeclined", advice: "TryAnotherMethod", nextKey: "new" })
  )
  const answers = {
    Happened: (name: string) => Effect.succeed(PaymentGateway.happened(transaction(name))),
    Refused: () => Effect.succeed(PaymentGateway.refused(declined)),
    NeverHappened: () => Effect.succeed(PaymentGateway.neverHappened),
    StillUnknown: () => Effect.succeed(PaymentGateway.stillUnknown),
    Failed: () => Effect.fail(timeout)
  }
  type Known = keyof typeof answers
  const truth: Record<Known, Record<Known, PaymentGateway.Lookup["_tag"]>> = {
    Happened: {
      Happened: "Happened",
      Refused: "Happened",
      NeverHappened: "Happened",
      StillUnknown: "Happened",
      Failed: "Happened"
    },
    Refused: {
      Happened: "Happened",
      Refused: "Refused",
      NeverHappened: "Refused",
      StillUnknown: "StillUnknown",
      Failed: "StillUnknown"
    },
    NeverHappened: {
      Happened: "Happened",
      Refused: "Refused",
      NeverHappened: "NeverHappened",
      StillUnknown: "StillUnknown",
      Failed: "StillUnknown"
    },
    StillUnknown: {
      Happened: "Happened",
      Refused: "StillUnknown",
      NeverHappened: "StillUnknown",
      StillUnknown: "StillUnknown",
      Failed: "StillUnknown"
    },
    Failed: {
      Happened: "Happened",
      Refused: "StillUnknown",
      NeverHappened: "StillUnknown",
      StillUnknown: "StillUnknown",
      Failed: "StillUnknown"
    }
  }
  const rows = Object.keys(answers).flatMap((first) =>
    Object.keys(answers).map((second) => [first as Known, second as Known] as const)
  )
  it.effect.each(rows)("lookup: %s and %s", ([first, second]) =>
    Effect.gen(function*() {
      const a = scripted({ name: "a" }, [], answers[first]("1"))
      const b = scripted({ name: "b" }, [], answers[second]("2"))
      const found = yield* PaymentGateway.failover(a.gateway, b.gateway).lookup("k")
      assert.strictEqual(found._tag, truth[first][second])
      if (found._tag === "Happened") assert.strictEqual(found.result.id, first === "Happened" ? "a:1" : "b:2")
      if (found._tag === "Refused") assert.strictEqual(found.error, declined)
    }))

  it.effect("reports a key that both executed, with both transactions", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ fiber, logLevel }) => {
        logged.push([logLevel, fiber.getRef(References.CurrentLogAnnotations)])
      })
      const a = scripted({ name: "a" }, [], answers.Happened("1"))
      const b = scripted({ name: "b" }, [], answers.Happened("2"))
      yield* Effect.provide(PaymentGateway.failover(a.gateway, b.gateway).lookup("k"), Logger.layer([logger]))
      assert.deepStrictEqual(logged, [["Error", { first: "a:1", second: "b:2" }]])
    }))

  it.effect("does not swallow a defect of a look-up", () =>
    Effect.gen(function*() {
      const { gateway } = scripted({ name: "b" }, [], Effect.die("a bug"))
      const exit = yield* Effect.exit(PaymentGateway.failover(scripted({}, []).gateway, gateway).lookup("k"))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))
})

describe("the table of routes", () => {
  it("forgets its oldest key, and keeps claims as old as that at the first gateway", () => {
    const routes = Routes.make(2)
    routes.enter("old", 10)
    routes.leave("old", false)
    for (const key of ["x", "y"]) {
      routes.enter(key, 20)
      routes.leave(key, false)
    }
    // "old" is forgotten: it may have been executed at the first gateway.
    assert.strictEqual(routes.enter("old", 10), "primary")
    assert.isFalse(routes.leave("old", true))
    assert.strictEqual(routes.enter("z", 30), "primary")
    assert.isTrue(routes.leave("z", true))
  })

  it("knows nothing to move on to for a key that was forgotten while its call was out", () => {
    const routes = Routes.make(1)
    routes.enter("a", 1)
    routes.enter("b", 2)
    assert.isFalse(routes.leave("a", true))
  })
})
