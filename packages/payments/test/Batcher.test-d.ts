import type { Effect, Result, Scope } from "effect"
import { Batcher } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

interface Database {
  readonly _: "Database"
}
declare const save: (items: ReadonlyArray<string>) => Effect.Effect<void, "down", Database>
declare const answer: (
  items: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<Result.Result<number, "bad">>, "down", Database>

describe("Batcher", () => {
  it("answers each item with its own success or failure", () => {
    expectTypeOf(Batcher.make({ name: "x", process: answer })).toEqualTypeOf<
      Effect.Effect<Batcher.Batcher<string, number, "bad" | "down">, never, Database | Scope.Scope>
    >()
    expectTypeOf(Batcher.makeWhole({ name: "x", process: save })).toEqualTypeOf<
      Effect.Effect<Batcher.Batcher<string, void, "down">, never, Database | Scope.Scope>
    >()
  })

  it("adds its error", () => {
    expectTypeOf<ReturnType<Batcher.Batcher<string, number, "bad">["submit"]>>().toEqualTypeOf<
      Effect.Effect<number, "bad" | Batcher.BatcherError>
    >()
    expectTypeOf<ReturnType<Batcher.Batcher<string, number, "bad">["add"]>>().toEqualTypeOf<
      Effect.Effect<void, Batcher.BatcherError>
    >()
  })
})
