import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, type LogLevel, Metric, References, Schema, Tracer } from "effect"
import { AuditLog, Idempotency, Observe, PaymentError, Resilience } from "effect-payments"
import { TestClock } from "effect/testing"

const declined = PaymentError.make(
  new PaymentError.CardDeclined({ code: "CardDeclined", advice: "TryAnotherMethod", nextKey: "new" })
)
const unsent = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
const timedOut = PaymentError.make(new PaymentError.GatewayTimeout({}))

interface Line {
  readonly level: LogLevel.LogLevel
  readonly message: unknown
  readonly annotations: Readonly<Record<string, unknown>>
}

const auditLog = AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer))

const capture = () => {
  const lines: Array<Line> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    lines.push({
      level: logLevel,
      message: Array.isArray(message) ? message[0] : message,
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  return { lines, layer: Logger.layer([logger]) }
}

const lastFor = "1 second"
const calls: ReadonlyArray<readonly [string, Effect.Effect<string, unknown>, AuditLog.Outcome, LogLevel.LogLevel]> = [
  ["a success", Effect.succeed("ok"), "succeeded", "Info"],
  ["a refusal", Effect.fail(declined), "refused", "Info"],
  ["what did not happen", Effect.fail(unsent), "notExecuted", "Warn"],
  ["what may have happened", Effect.fail(timedOut), "unknown", "Warn"],
  ["an error that states nothing", Effect.fail("oops"), "unknown", "Warn"],
  ["a defect", Effect.die(new TypeError("4111111111111111")), "unknown", "Error"],
  ["an interruption", Effect.interrupt, "interrupted", "Warn"],
  [
    "two that did not happen",
    Effect.failCause(Cause.combine(Cause.fail(unsent), Cause.fail(unsent))),
    "notExecuted",
    "Warn"
  ],
  [
    "a refusal among them",
    Effect.failCause(Cause.combine(Cause.fail(unsent), Cause.fail(declined))),
    "refused",
    "Info"
  ],
  [
    "a refusal beside an interruption",
    Effect.failCause(Cause.combine(Cause.fail(declined), Cause.interrupt(1))),
    "unknown",
    "Warn"
  ]
]

/** What a call came to, without the fiber and the span that it ran in. */
const gist = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isSuccess(exit)
    ? exit.value
    : exit.cause.reasons.map((x) => x._tag === "Fail" ? x.error : x._tag === "Die" ? x.defect : "interrupted")

/** Runs the call for a second of the test clock. */
const lasting = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self, { startImmediately: true })
    yield* TestClock.adjust(lastFor)
    return yield* Fiber.await(fiber)
  })

