import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { StoreContract } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { control, mutants } from "./mutants.ts"

const cases = StoreContract.idempotencyStore({ advance: TestClock.adjust })

/** The names of the cases that a store fails, up to the first. */
const failed = (layer: Layer.Layer<IdempotencyStore.IdempotencyStore>, atMost: number) =>
  Effect.gen(function*() {
    const names: Array<string> = []
    for (const { name, run } of cases) {
      const exit = yield* Effect.exit(
        run.pipe(Effect.provide(layer, { local: true }), Effect.provide(TestClock.layer(), { local: true }))
      )
      if (Exit.isFailure(exit)) names.push(name)
      if (names.length === atMost) break
    }
    return names
  })

describe("the contract of a store", () => {
  it("has forty cases and more, each with a name of its own", () => {
    assert.isAtLeast(cases.length, 40)
    assert.strictEqual(new Set(cases.map(({ name }) => name)).size, cases.length)
  })

  it.live("passes the store that is right", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* failed(control, 100), [])
    }))

  it.live("needs no clock that can be moved: then it waits", () =>
    Effect.gen(function*() {
      const waiting = StoreContract.idempotencyStore({ lease: "3 seconds" })
      // Each has a store of its own, so that they can wait at once.
      yield* Effect.forEach(
        waiting,
        ({ run }) => Effect.provide(run, IdempotencyStore.layerStoreMemory(), { local: true }),
        { concurrency: "unbounded" }
      )
    }), 60_000)

  assert.isAtLeast(Object.keys(mutants).length, 12)

  for (const [name, layer] of Object.entries(mutants)) {
    it.live(`catches a store that ${name}`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* failed(layer, 1)).length, 1)
      }))
  }
})
