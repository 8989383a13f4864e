import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  DateTime,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  pipe,
  References,
  Result,
  Schema,
  type Tracer
} from "effect"
import {
  Card,
  Fraud,
  Idempotency,
  IdempotencyStore,
  Money,
  PaymentError,
  PaymentGateway,
  Velocity
} from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"

const usd = (amount: string) => Money.makeUnsafe("USD", amount)
const payment: Fraud.FraudContext = { attempt: "p_1", money: usd("100.00") }

const says = (name: string, verdict: Fraud.Verdict | undefined, options?: Partial<Fraud.RuleOptions>) =>
  Fraud.rule({ name, ...options, evaluate: () => Option.fromUndefinedOr(verdict) })
const passes = (name: string) => says(name, undefined)
const blocks = (name: string, options?: Partial<Fraud.RuleOptions>) =>
  says(name, Fraud.verdict("Block", "bad"), options)

/** A rule that counts how often it was asked. */
const counting = (options: Fraud.RuleOptions) => {
  const state = { asked: 0 }
  const evaluate = () => {
    state.asked++
    return Option.none()
  }
  return [Fraud.rule({ ...options, evaluate }), state] as const
}

const silent = Logger.layer([])
const evaluate = (
  rules: ReadonlyArray<Fraud.Rule>,
  context: Partial<Fraud.FraudContext> = {},
  options: { readonly reviewThreshold?: number } = {}
) =>
  Effect.runSync(
    Fraud.evaluate(Fraud.makeUnsafe({ rules, ...options }), { ...payment, ...context }).pipe(Effect.provide(silent))
  )
const decide = (...args: Parameters<typeof evaluate>) => evaluate(...args).decision
const tags = ({ results }: Fraud.Assessment) => results.map(({ _tag, rule }) => `${rule} ${_tag}`)

describe("evaluate", () => {
  it("approves what no rule objects to", () => {
    const { at, ...assessment } = evaluate([passes("a"), passes("b")])
    assert.isBelow(Math.abs(at - Date.now()), 10_000)
    assert.deepStrictEqual(assessment, {
      decision: "Approve",
      score: 0,
      reviewThreshold: 50,
      ruleSet: "default",
      version: 1,
      results: [
        { _tag: "Passed", rule: "a", version: 1, shadow: false },
        { _tag: "Passed", rule: "b", version: 1, shadow: false }
      ]
    })
  })

  it("stops at the first block, and says what was skipped because of it", () => {
    const [late, state] = counting({ name: "late", version: 3 })
    const assessment = evaluate([says("a", Fraud.verdict("Score", "odd", 7)), blocks("b", { version: 2 }), late])
    assert.strictEqual(assessment.decision, "Block")
    assert.strictEqual(assessment.blockedBy, "b")
    assert.strictEqual(assessment.score, 107)
    assert.deepStrictEqual(assessment.results, [
      { _tag: "Hit", rule: "a", version: 1, shadow: false, verdict: { action: "Score", score: 7, reason: "odd" } },
      { _tag: "Hit", rule: "b", version: 2, shadow: false, verdict: { action: "Block", score: 100, reason: "bad" } },
      { _tag: "Skipped", rule: "late", version: 3, because: "b" }
    ])
    assert.strictEqual(state.asked, 0)
    assert.deepStrictEqual(Fraud.reasons(assessment), ["a: odd", "b: bad"])
  })

  it("puts a block above a challenge above a review above approval", () => {
    const challenge = says("challenge", Fraud.verdict("Challenge", "sca"))
    const review = says("review", Fraud.verdict("Review", "look"))
    assert.strictEqual(decide([review, challenge, blocks("block")]), "Block")
    assert.strictEqual(decide([review, challenge, passes("x")]), "Challenge")
    assert.strictEqual(decide([review, passes("x")]), "Review")
    assert.strictEqual(decide([passes("x")]), "Approve")
  })

  it("reviews from the threshold on, 50 unless said otherwise", () => {
    const scores = (...scores: ReadonlyArray<number>) =>
      scores.map((score, i) => says(`${i}`, Fraud.verdict("Score", "odd", score)))
    assert.strictEqual(decide(scores(30, 19)), "Approve")
    assert.strictEqual(decide(scores(30, 20)), "Review")
    assert.strictEqual(decide(scores(80, -31)), "Approve")
    assert.strictEqual(decide(scores(10), {}, { reviewThreshold: 10 }), "Review")
    assert.strictEqual(decide(scores(10), {}, { reviewThreshold: 11 }), "Approve")
  })

  it("does not ask a payer again who has authenticated for this attempt", () => {
    const challenge = says("challenge", Fraud.verdict("Challenge", "sca"))
    const assessment = evaluate([challenge], { isAuthenticated: true })
    assert.strictEqual(assessment.decision, "Approve")
    assert.deepStrictEqual(tags(assessment), ["challenge Hit"])
    assert.strictEqual(decide([challenge], { isAuthenticated: false }), "Challenge")
    assert.strictEqual(decide([challenge, blocks("b")], { isAuthenticated: true }), "Block")
  })

  it("ends at the first that allows, and lets stand what came before", () => {
    const allow = says("vip", Fraud.verdict("Allow", "known"))
    const assessment = evaluate([allow, blocks("b")])
    assert.strictEqual(assessment.decision, "Approve")
    assert.deepStrictEqual(assessment.results[1], { _tag: "Skipped", rule: "b", version: 1, because: "vip" })
    assert.strictEqual(decide([says("sca", Fraud.verdict("Challenge", "law")), allow, blocks("b")]), "Challenge")
    assert.strictEqual(decide([blocks("b"), allow]), "Block")
  })

  it.effect("tells rules the time, and records it with the names of the set", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const night = Fraud.rule({
        name: "night",
        evaluate: (_, { nowMillis }) => Option.some(Fraud.verdict("Score", `at ${nowMillis}`))
      })
      const rules = Fraud.makeUnsafe({ name: "checkout", version: 7, rules: [night] })
      const assessment = yield* Fraud.evaluate(rules, payment)
      assert.strictEqual(assessment.at, 3_600_000)
      assert.strictEqual(`${assessment.ruleSet}@${assessment.version}`, "checkout@7")
      assert.deepStrictEqual(Fraud.reasons(assessment), ["night: at 3600000"])
    }))

  it("can be piped", () => {
    const rules = Fraud.makeUnsafe({ rules: [blocks("b")] })
    assert.strictEqual(Effect.runSync(pipe(rules, Fraud.evaluate(payment))).decision, "Block")
  })

  it("answers with data that can be stored", () => {
    const rules = [
      says("hit", Fraud.verdict("Challenge", "sca")),
      passes("pass"),
      says("off", undefined, { mode: "off" }),
      Fraud.rule({ name: "dead", evaluate: () => assert.fail("dead") }),
      blocks("block"),
      passes("skipped")
    ]
    const assessment = evaluate(rules)
    const json = JSON.stringify(Schema.encodeSync(Fraud.Assessment)(assessment))
    assert.deepStrictEqual(Schema.decodeUnknownSync(Fraud.Assessment)(JSON.parse(json)), assessment)
    assert.deepStrictEqual(tags(assessment), [
      "hit Hit",
      "pass Passed",
      "off Off",
      "dead Failed",
      "block Hit",
      "skipped Skipped"
    ])
  })
})

