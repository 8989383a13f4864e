import { describe } from "@effect/vitest"
import { checkTable } from "../support/faultTable.ts"
import * as claims from "./claims.ts"
import { memory } from "./harness.ts"
import * as payloads from "./payloads.ts"
import * as results from "./results.ts"

describe("fault matrix, memory", () => {
  for (const rows of [...Object.values(claims), ...Object.values(payloads), ...Object.values(results)]) rows(memory)
})

const shared = ["claims.ts", "payloads.ts", "results.ts"]
checkTable(({ stores, where }) => shared.includes(where) && stores.includes("memory"))
