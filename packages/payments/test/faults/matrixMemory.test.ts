import { describe } from "@effect/vitest"
import * as claims from "./claims.ts"
import { memory } from "./harness.ts"
import * as payloads from "./payloads.ts"
import * as results from "./results.ts"

describe("fault matrix, memory", () => {
  for (const rows of [...Object.values(claims), ...Object.values(payloads), ...Object.values(results)]) rows(memory)
})