describe("modes", () => {
  it("leaves out a rule that is off", () => {
    const [off, state] = counting({ name: "off", mode: "off" })
    assert.deepStrictEqual(tags(evaluate([off])), ["off Off"])
    assert.strictEqual(state.asked, 0)
  })

  it("records a rule in shadow, which neither stops nor scores nor decides", () => {
    for (const action of ["Block", "Challenge", "Review", "Score", "Allow"] as const) {
      const verdict = Fraud.verdict(action, "shadow", 90)
      const assessment = evaluate([says("s", verdict, { mode: "shadow" }), passes("next")])
      assert.strictEqual(assessment.decision, "Approve")
      assert.strictEqual(assessment.score, 0)
      assert.deepStrictEqual(assessment.results, [
        { _tag: "Hit", rule: "s", version: 1, shadow: true, verdict },
        { _tag: "Passed", rule: "next", version: 1, shadow: false }
      ])
      assert.deepStrictEqual(Fraud.reasons(assessment), [])
    }
    assert.deepStrictEqual(evaluate([says("s", undefined, { mode: "shadow" })]).results, [
      { _tag: "Passed", rule: "s", version: 1, shadow: true }
    ])
  })

  it("lets nothing come of a rule that fails in shadow", () => {
    for (const onFailure of ["open", "closed", "review"] as const) {
      const dead = Fraud.rule({ name: "dead", mode: "shadow", onFailure, evaluate: () => assert.fail("dead") })
      const assessment = evaluate([dead])
      assert.strictEqual(assessment.decision, "Approve")
      assert.deepStrictEqual(assessment.results, [
        { _tag: "Failed", rule: "dead", version: 1, shadow: true, failure: "Defect", policy: onFailure }
      ])
    }
  })

  it("asks a flag for each payment, once", () => {
    const asked: Array<string> = []
    const flagged = blocks("flagged", {
      mode: (context) => {
        asked.push(context.attempt)
        return context.userId === "beta" ? "on" : "shadow"
      }
    })
    assert.strictEqual(decide([flagged], { userId: "beta" }), "Block")
    assert.strictEqual(decide([flagged], { userId: "other" }), "Approve")
    assert.strictEqual(asked.length, 2)
  })

  it("takes a flag that fails for a rule that fails", () => {
    const thrown = blocks("a", { mode: () => assert.fail("no flag") })
    const nonsense = blocks("b", { mode: () => "maybe" as "on" })
    const assessment = evaluate([thrown, nonsense])
    assert.strictEqual(assessment.decision, "Review")
    assert.deepStrictEqual(
      assessment.results.map((result) => result._tag === "Failed" && result.failure),
      ["FlagInvalid", "FlagInvalid"]
    )
  })
})

// --- rules that fail

const verdictOf = (value: unknown) => Option.some(value) as Option.Option<Fraud.Verdict>
const hanging = Effect.uninterruptible(Effect.never)

/** Each way to fail, and what it is called. */
const faulty = (onFailure: Fraud.FailurePolicy) => {
  const pure = (name: string, evaluate: () => Option.Option<Fraud.Verdict>) => (rule: string) =>
    [Fraud.rule({ name: rule, onFailure, evaluate }), name] as const
  const effect =
    (name: string, evaluate: () => Effect.Effect<Option.Option<Fraud.Verdict>, unknown>) => (rule: string) =>
      [Fraud.ruleEffect({ name: rule, onFailure, evaluate }), name] as const
  const good = { action: "Block", score: 1, reason: "r" }
  return [
    pure("Defect", () => assert.fail("dead")),
    pure("VerdictInvalid", () => undefined as never),
    pure("VerdictInvalid", () => null as never),
    pure("VerdictInvalid", () => ({ _tag: "Some", value: good }) as never),
    pure("VerdictInvalid", () => verdictOf(null)),
    pure("VerdictInvalid", () => verdictOf({ ...good, action: "Burn" })),
    pure("VerdictInvalid", () => verdictOf({ ...good, score: Number.NaN })),
    pure("VerdictInvalid", () => verdictOf({ ...good, score: 0.5 })),
    pure("VerdictInvalid", () => verdictOf({ ...good, score: 1_001 })),
    pure("VerdictInvalid", () => verdictOf({ ...good, reason: "" })),
    pure("VerdictInvalid", () => verdictOf({ ...good, reason: "r".repeat(256) })),
    pure("VerdictInvalid", () =>
      verdictOf({
        get action() {
          return assert.fail("dead")
        }
      })),
    effect("Defect", () => Effect.die("dead")),
    effect("Defect", () => assert.fail("dead")),
    effect("Error", () => Effect.fail("no")),
    effect("Interrupted", () => Effect.interrupt),
    effect("Timeout", () => Effect.never),
    effect("Timeout", () => hanging),
    effect("Timeout", () => Effect.ensuring(Effect.never, hanging)),
    effect("VerdictInvalid", () => Effect.succeed(verdictOf({ ...good, action: "Burn" })))
  ]
}

/** Lets time pass until the effect has ended. */
const whileTimePasses = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    yield* Effect.forEach(Array.from({ length: 30 }), () => TestClock.adjust("100 millis"))
    return yield* Fiber.join(fiber)
  }).pipe(Effect.provide(silent))

