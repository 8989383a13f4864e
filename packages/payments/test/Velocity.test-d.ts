import type { Effect, Layer, Result } from "effect"
import { Velocity } from "effect-payments"
import type { Redis } from "effect/persistence"
import type { SqlClient } from "effect/sql"
import { describe, expectTypeOf, it } from "vitest"

declare const store: Velocity.Velocity["Service"]
declare const observation: Velocity.Observation

describe("Velocity", () => {
  it("fails with its one error, which combinators can read", () => {
    expectTypeOf(store.record([observation])).toEqualTypeOf<
      Effect.Effect<ReadonlyArray<Velocity.Measure>, Velocity.VelocityError>
    >()
    expectTypeOf(Velocity.check(observation)).toEqualTypeOf<
      Result.Result<Velocity.Observation, Velocity.VelocityError>
    >()
    expectTypeOf<Velocity.VelocityError["disposition"]>().toEqualTypeOf<"NotExecuted">()
  })

  it("asks of each store what it runs on", () => {
    expectTypeOf<Layer.Services<ReturnType<typeof Velocity.layerStoreMemory>>>().toEqualTypeOf<never>()
    expectTypeOf<Layer.Services<ReturnType<typeof Velocity.layerStoreSql>>>().toEqualTypeOf<SqlClient.SqlClient>()
    expectTypeOf<Layer.Services<ReturnType<typeof Velocity.layerStoreRedis>>>().toEqualTypeOf<Redis.Redis>()
  })

  it("counts no money in floating point", () => {
    // @ts-expect-error minor units are a bigint
    const wrong: Velocity.Observation = { ...observation, amount: 1.5 }
    expectTypeOf(wrong).toEqualTypeOf<Velocity.Observation>()
  })
})
