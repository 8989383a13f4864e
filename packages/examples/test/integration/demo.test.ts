import { NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { layerPostgres } from "../../src/checkout/stores.ts"
import { runDemo } from "../support/runDemo.ts"

const postgres = inject("postgres")
const redis = inject("redis")
const ownNames = "effect_payments_demo_"

const schemas = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ name: string }>`SELECT nspname AS name FROM pg_namespace`
  return rows.map(({ name }) => name).filter((name) => name.startsWith(ownNames))
}).pipe(Effect.provide(layerPostgres(Redacted.make(postgres), "public")))

const keys = Effect.flatMap(Redis.Redis, (redis) => redis.send<ReadonlyArray<string>>("KEYS", `${ownNames}*`)).pipe(
  Effect.provide(NodeRedis.layer({ url: redis }))
)

describe("./scripts/demo on Postgres and Redis", () => {
  it.live("goes as it has to, uses both, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { code, left, stderr, stdout } = yield* runDemo([], { env: { DATABASE_URL: postgres, REDIS_URL: redis } })
      assert.match(
        stdout,
        /\nrecords {3}Postgres, schema (\w+); Redis, prefix \1; SQLite of its own for each service\n/
      )
      const lines = stdout.split("\n").filter((line) => /^(ok|FAIL) +\d/.test(line))
      assert.deepStrictEqual([lines.length, lines.filter((line) => !line.startsWith("ok"))], [24, []], stdout)
      assert.include(stdout, "undone: accounting reverse, gateway refund, inventory release")
      assert.include(
        stdout,
        "payctl saga retry --by ada   Compensated; accounting reverse, gateway refund, inventory release"
      )
      assert.include(stdout, "gateway     captured EUR 569.00, refunded EUR 97.00, held EUR 0.00")
      assert.deepStrictEqual([code, stderr, left], [0, "", []])
      assert.deepStrictEqual([yield* schemas, yield* keys], [[], []])
    }).pipe(Effect.scoped), 300_000)

  it.live("says so when a server is not there", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* runDemo(["--json"], {
        env: { DATABASE_URL: "postgres://postgres@127.0.0.1:1/none" }
      })
      assert.deepStrictEqual([code, stdout], [1, ""])
    }).pipe(Effect.scoped), 60_000)
})