describe("rules that fail", () => {
  for (const [policy, expected] of [["open", "Approve"], ["review", "Review"], ["closed", "Block"]] as const) {
    it.effect(`${policy}: whichever way they fail, the payment is for ${expected}`, () =>
      Effect.gen(function*() {
        for (const make of faulty(policy)) {
          const [rule, failure] = make("faulty")
          const rules = Fraud.makeUnsafe({ rules: [passes("before"), rule, passes("after")] })
          const assessment = yield* whileTimePasses(Fraud.evaluate(rules, payment))
          assert.strictEqual(assessment.decision, expected)
          assert.strictEqual(assessment.score, 0)
          assert.strictEqual(assessment.blockedBy, policy === "closed" ? "faulty" : undefined)
          assert.deepStrictEqual(assessment.results, [
            { _tag: "Passed", rule: "before", version: 1, shadow: false },
            { _tag: "Failed", rule: "faulty", version: 1, shadow: false, failure: failure as Fraud.Failure, policy },
            policy === "closed"
              ? { _tag: "Skipped", rule: "after", version: 1, because: "faulty" }
              : { _tag: "Passed", rule: "after", version: 1, shadow: false }
          ])
        }
      }))
  }

  it("are reviewed unless said otherwise", () => {
    assert.strictEqual(decide([Fraud.rule({ name: "dead", evaluate: () => assert.fail("dead") })]), "Review")
  })

  it.effect("never change what another rule says, whichever of them fail", () =>
    Effect.gen(function*() {
      const verdicts = [
        Fraud.verdict("Score", "one", 11),
        undefined,
        Fraud.verdict("Challenge", "two", 13),
        Fraud.verdict("Score", "three", 17)
      ]
      const kinds = faulty("open")
      for (let subset = 0; subset < 2 ** verdicts.length; subset++) {
        const isFaulty = (i: number) => (subset >> i) % 2 === 1
        const rules = verdicts.map((verdict, i) => {
          const kind = kinds[(subset * 7 + i * 3) % kinds.length]
          return isFaulty(i) && kind !== undefined ? kind(`${i}`)[0] : says(`${i}`, verdict)
        })
        const set = Fraud.makeUnsafe({ rules, budget: "10 seconds" })
        const assessment = yield* whileTimePasses(Fraud.evaluate(set, payment))
        const left = verdicts.map((verdict, i) => isFaulty(i) ? undefined : verdict)
        assert.deepStrictEqual(
          assessment.results.map((result) => result._tag === "Hit" ? result.verdict : undefined),
          left
        )
        assert.deepStrictEqual(
          assessment.results.map(({ _tag }) => _tag === "Failed"),
          verdicts.map((_, i) => isFaulty(i))
        )
        assert.strictEqual(assessment.score, left.reduce((sum, verdict) => sum + (verdict?.score ?? 0), 0))
        assert.strictEqual(assessment.decision, left[2] === undefined ? "Approve" : "Challenge")
      }
    }))

  it.effect("are logged by name, without what they were about", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const dead = Fraud.ruleEffect({ name: "dead", evaluate: (context) => Effect.die(context.email) })
      const context = { ...payment, email: "payer@example.com" }
      yield* Fraud.evaluate(Fraud.makeUnsafe({ rules: [dead] }), context).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(lines, ["a fraud rule failed"])
    }))
})

describe("rules that ask somebody", () => {
  const asks = (name: string, millis: number, options?: { readonly timeout?: number; readonly onEnd?: () => void }) =>
    Fraud.ruleEffect({
      name,
      timeout: options?.timeout,
      onFailure: "open",
      evaluate: () =>
        Effect.sleep(millis).pipe(
          Effect.as(Option.some(Fraud.verdict("Score", "asked", 1))),
          Effect.onInterrupt(() => Effect.sync(() => options?.onEnd?.()))
        )
    })

  it.effect("are waited for, 250 milliseconds unless said otherwise", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const onEnd = () => interrupted++
      const rules = Fraud.makeUnsafe({
        rules: [asks("in_time", 249), asks("late", 251, { onEnd }), asks("patient", 400, { timeout: 401 })],
        budget: "1 minute"
      })
      const assessment = yield* whileTimePasses(Fraud.evaluate(rules, payment))
      assert.deepStrictEqual(tags(assessment), ["in_time Hit", "late Failed", "patient Hit"])
      assert.strictEqual(interrupted, 1)
    }))

  it.effect("get no more time than the budget of the set leaves", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({
        rules: [
          asks("a", 200),
          asks("b", 200),
          asks("c", 200),
          asks("d", 1),
          Fraud.ruleEffect({ name: "at_once", onFailure: "open", evaluate: () => Effect.succeed(Option.none()) }),
          says("pure", Fraud.verdict("Score", "free", 1))
        ],
        budget: "500 millis"
      })
      const fiber = yield* Effect.forkChild(Fraud.evaluate(rules, payment).pipe(Effect.provide(silent)))
      yield* TestClock.adjust("499 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const assessment = yield* Fiber.join(fiber)
      assert.deepStrictEqual(tags(assessment), [
        "a Hit",
        "b Hit",
        "c Failed",
        "d Failed",
        "at_once Failed",
        "pure Hit"
      ])
      assert.isTrue(
        assessment.results.slice(2, 5).every((result) => result._tag === "Failed" && result.failure === "Timeout")
      )
    }))

  it.effect("are interrupted with the evaluation", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const rules = Fraud.makeUnsafe({ rules: [asks("a", 100, { onEnd: () => interrupted++ })] })
      const fiber = yield* Effect.forkChild(Fraud.evaluate(rules, payment))
      yield* TestClock.adjust("10 millis")
      const exit = yield* Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(interrupted, 1)
    }))
})

describe("the decision", () => {
  const Rules = Schema.Array(Schema.Struct({
    mode: Schema.Literals(["on", "shadow", "off"]),
    kind: Schema.Literals(["pure", "effect"]),
    onFailure: Fraud.FailurePolicy,
    outcome: Schema.Literals(["Block", "Challenge", "Review", "Score", "Allow", "Pass", "Fail"]),
    score: Schema.Int.check(Schema.isBetween({ minimum: -60, maximum: 60 }))
  })).check(Schema.isMaxLength(8))

  /** Read from the end of the list: what the rest would do if nothing before it had ended it. */
  const expected = (rules: typeof Rules.Type, threshold: number, isAuthenticated: boolean) => {
    const live = rules.filter(({ mode }) => mode === "on")
    const ends = live.findIndex(({ onFailure, outcome }) =>
      outcome === "Block" || outcome === "Allow" || (outcome === "Fail" && onFailure === "closed")
    )
    const run = ends === -1 ? live : live.slice(0, ends + 1)
    const last = ends === -1 ? undefined : live[ends]
    const score = run.reduce(
      (sum, { outcome, score }) => outcome === "Pass" || outcome === "Fail" ? sum : sum + score,
      0
    )
    const decision = last !== undefined && last.outcome !== "Allow"
      ? "Block"
      : !isAuthenticated && run.some(({ outcome }) => outcome === "Challenge")
      ? "Challenge"
      : score >= threshold ||
          run.some(({ onFailure, outcome }) => outcome === "Review" || (outcome === "Fail" && onFailure === "review"))
      ? "Review"
      : "Approve"
    return { decision, score }
  }

  it.effect.prop(
    "is that of a naive reading of the rules",
    [Rules, Schema.Boolean],
    ([given, isAuthenticated]) =>
      Effect.gen(function*() {
        const rules = given.map(({ kind, mode, onFailure, outcome, score }, i) => {
          const answer = (): Option.Option<Fraud.Verdict> =>
            outcome === "Pass"
              ? Option.none()
              : outcome === "Fail"
              ? assert.fail("dead")
              : Option.some(Fraud.verdict(outcome, "r", score))
          return kind === "pure"
            ? Fraud.rule({ name: `${i}`, mode, onFailure, evaluate: answer })
            : Fraud.ruleEffect({ name: `${i}`, mode, onFailure, evaluate: () => Effect.sync(answer) })
        })
        const set = Fraud.makeUnsafe({ rules })
        const assessment = yield* Fraud.evaluate(set, { ...payment, isAuthenticated }).pipe(Effect.provide(silent))
        const { decision, score } = expected(given, 50, isAuthenticated)
        assert.strictEqual(assessment.decision, decision)
        assert.strictEqual(assessment.score, score)
        assert.strictEqual(assessment.results.length, given.length)
        assert.strictEqual(assessment.blockedBy !== undefined, decision === "Block")
      }),
    { arbitrary: { runs: 300 } }
  )
})

