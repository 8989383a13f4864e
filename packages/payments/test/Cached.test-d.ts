import { type Effect, Schema, type Scope } from "effect"
import { Cached } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

interface Database {
  readonly _: "Database"
}
declare const byName: (name: string) => Effect.Effect<string, "no", Database>
declare const byNumber: (id: number) => Effect.Effect<string>
const options = { name: "x", success: Schema.String, error: Schema.Literal("no"), ttl: "1 minute" } as const

describe("Cached", () => {
  it("keeps the errors of the look-up and takes its services when it is made", () => {
    expectTypeOf(Cached.make(byName, options)).toEqualTypeOf<
      Effect.Effect<Cached.Cached<string, string, "no">, never, Cached.CachedStore | Database | Scope.Scope>
    >()
    expectTypeOf<ReturnType<Cached.Cached<string, string, "no">["get"]>>().toEqualTypeOf<Effect.Effect<string, "no">>()
  })

  it("asks for the id of a key that is no string", () => {
    const made = Cached.make(byNumber, { ...options, error: Schema.Never, id: String })
    expectTypeOf(made).toEqualTypeOf<
      Effect.Effect<Cached.Cached<number, string, never>, never, Cached.CachedStore | Scope.Scope>
    >()
  })
})
