// Evaluations of a payment by 5, 20 and 100 rules, beside json-rules-engine with the same rules as data, and the floor: the
// same rules as plain closures in a loop, each answer of them recorded. And what it costs to count in memory.
import { Effect, ManagedRuntime, Option } from "effect"
import { Fraud, Money, Velocity } from "effect-payments"
import { Engine, type RuleProperties } from "json-rules-engine"
import { measure } from "./measure.ts"
import { atLeast, atMost, makeReport, type Report, type Row } from "./report.ts"

const sizes = [5, 20, 100] as const

// --- payments and rules, the same in each run

const makeRandom = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}
const random = makeRandom(20_261_124)
const pick = <A>(values: readonly [A, ...Array<A>]): A => values[Math.floor(random() * values.length)] ?? values[0]

const payments = Array.from({ length: 1_000 }, (_, i): Fraud.FraudContext => ({
  attempt: `p_${i}`,
  money: Money.fromMinorUnits("USD", BigInt(Math.floor(random() ** 3 * 500_000) + 100)),
  userId: `u_${Math.floor(random() * 200)}`,
  email: `${i}@${pick(["example.com", "mail.example", "throwaway.example"])}`,
  cardCountry: pick(["US", "US", "US", "DE", "FR"]),
  billingCountry: pick(["US", "US", "US", "US", "GB"]),
  isNewUser: random() < 0.2
}))

type Predicate = (context: Fraud.FraudContext) => boolean

/** Rule `i` of five kinds, which hits one payment in ten or so and only adds to the score. */
const predicate = (i: number): Predicate => {
  switch (i % 5) {
    case 0:
      return (context) => context.money.amount.value > BigInt(20_000 + i * 3_000)
    case 1:
      return (context) => context.cardCountry !== context.billingCountry && context.isNewUser === true
    case 2:
      return (context) => context.email?.endsWith("throwaway.example") === true && context.cardCountry === "DE"
    case 3:
      return (context) => context.userId?.endsWith(`${i % 10}`) === true
    default:
      return (context) => context.isNewUser === true && context.money.amount.value > 50_000n
  }
}
const rulesOf = (size: number) => Array.from({ length: size }, (_, i) => ({ name: `rule_${i}`, hits: predicate(i) }))
const score = 3

// --- the floor

interface Recorded {
  readonly rule: string
  readonly version: number
  readonly score: number
  readonly reason: string | undefined
}

const makeFloor = (size: number) => {
  const closures = rulesOf(size).map(({ hits, name }) => (context: Fraud.FraudContext): Recorded =>
    hits(context)
      ? { rule: name, version: 1, score, reason: "hit" }
      : { rule: name, version: 1, score: 0, reason: undefined }
  )
  return (context: Fraud.FraudContext) => {
    const results: Array<Recorded> = []
    let total = 0
    for (const closure of closures) {
      const result = closure(context)
      results.push(result)
      total += result.score
    }
    return { decision: total >= 50 ? "Review" : "Approve", score: total, results }
  }
}

// --- ours

const makeSet = (size: number) =>
  Fraud.makeUnsafe({
    rules: rulesOf(size).map(({ hits, name }) =>
      Fraud.rule({
        name,
        evaluate: (context) => hits(context) ? Option.some({ action: "Score", score, reason: "hit" }) : Option.none()
      })
    )
  })

const evaluateAll = (set: Fraud.RuleSet) =>
  Effect.suspend(() => {
    let total = 0
    let next = 0
    return Effect.whileLoop({
      while: () => next < payments.length,
      body: () => Fraud.evaluate(set, payments[next++]!),
      step: (assessment) => {
        total += assessment.score
      }
    }).pipe(Effect.map(() => total))
  })

// --- json-rules-engine

type Conditions = RuleProperties["conditions"]

/** `predicate(i)` as it is written there. Amounts are numbers of cents: it knows no bigint. */
const conditionsOf = (i: number): Conditions => {
  const isNew = { fact: "isNewUser", operator: "equal", value: true }
  switch (i % 5) {
    case 0:
      return { all: [{ fact: "cents", operator: "greaterThan", value: 20_000 + i * 3_000 }] }
    case 1:
      return { all: [{ fact: "cardCountry", operator: "notEqual", value: { fact: "billingCountry" } }, isNew] }
    case 2:
      return {
        all: [
          { fact: "email", operator: "endsWith", value: "throwaway.example" },
          { fact: "cardCountry", operator: "equal", value: "DE" }
        ]
      }
    case 3:
      return { all: [{ fact: "userId", operator: "endsWith", value: `${i % 10}` }] }
    default:
      return { all: [isNew, { fact: "cents", operator: "greaterThan", value: 50_000 }] }
  }
}