describe("blocklist and allowlist", () => {
  const token = Card.CardToken.make("tok_stolen")

  it("know addresses however they are written", () => {
    const rules = [Fraud.blocklist({ emails: [" Mallory@Example.COM ", "@throwaway.example"] })]
    for (
      const email of [
        "mallory@example.com",
        "MALLORY@EXAMPLE.COM",
        "ｍallory@example.com",
        "x@throwaway.example",
        "x@throwaway.example."
      ]
    ) {
      assert.strictEqual(decide(rules, { email }), "Block", email)
    }
    for (
      const email of ["mallory@example.co", "a.mallory@example.com", "x@sub.throwaway.example", "throwaway.example"]
    ) {
      assert.strictEqual(decide(rules, { email }), "Approve", email)
    }
    assert.strictEqual(decide(rules), "Approve")
  })

  it("know networks and hosts however they are written", () => {
    const rules = [Fraud.blocklist({ ips: ["203.0.113.0/24", "198.51.100.7", "2001:db8::/32", "0:0:0:0:0:0:0:1"] })]
    const blocked = [
      "203.0.113.255",
      " 203.0.113.0",
      "::ffff:203.0.113.9",
      "::FFFF:cb00:7109",
      "198.51.100.7",
      "2001:DB8:1:2:3:4:5:6",
      "2001:db8::",
      "2001:0db8:0000::1%eth0",
      "::1",
      "203.0.113.9:443",
      "[2001:db8::1]",
      "[2001:db8::1]:65535",
      "[2001:db8::1%eth0]:443",
      "[::ffff:203.0.113.9]:443",
      "::ffff:203.0.113.9%3"
    ]
    const passed = ["203.0.112.255", "203.0.114.0:80", "198.51.100.8", "2001:db9::1", "[2001:db9::1]:80", "::2", "::"]
    for (const ip of blocked) assert.strictEqual(decide(rules, { ip }), "Block", ip)
    for (const ip of passed) assert.strictEqual(decide(rules, { ip }), "Approve", ip)
    assert.strictEqual(decide([Fraud.blocklist({ ips: ["0.0.0.0/0"] })], { ip: "8.8.8.8" }), "Block")
    assert.strictEqual(decide([Fraud.blocklist({ ips: ["0.0.0.0/0"] })], { ip: "2001:db8::1" }), "Approve")
    assert.strictEqual(decide([Fraud.blocklist({ ips: ["::/0"] })], { ip: "8.8.8.8" }), "Block")
  })

  it("fail for an address that cannot be read, and let nothing through in silence", () => {
    const rules = [Fraud.blocklist({ ips: ["203.0.113.0/24"], emails: ["mallory@example.com"] })]
    const unreadable = [
      "",
      "no address",
      "unknown",
      "203.0.113.9, 10.0.0.1",
      "203.0.113.9:99999",
      "203.0.113.9:",
      "203.0.113.9%eth0",
      "0203.0.113.9",
      "203.0.113.9/32",
      "203.0.113",
      "3405803785",
      "0xcb.0.0x71.9",
      "[203.0.113.9]:80",
      "[2001:db8::1",
      "2001:db8::1]",
      "[2001:db8::1]80",
      "2001:db8::1%",
      "::ffff:0203.0.113.9",
      "x".repeat(64)
    ]
    for (const ip of unreadable) {
      const { decision, results } = evaluate(rules, { ip })
      assert.strictEqual(decision, "Review", ip)
      assert.deepStrictEqual(results, [
        { _tag: "Failed", rule: "blocklist", version: 1, shadow: false, failure: "AddressInvalid", policy: "review" }
      ])
      assert.strictEqual(evaluate(rules, { ip, email: "mallory@example.com" }).decision, "Block", ip)
      const closed = [Fraud.blocklist({ ips: ["203.0.113.0/24"], onFailure: "closed" })]
      assert.strictEqual(evaluate(closed, { ip }).decision, "Block", ip)
      // A list that names no address asks for none.
      assert.strictEqual(evaluate([Fraud.blocklist({ emails: ["a@b.example"] })], { ip }).decision, "Approve", ip)
      // Nobody is allowed by what cannot be read.
      const allowed = evaluate([Fraud.allowlist({ ips: ["0.0.0.0/0", "::/0"] }), blocks("all")], { ip })
      assert.strictEqual(allowed.decision, "Block", ip)
    }
    assert.strictEqual(decide(rules), "Approve")
  })

  it("refuse what is no address or network", () => {
    const wrong = [
      "203.0.113.0:80",
      "[::1]",
      "010.0.0.1",
      // That would be the first 24 bits of IPv6, and with them all of IPv4.
      "::ffff:203.0.113.0/24",
      "::1%eth0",
      "256.1.1.1",
      "1.2.3",
      "1.2.3.4/33",
      "::1/129",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4::5:6:7:8",
      "12345::",
      "::g",
      "::1.2.3.256",
      "",
      "a".repeat(46)
    ]
    for (const ip of wrong) {
      assert.isTrue(Result.isFailure(Fraud.make({ rules: [Fraud.blocklist({ ips: [ip] })] })), ip)
    }
    assert.isTrue(Result.isFailure(Fraud.make({ rules: [Fraud.blocklist({ emails: ["no address"] })] })))
  })

  it("know tokens, users and devices, and say which kind was found and not what", () => {
    const rules = [Fraud.blocklist({ tokens: [token], userIds: ["u_1"], devices: ["d_1"] })]
    const found = { cardToken: token, userId: "u_1", deviceFingerprint: "d_1" } as const
    const kinds = Object.entries(found).map(([key, value]) => Fraud.reasons(evaluate(rules, { [key]: value })))
    assert.deepStrictEqual(kinds, [
      ["blocklist: the card token is on the blocklist"],
      ["blocklist: the user is on the blocklist"],
      ["blocklist: the device is on the blocklist"]
    ])
    assert.strictEqual(decide(rules, { userId: "u_2", deviceFingerprint: "u_1" }), "Approve")
  })

  it.effect("forget entries when they expire", () =>
    Effect.gen(function*() {
      const expiresAt = DateTime.makeUnsafe(60_000)
      const rules = Fraud.makeUnsafe({
        rules: [Fraud.blocklist({
          emails: [{ value: "a@b.example", expiresAt, note: "chargeback" }],
          ips: [{ value: "192.0.2.1", expiresAt }, { value: "192.0.2.2", expiresAt }, "192.0.2.2"],
          tokens: [{ value: token, expiresAt }]
        })]
      })
      const decisions = Effect.forEach(
        [{ email: "a@b.example" }, { ip: "192.0.2.1" }, { ip: "192.0.2.2" }, { cardToken: token }],
        (payer) => Effect.map(Fraud.evaluate(rules, { ...payment, ...payer }), ({ decision }) => decision)
      )
      yield* TestClock.adjust("59999 millis")
      assert.deepStrictEqual(yield* decisions, ["Block", "Block", "Block", "Block"])
      yield* TestClock.adjust("1 millis")
      // What is given twice holds for as long as the longer one.
      assert.deepStrictEqual(yield* decisions, ["Approve", "Approve", "Block", "Approve"])
    }))

  it("allow ends the evaluation for who is on the list", () => {
    const rules = [Fraud.allowlist({ userIds: ["vip"] }), blocks("all")]
    assert.strictEqual(decide(rules, { userId: "vip" }), "Approve")
    assert.strictEqual(decide(rules, { userId: "other" }), "Block")
  })

  it("answer as they are told", () => {
    const rules = [Fraud.blocklist({ name: "greylist", userIds: ["u"], action: "Score", score: 50 })]
    const assessment = evaluate(rules, { userId: "u" })
    assert.strictEqual(assessment.decision, "Review")
    assert.deepStrictEqual(tags(assessment), ["greylist Hit"])
  })
})

