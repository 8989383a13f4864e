import type { Schema } from "effect"
import { Redaction } from "effect-payments"
import { expectTypeOf, it } from "vitest"

it("takes anything and answers JSON", () => {
  expectTypeOf(Redaction.scrubUnknown).toEqualTypeOf<(value: unknown) => Schema.Json>()
  expectTypeOf(Redaction.scrub).toEqualTypeOf<(text: string) => string>()
})
