import type { Effect, Layer } from "effect"
import { AuditLog } from "effect-payments"
import type { Digest } from "effect/crypto"
import { expectTypeOf, it } from "vitest"

it("records need the log, fail with its error and nothing else", () => {
  expectTypeOf(AuditLog.record).returns.toEqualTypeOf<Effect.Effect<void, AuditLog.AuditLogError, AuditLog.AuditLog>>()
  expectTypeOf(AuditLog.layerMemory()).toEqualTypeOf<
    Layer.Layer<AuditLog.AuditLog | AuditLog.AuditTrail | AuditLog.AuditChain, never, Digest.Digest>
  >()
  expectTypeOf(AuditLog.layerLog).toEqualTypeOf<Layer.Layer<AuditLog.AuditLog>>()
})

it("an entry cannot leave out a fact", () => {
  type Optional = {
    [K in keyof AuditLog.Entry]-?: undefined extends AuditLog.Entry[K] ? K : never
  }[keyof AuditLog.Entry]
  expectTypeOf<Exclude<Optional, "durationMillis" | "detail">>().toEqualTypeOf<never>()
  // @ts-expect-error the resource is missing
  const fact: AuditLog.Fact = { event: "payment", action: "charge", outcome: "succeeded" }
  expectTypeOf(fact).toEqualTypeOf<AuditLog.Fact>()
})