describe("avsCvv", () => {
  const results = ["match", "mismatch", "unchecked", "unavailable"] as const
  const avs = (street: (typeof results)[number], postal: (typeof results)[number]) => ({ avs: { street, postal } })

  it("blocks a security code that does not match, and takes nothing else for a mismatch", () => {
    const rules = [Fraud.avsCvv()]
    assert.deepStrictEqual(results.map((cvv) => decide(rules, { cvv })), ["Approve", "Block", "Approve", "Approve"])
    assert.strictEqual(decide(rules), "Approve")
  })

  it("blocks an address of which nothing matches, scores one of which a part does not", () => {
    const rules = [Fraud.avsCvv()]
    for (const street of results) {
      for (const postal of results) {
        const wrong = [street, postal].filter((result) => result === "mismatch").length
        const { decision, score } = evaluate(rules, avs(street, postal))
        assert.deepStrictEqual([decision, score], wrong === 2 ? ["Block", 100] : ["Approve", wrong * 25])
      }
    }
  })

  it("answers as it is told, the more severe of both with both scores", () => {
    const rules = [Fraud.avsCvv({
      cvvMismatch: { action: "Challenge", score: 10 },
      avsMismatch: { action: "Review", score: 20 },
      avsPartial: "ignore"
    })]
    const both = evaluate(rules, { cvv: "mismatch", ...avs("mismatch", "mismatch") })
    assert.deepStrictEqual([both.decision, both.score], ["Challenge", 30])
    assert.deepStrictEqual(Fraud.reasons(both), [
      "avs_cvv: the security code does not match; the address does not match"
    ])
    assert.strictEqual(decide(rules, avs("mismatch", "mismatch")), "Review")
    assert.deepStrictEqual(tags(evaluate(rules, avs("mismatch", "match"))), ["avs_cvv Passed"])
    const lenient = [Fraud.avsCvv({ cvvMismatch: "ignore", avsMismatch: "ignore" })]
    assert.strictEqual(decide(lenient, { cvv: "mismatch", ...avs("mismatch", "mismatch") }), "Approve")
  })

  it("reads what an authorization found", () => {
    const transaction = new PaymentGateway.Transaction({
      id: PaymentGateway.TransactionId.make("tx"),
      kind: "authorize",
      status: "authorized",
      money: payment.money,
      cvv: "mismatch",
      ...avs("match", "unchecked")
    })
    const context = Fraud.withChecks(payment, transaction)
    assert.deepStrictEqual(context, { ...payment, cvv: "mismatch", ...avs("match", "unchecked") })
    const { avs: _, cvv: __, ...unchecked } = transaction
    assert.deepStrictEqual(Fraud.withChecks(context, new PaymentGateway.Transaction(unchecked)), context)
  })
})

describe("countryMismatch", () => {
  it("asks for a challenge where both are known and differ", () => {
    const rules = [Fraud.countryMismatch()]
    const assessment = evaluate(rules, { cardCountry: "US", billingCountry: "DE" })
    assert.deepStrictEqual([assessment.decision, assessment.score], ["Challenge", 30])
    assert.strictEqual(decide(rules, { cardCountry: "us", billingCountry: "US" }), "Approve")
    assert.strictEqual(decide(rules, { cardCountry: "US" }), "Approve")
    assert.strictEqual(decide(rules, { billingCountry: "US" }), "Approve")
    assert.strictEqual(
      decide([Fraud.countryMismatch({ action: "Score", score: 60 })], { cardCountry: "US", billingCountry: "DE" }),
      "Review"
    )
  })
})

describe("highAmount", () => {
  const rules = [Fraud.highAmount({ thresholds: [usd("2000.00"), Money.makeUnsafe("JPY", "300000")] })]

  it("asks for a challenge above the threshold of the currency", () => {
    assert.strictEqual(decide(rules, { money: usd("2000.00") }), "Approve")
    assert.strictEqual(decide(rules, { money: usd("2000.01") }), "Challenge")
    assert.strictEqual(decide(rules, { money: Money.makeUnsafe("JPY", "300000") }), "Approve")
    assert.strictEqual(decide(rules, { money: Money.makeUnsafe("JPY", "300001") }), "Challenge")
  })

  it("fails where the currency has none", () => {
    const money = Money.makeUnsafe("EUR", "0.01")
    assert.deepStrictEqual(evaluate(rules, { money }).results, [
      {
        _tag: "Failed",
        rule: "high_amount",
        version: 1,
        shadow: false,
        failure: "CurrencyUnknown",
        policy: "review"
      }
    ])
    const open = [Fraud.highAmount({ thresholds: [usd("1.00")], onFailure: "open" })]
    assert.strictEqual(decide(open, { money }), "Approve")
  })
})

