import { describe } from "@effect/vitest"
import * as claims from "./claims.ts"
import { sqlite } from "./harness.ts"
import * as payloads from "./payloads.ts"
import * as results from "./results.ts"

describe("fault matrix, SQLite", () => {
  for (const rows of [...Object.values(claims), ...Object.values(payloads), ...Object.values(results)]) rows(sqlite)
})
