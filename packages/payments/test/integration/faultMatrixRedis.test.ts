import { describe, inject } from "@effect/vitest"
import * as claims from "../faults/claims.ts"
import * as payloads from "../faults/payloads.ts"
import { processes } from "../faults/processes.ts"
import * as results from "../faults/results.ts"
import { redis } from "../faults/servers.ts"
import { checkTable } from "../support/faultTable.ts"

describe("fault matrix, Redis", () => {
  for (const rows of [...Object.values(claims), ...Object.values(payloads), ...Object.values(results)]) rows(redis)
})

processes("redis", inject("redis"))

const shared = ["claims.ts", "payloads.ts", "processes.ts", "results.ts"]
checkTable(({ stores, where }) => shared.includes(where) && stores.includes("Redis"))