describe("velocity", () => {
  const userHourly = Fraud.velocity({ name: "user_hourly", key: (context) => context.userId })
  const attempt = (attempt: string, context?: Partial<Fraud.FraudContext>): Fraud.FraudContext => ({
    ...payment,
    attempt,
    userId: "u_42",
    ...context
  })
  const decisions = <R>(rules: Fraud.RuleSet<R>, contexts: ReadonlyArray<Fraud.FraudContext>) =>
    Effect.forEach(contexts, (context) => Effect.map(Fraud.evaluate(rules, context), ({ decision }) => decision)).pipe(
      Effect.provide(silent)
    )
  const onMemory = Effect.provide(Velocity.layerStoreMemory())
  const numbers = (n: number) => Array.from({ length: n }, (_, i) => `${i}`)

  it.effect("blocks the sixth attempt of an hour, and counts a retry once", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({ rules: [userHourly] })
      const attempts = [...numbers(5), "4", "0", "5"].map((n) => attempt(n))
      assert.deepStrictEqual(yield* decisions(rules, attempts), [
        ...Array.from({ length: 7 }, () => "Approve"),
        "Block"
      ])
      assert.deepStrictEqual(yield* decisions(rules, [attempt("9", { userId: "u_43" })]), ["Approve"])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* decisions(rules, [attempt("10")]), ["Approve"])
    }).pipe(onMemory))

  it.effect("lets attempts that come at once see each other", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({ rules: [userHourly] })
      const all = yield* Effect.forEach(
        numbers(12),
        (n) => Effect.map(Fraud.evaluate(rules, attempt(n)), ({ decision }) => decision),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(all.filter((decision) => decision === "Approve").length, 5)
    }).pipe(onMemory))

  it.effect("adds up money for each currency, and fails for one that has no limit", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({
        rules: [Fraud.velocity({
          name: "user_daily_money",
          key: (context) => context.userId,
          window: "1 day",
          maxSum: [usd("500.00"), Money.makeUnsafe("EUR", "100.00")]
        })]
      })
      const pay = (n: string, money: Money.Money) => attempt(n, { money })
      assert.deepStrictEqual(
        yield* decisions(rules, [
          pay("1", usd("300.00")),
          pay("2", usd("200.00")),
          pay("3", Money.makeUnsafe("EUR", "100.00")),
          pay("4", usd("0.01")),
          pay("5", Money.makeUnsafe("EUR", "0.01")),
          pay("6", Money.makeUnsafe("GBP", "1.00"))
        ]),
        ["Approve", "Approve", "Approve", "Block", "Block", "Review"]
      )
    }).pipe(onMemory))

  it.effect("counts apart what rules of other names count", () =>
    Effect.gen(function*() {
      const key = (context: Fraud.FraudContext) => context.userId
      const names = ["x", "x USD", "x USD!", "x USD USD"]
      const sums = names.map((name) => Fraud.velocity({ name, key, maxSum: [usd("1000.00")] }))
      const counted = names.map((name) => Fraud.velocity({ name, key, maxCount: 50 }))
      const calls: Array<ReadonlyArray<Velocity.Observation>> = []
      yield* Effect.forEach(
        [sums, counted],
        (rules) => Fraud.evaluate(Fraud.makeUnsafe({ rules }), attempt("1"))
      ).pipe(Effect.provide(storeOf(calls, counts(1))))
      const series = calls.flat().map(({ series }) => series)
      assert.strictEqual(new Set(series).size, 8, series.join(", "))
      // What support forgets a counter by.
      assert.deepStrictEqual([series[0], series[4]], ["x USD", "x"])
    }))

  it.effect("counts different values", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({
        rules: [Fraud.velocity({
          name: "cards_of_device",
          key: (context) => context.deviceFingerprint,
          maxDistinct: 2,
          of: (context) => context.cardToken,
          action: "Challenge"
        })]
      })
      const card = (n: string, token?: string) =>
        attempt(n, {
          deviceFingerprint: "d",
          cardToken: token === undefined ? undefined : Card.CardToken.make(token)
        })
      assert.deepStrictEqual(
        yield* decisions(rules, [card("1", "a"), card("2", "b"), card("3", "a"), card("4"), card("5", "c")]),
        ["Approve", "Approve", "Approve", "Approve", "Challenge"]
      )
    }).pipe(onMemory))

  it.effect("hits where there are more attempts than are kept", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({
        rules: [Fraud.velocity({ name: "v", key: (c) => c.userId, maxSum: [usd("1000000.00")], eventsMax: 3 })]
      })
      const all = yield* decisions(rules, numbers(4).map((n) => attempt(n)))
      assert.deepStrictEqual(all, ["Approve", "Approve", "Approve", "Block"])
      const assessment = yield* Fraud.evaluate(rules, attempt("9"))
      assert.deepStrictEqual(Fraud.reasons(assessment), ["v: more than 3 attempts in the window of v"])
    }).pipe(onMemory))

  /** A store that notes its calls and answers as it is told. */
  const storeOf = (calls: Array<ReadonlyArray<Velocity.Observation>>, answer: Velocity.Velocity["Service"]["record"]) =>
    Layer.succeed(Velocity.Velocity, {
      record: (observations) => {
        calls.push(observations)
        return answer(observations)
      },
      measure: () => Effect.die("not asked"),
      forget: () => Effect.die("not asked")
    })
  const counts = (count: number): Velocity.Velocity["Service"]["record"] => (observations) =>
    Effect.succeed(observations.map(() => ({ count, sum: 0n, distinct: 0, isLowerBound: false })))

  const many = [
    blocks("early", { mode: (context) => context.email === "early" ? "on" : "off" }),
    Fraud.velocity({ name: "a", key: (context) => context.userId }),
    blocks("middle", { mode: (context) => context.email === "middle" ? "on" : "off" }),
    Fraud.velocity({ name: "b", key: (context) => context.ip }),
    Fraud.velocity({ name: "c", key: (context) => context.deviceFingerprint, mode: "off" }),
    Fraud.velocity({ name: "d", key: (context) => context.userId, mode: "shadow", maxCount: 0 })
  ]

  it.effect("asks the store once for all rules of a set, when the first has its turn", () =>
    Effect.gen(function*() {
      const calls: Array<ReadonlyArray<Velocity.Observation>> = []
      const rules = Fraud.makeUnsafe({ rules: many })
      const run = (email: string) =>
        Fraud.evaluate(rules, attempt("1", { email, deviceFingerprint: "d" })).pipe(
          Effect.provide(storeOf(calls, counts(1)))
        )
      assert.deepStrictEqual(tags(yield* run("x")), [
        "early Off",
        "a Passed",
        "middle Off",
        "b Passed",
        "c Off",
        "d Hit"
      ])
      assert.deepStrictEqual(calls.map((call) => call.map(({ series }) => series)), [["a", "d"]])
      assert.strictEqual((yield* run("early")).blockedBy, "early")
      assert.strictEqual(calls.length, 1)
      assert.strictEqual((yield* run("middle")).blockedBy, "middle")
      assert.strictEqual(calls.length, 2)
    }))

  it.effect("splits what is too much for one call", () =>
    Effect.gen(function*() {
      const calls: Array<ReadonlyArray<Velocity.Observation>> = []
      const rules = Fraud.makeUnsafe({
        rules: numbers(150).map((name) => Fraud.velocity({ name, key: (context) => context.userId }))
      })
      const { decision } = yield* Fraud.evaluate(rules, attempt("1")).pipe(Effect.provide(storeOf(calls, counts(1))))
      assert.strictEqual(decision, "Approve")
      assert.deepStrictEqual(calls.map(({ length }) => length), [100, 50])
    }))

  const down = (observations: ReadonlyArray<Velocity.Observation>) =>
    Effect.fail(
      new Velocity.VelocityError({
        reason: new Velocity.VelocityUnavailable({ operation: "record", detail: `${observations.length}` })
      })
    )

  it.effect("leaves it to each rule what becomes of a payment when the store fails", () =>
    Effect.gen(function*() {
      const answers = [
        [down, "Error"],
        [() => Effect.die("dead"), "Defect"],
        [() => Effect.never, "Timeout"],
        [() => hanging, "Timeout"],
        [() => Effect.succeed([]), "Error"]
      ] as const
      for (const [answer, failure] of answers) {
        for (const [onFailure, expected] of [["open", "Approve"], ["review", "Review"], ["closed", "Block"]] as const) {
          const rules = Fraud.makeUnsafe({
            rules: [Fraud.velocity({ name: "v", key: (context) => context.userId, onFailure }), passes("other")]
          })
          const { decision, results } = yield* whileTimePasses(
            Fraud.evaluate(rules, attempt("1")).pipe(Effect.provide(storeOf([], answer)))
          )
          assert.strictEqual(decision, expected)
          assert.strictEqual(results[0]?._tag === "Failed" ? results[0].failure : "", failure)
        }
      }
    }))

  it.effect("lets a rule that cannot count leave the others alone", () =>
    Effect.gen(function*() {
      const rules = Fraud.makeUnsafe({
        rules: [
          Fraud.velocity({ name: "long_key", key: () => "k".repeat(256) }),
          Fraud.velocity({ name: "dead_key", key: () => assert.fail("dead") }),
          Fraud.velocity({ name: "good", key: (context) => context.userId, maxCount: 0 }),
          Fraud.velocity({ name: "no_key", key: () => undefined, maxCount: 0 })
        ]
      })
      const assessment = yield* Fraud.evaluate(rules, attempt("1")).pipe(Effect.provide(silent))
      assert.deepStrictEqual(tags(assessment), ["long_key Failed", "dead_key Failed", "good Hit", "no_key Skipped"])
    }).pipe(onMemory))

  it.effect("leaves no call behind when the evaluation ends", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const slow = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const rules = Fraud.makeUnsafe({ rules: [userHourly] })
      yield* whileTimePasses(Fraud.evaluate(rules, attempt("1")).pipe(Effect.provide(storeOf([], slow))))
      assert.strictEqual(interrupted, 1)
    }))
})