describe("logExecution", () => {
  it.effect.each(calls)("writes one entry and one line for %s", ([, call, outcome, level]) => {
    const { layer, lines } = capture()
    return Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      const logged = Effect.andThen(Effect.sleep(lastFor), call).pipe(
        Observe.logExecution({ name: "charge", args: { cents: 500 }, resource: "order 1", result: (x) => x })
      )
      const exit = yield* lasting(logged)
      assert.deepStrictEqual(gist(exit), gist(yield* Effect.exit(call)))
      const entries = yield* trail.entries
      assert.strictEqual(entries.length, 1)
      assert.deepInclude(entries[0], {
        event: "payment",
        action: "charge",
        resource: "order 1",
        outcome,
        durationMillis: 1000
      })
      assert.strictEqual(lines.length, 1)
      assert.strictEqual(lines[0]?.level, level)
      assert.deepInclude(lines[0]?.annotations, {
        operation: "charge",
        outcome,
        durationMillis: 1000,
        args: { cents: 500 }
      })
      assert.strictEqual(lines[0]?.annotations["result"], outcome === "succeeded" ? "ok" : undefined)
    }).pipe(Effect.provide([auditLog, layer]))
  })

  it.effect("shows a failure by its tags and nothing else", () => {
    const { layer, lines } = capture()
    class Vendor extends Schema.TaggedError<Vendor>()("Vendor", { body: Schema.String }) {}
    return Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      const failures: ReadonlyArray<Effect.Effect<never, unknown>> = [
        Effect.fail(declined),
        Effect.fail(new Vendor({ body: "raw body" })),
        Effect.die(new TypeError("raw body")),
        Effect.fail("raw body"),
        Effect.interrupt
      ]
      yield* Effect.forEach(failures, (x) => Effect.exit(Observe.logExecution(x, { name: "charge" })))
      const errors = (yield* trail.entries).map((x) => x.detail?.["error"])
      assert.deepStrictEqual(errors, [
        "PaymentError/CardDeclined",
        "Vendor",
        "defect TypeError",
        "string",
        "interrupted"
      ])
      assert.deepStrictEqual(lines.map((x) => x.annotations["error"]), errors)
      assert.notInclude(JSON.stringify([lines, yield* trail.entries]), "raw body")
    }).pipe(Effect.provide([auditLog, layer]))
  })

  it.effect("passes arguments and result through redaction", () => {
    const { layer, lines } = capture()
    return Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      yield* Effect.succeed({ id: "tx_1", pan: "4111111111111111" }).pipe(
        Observe.logExecution({
          name: "card 4111111111111111",
          args: ["4111 1111 1111 1111", { cvv: "123", securityCode: 456 }],
          result: (transaction) => transaction
        })
      )
      const written = JSON.stringify([lines, yield* trail.entries])
      assert.notMatch(written, /4111 ?1111/)
      assert.notMatch(written, /"123"|456/)
      assert.include(written, "[PAN ****1111]")
    }).pipe(Effect.provide([auditLog, layer]))
  })

  it.effect("survives a selection that throws", () =>
    Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      const logged = Observe.logExecution(Effect.succeed(1), {
        name: "charge",
        result: () => {
          throw new Error("no")
        }
      })
      assert.strictEqual(yield* logged, 1)
      assert.deepStrictEqual((yield* trail.entries)[0]?.detail, { result: "[unreadable]" })
    }).pipe(Effect.provide([auditLog, capture().layer])))

  it.effect("writes the entry of a call that is cut off from outside", () => {
    const { layer, lines } = capture()
    return Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      const attempt = Effect.never.pipe(
        Observe.logExecution({ name: "charge" }),
        Resilience.timeout(lastFor),
        Idempotency.readOnly
      )
      assert.isTrue(Exit.isFailure(yield* lasting(attempt)))
      const [entry] = yield* trail.entries
      assert.deepInclude(entry, { outcome: "interrupted", durationMillis: 1000 })
      assert.strictEqual(lines.length, 1)
    }).pipe(Effect.provide([auditLog, layer]))
  })

  it.effect("writes an entry for each attempt, innermost", () =>
    Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      let attempts = 0
      const call = Effect.suspend(() => ++attempts < 3 ? Effect.fail(unsent) : Effect.succeed("ok")).pipe(
        Observe.logExecution({ name: "charge" }),
        Resilience.retry({ base: "1 millis" }),
        Idempotency.readOnly
      )
      yield* lasting(call)
      const outcomes = (yield* trail.entries).map((x) => x.outcome)
      assert.deepStrictEqual(outcomes, ["notExecuted", "notExecuted", "succeeded"])
    }).pipe(Effect.provide([auditLog, capture().layer])))

  const lostEntries = Effect.map(
    Metric.snapshot,
    (all) =>
      all.filter((x) => x.id === "effect_payments_audit_lost_total").map((x) =>
        Number((x.state as { count: number }).count)
      )
  )

  it.effect.each(
    [
      ["fails", Effect.fail(new AuditLog.AuditLogError({ reason: new AuditLog.LogUnavailable({ detail: "down" }) }))],
      ["dies", Effect.die("down")],
      ["hangs", Effect.never],
      ["hangs and cannot be interrupted", Effect.uninterruptible(Effect.never)]
    ] as const
  )("leaves the call as it is and is loud when the audit log %s", ([, append]) => {
    const { layer, lines } = capture()
    return Effect.gen(function*() {
      const run = <A, E>(call: Effect.Effect<A, E>) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(
            Observe.logExecution(call, { name: "charge", args: { cents: 500 } }),
            { startImmediately: true }
          )
          yield* TestClock.adjust("5 seconds")
          return yield* Fiber.await(fiber)
        })
      assert.deepStrictEqual(yield* run(Effect.succeed("ok")), Exit.succeed("ok"))
      assert.deepStrictEqual(yield* run(Effect.fail(declined)), Exit.fail(declined))
      assert.deepStrictEqual(lines.map((x) => x.level), ["Error", "Error"])
      assert.deepStrictEqual(lines.map((x) => x.message), [
        "charge: succeeded; the audit entry was not written",
        "charge: refused; the audit entry was not written"
      ])
      assert.deepInclude(lines[0]?.annotations, { operation: "charge", outcome: "succeeded", args: { cents: 500 } })
      assert.deepStrictEqual(yield* lostEntries, [2])
    }).pipe(
      Effect.provideService(AuditLog.AuditLog, { append: () => append }),
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provide(layer)
    )
  })

  it.effect("does not fail the call when a logger throws", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Observe.logExecution(Effect.succeed(1), { name: "charge" }), 1)
      const trail = yield* AuditLog.AuditTrail
      assert.strictEqual((yield* trail.entries).length, 1)
    }).pipe(Effect.provide([
      auditLog,
      Logger.layer([Logger.make(() => {
        throw new Error("disk full")
      })])
    ])))
})

