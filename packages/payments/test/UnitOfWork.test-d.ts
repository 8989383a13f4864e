import { Effect } from "effect"
import { UnitOfWork } from "effect-payments"
import type { SqlClient } from "effect/sql"
import { describe, expectTypeOf, it } from "vitest"

interface Database {
  readonly _: "Database"
}
declare const write: Effect.Effect<string, "no", Database>

describe("UnitOfWork", () => {
  it("adds its error and SqlClient, and takes UnitOfWork away", () => {
    expectTypeOf(UnitOfWork.atomic(UnitOfWork.inside(write))).toEqualTypeOf<
      Effect.Effect<string, "no" | UnitOfWork.UnitOfWorkError, Database | SqlClient.SqlClient>
    >()
    expectTypeOf(write.pipe(UnitOfWork.atomic)).toEqualTypeOf(UnitOfWork.atomic(write))
    expectTypeOf(UnitOfWork.inside(write)).toEqualTypeOf<
      Effect.Effect<string, "no", Database | UnitOfWork.UnitOfWork>
    >()
  })

  it("says something after the commit only from inside", () => {
    expectTypeOf(UnitOfWork.afterCommit(Effect.void)).toEqualTypeOf<
      Effect.Effect<void, never, UnitOfWork.UnitOfWork>
    >()
  })
})