describe("make", () => {
  const faultsOf = (rules: ReadonlyArray<Fraud.Rule<any>>, options?: object) => {
    const made = Fraud.make({ rules, ...options })
    return Result.isSuccess(made) ? [] : made.failure.reason.faults.map(({ option, rule }) => `${rule} ${option}`)
  }
  const key = (context: Fraud.FraudContext) => context.userId

  it("refuses options that are out of bounds, all of them at once", () => {
    assert.deepStrictEqual(
      faultsOf([passes("ok"), passes(""), passes(" x"), passes("é"), passes("n".repeat(65))]),
      [" name", " x name", "é name", `${"n".repeat(64)} name`]
    )
    for (const version of [0, 1.5, 1_000_001]) {
      assert.deepStrictEqual(faultsOf([says("x", undefined, { version })], { version }), [
        "the set version",
        "x version"
      ])
    }
    assert.deepStrictEqual(faultsOf([], { name: "", reviewThreshold: 0, budget: "0 millis" }), [
      "the set name",
      "the set reviewThreshold",
      "the set budget"
    ])
    assert.deepStrictEqual(faultsOf([], { reviewThreshold: Number.NaN, budget: "2 minutes" }), [
      "the set reviewThreshold",
      "the set budget"
    ])
    assert.deepStrictEqual(faultsOf(Array.from({ length: 1_001 }, (_, i) => passes(`${i}`))), ["the set rules"])
    assert.deepStrictEqual(faultsOf([passes("x"), passes("y"), passes("x")]), ["x name"])
    const evaluate = () => Effect.succeed(Option.none())
    assert.deepStrictEqual(faultsOf([Fraud.ruleEffect({ name: "x", timeout: "61 seconds", evaluate })]), ["x timeout"])
  })

  it("refuses built-in rules that make no sense", () => {
    const wrong: ReadonlyArray<readonly [Fraud.Rule<any>, string]> = [
      [Fraud.highAmount({ thresholds: [] }), "high_amount thresholds"],
      [Fraud.highAmount({ thresholds: [usd("1.00"), usd("2.00")] }), "high_amount thresholds"],
      [Fraud.highAmount({ thresholds: [usd("-1.00")] }), "high_amount thresholds"],
      [Fraud.highAmount({ thresholds: [usd("1.00")], score: 1_001 }), "high_amount score"],
      [Fraud.countryMismatch({ score: 0.5 }), "country_mismatch score"],
      [Fraud.avsCvv({ avsPartial: { action: "Score", score: -1_001 } }), "avs_cvv score"],
      [Fraud.blocklist({ score: Number.NaN }), "blocklist score"],
      [Fraud.velocity({ name: "v", key, maxCount: -1 }), "v maxCount"],
      [Fraud.velocity({ name: "v", key, maxCount: 1_000 }), "v eventsMax"],
      [Fraud.velocity({ name: "v", key, maxCount: 5, eventsMax: 5 }), "v maxCount"],
      [Fraud.velocity({ name: "v", key, maxDistinct: 1.5, of: key }), "v maxDistinct"],
      [Fraud.velocity({ name: "v", key, maxSum: [] }), "v maxSum"],
      [Fraud.velocity({ name: "v", key, window: "1 millis" }), "v window"],
      [Fraud.velocity({ name: "v", key, timeout: 0 }), "v timeout"]
    ]
    for (const [rule, fault] of wrong) assert.deepStrictEqual(faultsOf([rule]), [fault])
    assert.deepStrictEqual(faultsOf([Fraud.velocity({ name: "v", key, maxCount: 999 })]), [])
    const many = Array.from({ length: 1_000_001 }, (_, i) => `${i}`)
    assert.deepStrictEqual(faultsOf([Fraud.blocklist({ userIds: many })]), ["blocklist lists"])
  })

  it("throws where it is told to", () => {
    assert.throws(() => Fraud.makeUnsafe({ rules: [passes("")] }), / name must be 1 to 64 printable/)
    const error = Result.getOrThrow(Result.flip(Fraud.make({ rules: [passes("")] })))
    assert.strictEqual(error.disposition, "NotExecuted")
  })
})

