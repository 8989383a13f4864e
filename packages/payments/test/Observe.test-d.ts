import { type Duration, type Effect, Metric, type Tracer } from "effect"
import { type AuditLog, Observe } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

declare const call: Effect.Effect<{ readonly id: string }, "no", "database">

describe("logExecution", () => {
  it("adds the audit log to R and nothing to E", () => {
    expectTypeOf(Observe.logExecution(call, { name: "charge" })).toEqualTypeOf<
      Effect.Effect<{ readonly id: string }, "no", "database" | AuditLog.AuditLog>
    >()
    expectTypeOf(call.pipe(Observe.logExecution({ name: "charge" }))).toEqualTypeOf(
      Observe.logExecution(call, { name: "charge" })
    )
  })

  it("can be built before the effect it is for", () => {
    const logged = Observe.logExecution({ name: "charge", args: [1] })
    expectTypeOf(logged(call)).toEqualTypeOf(Observe.logExecution(call, { name: "charge" }))
  })

  it("hands the result to the selection with its type", () => {
    const logged = [
      call.pipe(Observe.logExecution({ name: "charge", result: (tx) => expectTypeOf(tx.id).toEqualTypeOf<string>() })),
      Observe.logExecution(call, { name: "charge", result: (tx) => expectTypeOf(tx.id).toEqualTypeOf<string>() })
    ]
    expectTypeOf(logged).items.toExtend<Effect.Effect<{ readonly id: string }, "no", "database" | AuditLog.AuditLog>>()
  })

  it("takes no event that there is not", () => {
    // @ts-expect-error not one of PCI DSS 10.2.1
    const login: Observe.LogExecutionOptions<unknown> = { name: "charge", event: "login" }
    expectTypeOf(login).toEqualTypeOf<Observe.LogExecutionOptions<unknown>>()
  })
})

describe("timer", () => {
  it("leaves the effect as it is, apart from a parent span", () => {
    const inSpan = call as Effect.Effect<{ readonly id: string }, "no", "database" | Tracer.ParentSpan>
    expectTypeOf(Observe.timer(inSpan, "charge_duration")).toEqualTypeOf<typeof call>()
    expectTypeOf(call.pipe(Observe.timer(Metric.timer("charge_duration")))).toEqualTypeOf<typeof call>()
  })

  it("takes a metric of durations and no other", () => {
    expectTypeOf(Metric.timer("x")).toExtend<Metric.Metric<Duration.Duration, unknown>>()
    // @ts-expect-error counts
    Observe.timer(Metric.counter("calls"))
  })
})