describe("timer", () => {
  const durations = Effect.map(Metric.snapshot, (all) =>
    all.filter((x) => x.id === "charge_duration").map((x) => ({
      attributes: x.attributes,
      ...(x.state as { readonly count: number; readonly sum: number })
    })).map(({ attributes, count, sum }) => ({ attributes, count: Number(count), sum })))

  it.effect.each(calls)("measures %s under its outcome", ([, call, outcome]) =>
    Effect.gen(function*() {
      const timed = Effect.andThen(Effect.sleep(lastFor), call).pipe(
        Observe.timer("charge_duration", { attributes: { gateway: "acme" } })
      )
      assert.deepStrictEqual(gist(yield* lasting(timed)), gist(yield* Effect.exit(call)))
      const [found, ...others] = yield* durations
      assert.deepStrictEqual(others, [])
      assert.deepInclude(found, { count: 1, sum: 1000 })
      assert.deepInclude(found?.attributes, { gateway: "acme", outcome })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("opens a span with the outcome", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return Effect.gen(function*() {
      const metric = Metric.timer("charge_duration")
      yield* Effect.exit(Observe.timer(Effect.fail(declined), metric))
      yield* Observe.timer(Effect.succeed(1), metric, { attributes: { gateway: "acme" } })
      assert.deepStrictEqual(spans.map((x) => x.name), ["charge_duration", "charge_duration"])
      assert.deepStrictEqual(spans.map((x) => Object.fromEntries(x.attributes)), [
        { outcome: "refused" },
        { gateway: "acme", outcome: "succeeded" }
      ])
    }).pipe(Effect.provideService(Tracer.Tracer, tracer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("adds up over calls and outcomes", () =>
    Effect.gen(function*() {
      const timed = (call: Effect.Effect<number, PaymentError.PaymentError>) =>
        Effect.exit(Observe.timer(call, "charge_duration"))
      yield* timed(Effect.succeed(1))
      yield* timed(Effect.succeed(1))
      yield* timed(Effect.fail(declined))
      const counts = (yield* durations).map((x) => [x.attributes?.["outcome"], x.count])
      assert.deepStrictEqual(counts.toSorted(), [["refused", 1], ["succeeded", 2]])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})
