/** What `Saga.diff` says of two definitions is what the engine does with runs that the first has begun. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { Saga, SagaLog, SagaOperator } from "effect-payments"
import { Digest } from "../../src/internal/effect/crypto.ts"
import { compile, differenceOf } from "../../src/internal/saga/compile.ts"
import type { Untyped } from "../../src/internal/saga/step.ts"
import { Refusal, sagas, Shop, ShopError, shopLayer } from "./checkout.ts"

const success = { text: Schema.String, number: Schema.Finite } as const

interface Shape {
  readonly name: string
  readonly payload: "text" | "number"
  readonly steps: ReadonlyArray<{
    readonly name: string
    readonly success: "text" | "number"
    readonly fails: boolean
    readonly beside: boolean
  }>
}

const Text = Schema.Literals(["text", "text", "number"])
const Shapes = Schema.Struct({
  name: Schema.Literals(["saga", "saga", "saga", "other"]),
  payload: Text,
  steps: Schema.Array(Schema.Struct({
    name: Schema.Literals(["a", "b", "c"]),
    success: Text,
    fails: Schema.Boolean,
    beside: Schema.Literals([false, false, true])
  })).check(Schema.isMinLength(1), Schema.isMaxLength(4))
})

const sagaOf = ({ name, payload, steps }: Shape): Untyped => {
  const parts = steps.map((step, index) => {
    const options = {
      success: success[step.success],
      error: step.fails ? ShopError : Refusal,
      verify: "rerun",
      run: () => Effect.succeed(step.success === "text" ? "x" : 1),
      compensate: () => Effect.void
    } as never
    const unique = `${step.name}${steps.slice(0, index).filter((other) => other.name === step.name).length}`
    return step.beside
      ? Saga.parallel({ [unique]: Saga.branch(options) } as never)
      : Saga.step(unique, options)
  })
  const begin: unknown = Saga.make(name, { payload: success[payload] as never })
  return parts.reduce((saga, part) => (part as (self: unknown) => unknown)(saga), begin) as Untyped
}

describe("the difference of two definitions", () => {
  it.effect.prop(
    "parks the runs that the engine parks, and no other",
    [Shapes, Shapes],
    ([one, two]) =>
      Effect.gen(function*() {
        const [before, after] = [sagaOf(one), sagaOf(two)]
        const digest = yield* Digest.Digest
        const old = yield* compile(before, digest)
        const next = yield* compile(after, digest)
        const difference = Saga.diff(before, after)
        if (one.name !== two.name) return assert.strictEqual(difference._tag, "Incompatible")
        for (let started = 1; started <= before.steps.length; started++) {
          const names = before.steps.slice(0, started).map(({ name }) => name)
          const events = names.map((step) => ({ _tag: "Intended" as const, step }))
          const isParked = differenceOf(next, old.definition, events) !== undefined
          const isSaid = difference._tag === "Incompatible" ||
            (difference._tag === "Compatible" && difference.from !== undefined && names.includes(difference.from))
          assert.strictEqual(isSaid, isParked, JSON.stringify({ difference, started }))
        }
        assert.strictEqual(
          difference._tag === "Same",
          JSON.stringify(old.definition) === JSON.stringify(next.definition)
        )
      }).pipe(Effect.provide(NodeCrypto.layer))
  )

  it("names what differs", () => {
    const of = (names: ReadonlyArray<string>, number?: string) =>
      sagaOf({
        name: "saga",
        payload: "text",
        steps: names.map((name) => ({ name, success: name === number ? "number" : "text", fails: true, beside: false }))
      })
    assert.deepStrictEqual(Saga.diff(of(["a", "b"]), of(["a", "b"], "b")), {
      _tag: "Compatible",
      from: "b0",
      changes: [{ place: 2, before: "b0", after: "b0", what: "success" }]
    })
    assert.deepStrictEqual(Saga.diff(of(["a"]), of(["a", "b"])), {
      _tag: "Compatible",
      from: undefined,
      changes: [{ place: 2, before: undefined, after: "b0", what: "added" }]
    })
    assert.deepStrictEqual(Saga.diff(of(["a"]), of(["c"])), {
      _tag: "Incompatible",
      changes: [{ place: 1, before: "a0", after: "c0", what: "name" }]
    })
  })
})

describe("the timeline of a run", () => {
  it.effect("shows what left, what came of it, who went on and who decided", () =>
    Effect.gen(function*() {
      const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
      const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const
      const traced = Saga.make("traced", { payload: Schema.String }).pipe(
        Saga.step("a;<b>", { ...base, run: () => Effect.as(call("a"), "a"), compensate: () => call("undo a") }),
        Saga.pivot("p", { ...base, run: () => Effect.as(call("p"), "p") })
      )
      const { plan } = yield* Shop
      plan.set("p", Effect.fail(new Refusal({ why: "no" })))
      plan.set("undo a", Effect.fail(new Refusal({ why: "no" })))
      yield* Saga.execute(traced, "x", { id: "1" })
      const target = { saga: "traced", id: "1" }
      yield* SagaOperator.skip({ ...target, step: "a;<b>", by: "ann", reason: "paid: by hand" })
      const drawn = Saga.timeline(yield* SagaOperator.history(target))
      const lines = drawn.replace(/run \d{4}.*/g, "run AT").split("\n").map((line) => line.trim())
      assert.deepStrictEqual(lines, [
        "sequenceDiagram",
        "participant run as traced 1",
        "participant s0 as a#59;#60;b#62;",
        "participant s1 as p",
        "run->>s0: run AT",
        "s0-->>run: done",
        "run->>s1: run AT",
        "s1--xrun: failed#44; Refusal",
        "s0--xrun: undo failed#44; Refusal",
        "Note over run: another process goes on",
        "s0-->>run: undo skipped by ann#44; paid#58; by hand",
        "Note over run: Compensated"
      ])
    }).pipe(Effect.provide(
      sagas().pipe(Layer.provideMerge([SagaLog.layerStoreMemory(), shopLayer, NodeCrypto.layer, Logger.layer([])]))
    )))
})