const makeEngine = (size: number) => {
  const engine = new Engine()
  engine.addOperator<string, string>("endsWith", (text, end) => text.endsWith(end))
  for (const [i, { name }] of rulesOf(size).entries()) {
    engine.addRule({ name, conditions: conditionsOf(i), event: { type: name, params: { score } } })
  }
  return async (context: Fraud.FraudContext) => {
    const { events } = await engine.run({ ...context, cents: Number(context.money.amount.value) })
    return events.length * score
  }
}

/** All have to say the same, or the times say nothing. */
const agree = async (size: number): Promise<void> => {
  const [floor, set, engine] = [makeFloor(size), makeSet(size), makeEngine(size)]
  for (const payment of payments) {
    const [theirs, ours] = [floor(payment), Effect.runSync(Fraud.evaluate(set, payment))]
    const isAgreed = theirs.decision === ours.decision && theirs.score === ours.score &&
      await engine(payment) === ours.score
    if (!isAgreed) throw new Error("the contenders disagree")
  }
}

// --- counting

const counting = Fraud.makeUnsafe({
  rules: [
    Fraud.velocity({ name: "user_hourly", key: (context) => context.userId, maxCount: 20 }),
    Fraud.velocity({
      name: "user_money",
      key: (context) => context.userId,
      maxSum: [Money.makeUnsafe("USD", "9000.00")]
    }),
    Fraud.velocity({
      name: "countries",
      key: (context) => context.userId,
      maxDistinct: 3,
      of: (context) => context.cardCountry
    })
  ]
})

export const run = async (): Promise<Report> => {
  for (const size of sizes) await agree(size)
  const runtime = ManagedRuntime.make(Velocity.layerStoreMemory())
  const velocity = await runtime.context()
  let attempt = 0
  const all = <Name extends string>(name: Name, contender: (size: number) => () => unknown) =>
    Object.fromEntries(
      sizes.map((size) => [`${name}, ${size} rules`, { run: contender(size), operations: payments.length }])
    ) as Record<`${Name}, ${(typeof sizes)[number]} rules`, { run: () => unknown; operations: number }>
  const { nanoseconds, ratio } = await measure({
    ...all("closures", (size) => {
      const floor = makeFloor(size)
      return () => payments.reduce((total, payment) => total + floor(payment).score, 0)
    }),
    ...all("evaluate", (size) => {
      const each = evaluateAll(makeSet(size))
      return () => Effect.runSync(each)
    }),
    ...all("evaluate, runSync each", (size) => {
      const set = makeSet(size)
      return () => payments.reduce((total, payment) => total + Effect.runSync(Fraud.evaluate(set, payment)).score, 0)
    }),
    ...all("json-rules-engine", (size) => {
      const engine = makeEngine(size)
      return async () => {
        let total = 0
        for (const payment of payments) total += await engine(payment)
        return total
      }
    }),
    "three velocity rules, memory, 100 attempts each": {
      run: () =>
        payments.reduce((total, payment) => {
          const evaluated = Fraud.evaluate(counting, { ...payment, attempt: `${attempt++}` })
          return total + Effect.runSync(Effect.provide(evaluated, velocity)).score
        }, 0),
      operations: payments.length
    }
  }, { rounds: 9 })
  await runtime.dispose()
  const rows = (Object.keys(nanoseconds) as Array<keyof typeof nanoseconds>).map((name): Row => {
    const size = sizes.find((size) => name.endsWith(` ${size} rules`))
    const row = { name, nanoseconds: nanoseconds[name], perSecond: 1e9 / nanoseconds[name] }
    if (size === undefined || name.startsWith("closures")) return row
    return name.startsWith("json-rules-engine")
      ? { ...row, ratio: ratio(`evaluate, ${size} rules`, name), note: "evaluate to it" }
      : { ...row, ratio: ratio(name, `closures, ${size} rules`), note: "to the closures" }
  })
  return makeReport("fraud", rows, [
    atLeast("20 rules, evaluations a second", 1e9 / nanoseconds["evaluate, 20 rules"], 300_000),
    atLeast("100 rules, evaluations a second", 1e9 / nanoseconds["evaluate, 100 rules"], 100_000),
    atMost("20 rules to the closures", ratio("evaluate, 20 rules", "closures, 20 rules"), 2)
  ])
}
