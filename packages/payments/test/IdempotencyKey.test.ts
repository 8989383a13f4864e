import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it, layer } from "@effect/vitest"
import { Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import { cases, runCase } from "./http/cases.ts"
import { serve } from "./http/server.ts"

const sqlite = Layer.provide(IdempotencyStore.layerStoreSql(), SqliteClient.layer({ filename: ":memory:" }))

// A redirect is a response like any other.
const manual = Layer.succeed(FetchHttpClient.RequestInit)({ redirect: "manual", keepalive: false })

describe("the cases", () => {
  it("are at least 60, each with a name of its own", () => {
    assert.isAtLeast(cases.length, 60)
    assert.strictEqual(new Set(cases.map(({ name }) => name)).size, cases.length)
  })

  const servers = [
    ["plain routes, memory", serve("plain", IdempotencyStore.layerStoreMemory()), undefined],
    ["an HttpApi, SQLite", serve("api", sqlite), undefined],
    ["plain routes, unquoted", serve("plain", sqlite, { unquoted: true }), "unquoted"],
    ["an HttpApi, unquoted", serve("api", IdempotencyStore.layerStoreMemory(), { unquoted: true }), "unquoted"]
  ] as const
  for (const [name, server, kind] of servers) {
    layer(Layer.provideMerge(server, manual), { excludeTestServices: true })(name, (it) => {
      for (const test of cases.filter((test) => test.server === kind)) it.effect(test.name, () => runCase(test))
    })
  }
})