describe("screen", () => {
  const rules = Fraud.makeUnsafe({
    name: "checkout",
    version: 2,
    rules: [
      Fraud.blocklist({ emails: ["mallory@example.com"] }),
      Fraud.countryMismatch(),
      says("odd", Fraud.verdict("Score", "odd", 60), { mode: (context) => context.isNewUser === true ? "on" : "off" })
    ]
  })
  const challenge = () => Effect.succeed({ id: "3ds_1", url: "https://bank.example/3ds" })
  const blocked = { ...payment, email: "mallory@example.com" }
  const abroad = { ...payment, cardCountry: "US", billingCountry: "DE" }
  const odd = { ...payment, isNewUser: true }

  const charge = Effect.gen(function*() {
    const gateway = yield* PaymentGateway.PaymentGateway
    return yield* gateway.authorize({ token: Card.CardToken.make("tok_ok"), money: payment.money, capture: true })
  })
  const pay = (context: Fraud.FraudContext, key = "key-1") =>
    charge.pipe(
      Fraud.screen({ rules, context, challenge }),
      Idempotency.idempotent({
        scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
        key: Idempotency.Key.make(key),
        payload: { attempt: context.attempt },
        payloadSchema: Schema.Struct({ attempt: Schema.String }),
        success: PaymentGateway.Transaction,
        error: PaymentError.PaymentError
      }),
      Idempotency.operation("charge")
    )
  const layer = Idempotency.layer().pipe(
    Layer.provideMerge(IdempotencyStore.layerStoreMemory()),
    Layer.provide(NodeCrypto.layer),
    Layer.provideMerge(TestGateway.layer())
  )
  const asked = Effect.gen(function*() {
    const { calls } = yield* TestGateway.TestGateway
    return (yield* calls).length
  })

  it.effect("stops a blocked payment before any gateway is asked, and says so again under the same key", () =>
    Effect.gen(function*() {
      const first = yield* Effect.flip(pay(blocked))
      const again = yield* Effect.flip(pay(blocked))
      for (const error of [first, again]) {
        assert.deepStrictEqual(error, PaymentError.make(new PaymentError.FraudBlocked({ rule: "blocklist" })))
      }
      assert.strictEqual(yield* asked, 0)
      assert.notInclude(first.message, "blocklist")
    }).pipe(Effect.provide(layer)))

  it.effect("asks for a challenge, and pays under a new key once it is passed", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(pay(abroad))
      assert.deepStrictEqual(
        error,
        PaymentError.make(new PaymentError.AuthenticationRequired({ challenge: yield* challenge() }))
      )
      assert.strictEqual(yield* asked, 0)
      const transaction = yield* pay({ ...abroad, isAuthenticated: true }, "key-2")
      assert.strictEqual(transaction.status, "captured")
      assert.strictEqual(yield* asked, 1)
    }).pipe(Effect.provide(layer)))

  it.effect("lets a payment pass for review, and answers a replay without a second look", () =>
    Effect.gen(function*() {
      const transaction = yield* pay(odd)
      assert.strictEqual(transaction.status, "captured")
      assert.strictEqual((yield* pay({ ...odd, email: "mallory@example.com" })).id, transaction.id)
      assert.strictEqual(yield* asked, 1)
    }).pipe(Effect.provide(layer)))

  const run = (context: Fraud.FraudContext, told: Array<Fraud.Assessment> = []) =>
    Effect.map(Fraud.screened, Option.map(({ decision }) => decision)).pipe(
      Fraud.screen({
        rules,
        context,
        challenge,
        onAssessment: (assessment) => Effect.sync(() => told.push(assessment))
      })
    )

  it.effect("tells every decision before it takes effect, and the effect the one it runs under", () =>
    Effect.gen(function*() {
      const told: Array<Fraud.Assessment> = []
      assert.deepStrictEqual(yield* run(payment, told), Option.some("Approve"))
      assert.deepStrictEqual(yield* run(odd, told), Option.some("Review"))
      yield* Effect.flip(run(abroad, told))
      yield* Effect.flip(run(blocked, told))
      assert.deepStrictEqual(told.map(({ decision }) => decision), ["Approve", "Review", "Challenge", "Block"])
      assert.deepStrictEqual(yield* Fraud.screened, Option.none())
    }))

  it.effect("pays nothing when the decision cannot be kept, and asks for no challenge then", () =>
    Effect.gen(function*() {
      let paid = 0
      const effect = Effect.sync(() => paid++)
      for (const context of [payment, odd, abroad, blocked]) {
        const error = yield* effect.pipe(
          Fraud.screen({
            rules,
            context,
            challenge: () => Effect.die("asked"),
            onAssessment: () => Effect.fail("not kept" as const)
          }),
          Effect.flip
        )
        assert.strictEqual(error, "not kept")
      }
      assert.strictEqual(paid, 0)
    }))

  it.effect("fails as the challenge fails", () =>
    Effect.gen(function*() {
      const options = { rules, context: abroad, challenge: () => Effect.fail("no challenge" as const) }
      assert.strictEqual(yield* Effect.flip(Fraud.screen(Effect.succeed(1), options)), "no challenge")
      assert.strictEqual(yield* Fraud.screen(Effect.succeed(1), { ...options, context: payment }), 1)
    }))

  it.effect("leaves the decision on the span and on log lines, and nothing about the payer", () =>
    Effect.gen(function*() {
      const lines: Array<readonly [string, unknown]> = []
      const logger = Logger.make(({ fiber, message }) => {
        lines.push([String(message), fiber.getRef(References.CurrentLogAnnotations)])
      })
      const spans: Array<Tracer.Span> = []
      yield* run({ ...odd, email: "payer@example.com" }).pipe(
        Effect.tap(Effect.flatMap(Effect.currentSpan, (span) => Effect.sync(() => spans.push(span)))),
        Effect.withSpan("charge"),
        Effect.provide(Logger.layer([logger]))
      )
      const attributes = Object.fromEntries(spans[0]?.attributes ?? [])
      assert.deepStrictEqual(attributes, {
        "fraud.decision": "Review",
        "fraud.score": 60,
        "fraud.rule_set": "checkout@2"
      })
      assert.deepStrictEqual(lines, [["a payment passes for review", attributes]])
    }))
})
