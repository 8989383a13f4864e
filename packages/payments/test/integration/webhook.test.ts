import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto, NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted } from "effect"
import { Inbox, Signature, Webhook } from "effect-payments"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { inboxContract, shiftInbox, takeOverContract, transactionContract } from "../support/inboxContract.ts"
import type { Job, Point } from "../support/webhookWorker.ts"

const once = Effect.map(Inbox.Inbox, ({ take }) => take)
const atLeastOnce = Effect.map(Inbox.AtLeastOnceInbox, ({ take }) => take)

// --- Postgres

const url = inject("postgres")
const client = (schema: string) =>
  PgClient.layer({ url: Redacted.make(url), maxConnections: 4, startupParameters: { search_path: schema } })

let schemas = 0
/** A schema of its own, gone with the scope. */
const schema = Effect.gen(function*() {
  const schema = `webhook_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return schema
})

const postgres = () => Inbox.layerStoreSql().pipe(Layer.provideMerge(Layer.unwrap(Effect.map(schema, client))))

inboxContract("Postgres, in a transaction", postgres(), { take: once, advance: shiftInbox })
takeOverContract("Postgres, in a transaction", postgres(), { take: once, advance: shiftInbox })
inboxContract("Postgres, marked after", postgres(), { take: atLeastOnce, advance: shiftInbox })
takeOverContract("Postgres, marked after", postgres(), { take: atLeastOnce, advance: shiftInbox })
transactionContract("Postgres", postgres())

// --- Redis

const redis = NodeRedis.layer({ url: inject("redis") })
const prefix = `inbox-${process.pid}:`

const shift = Redis.script((prefix: string, millis: number) => [prefix, millis], {
  lua: `
for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "*")) do
  local left = redis.call("PTTL", key) - tonumber(ARGV[2])
  if left > 0 then
    redis.call("PEXPIRE", key, string.format("%.0f", left))
    local lease = tonumber(redis.call("HGET", key, "lease"))
    if lease > 0 then redis.call("HSET", key, "lease", string.format("%.0f", lease - tonumber(ARGV[2]))) end
  else
    redis.call("DEL", key)
  end
end
return 1`,
  numberOfKeys: 0
}).withReturnType<number>()

const onRedis = {
  take: atLeastOnce,
  advance: (duration: Duration.Input) =>
    Effect.flatMap(
      Redis.Redis,
      (redis) => redis.eval(shift)(prefix, Duration.toMillis(Duration.fromInputUnsafe(duration)))
    )
}
const redisInbox = Inbox.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(redis))

inboxContract("Redis", redisInbox, onRedis)
takeOverContract("Redis", redisInbox, onRedis)

describe("an inbox on Redis", () => {
  const arrival: Inbox.Arrival = {
    provider: "acme",
    endpoint: "shop",
    id: "evt_1",
    fingerprint: "v1:a",
    window: Duration.days(4)
  }

  it.live("takes the events of two processes once", () =>
    Effect.gen(function*() {
      const runs: Array<string> = []
      const inbox = Effect.map(Layer.build(Layer.fresh(redisInbox)), (context) =>
        Effect.runSync(Effect.provide(atLeastOnce, context)))
      const both = yield* Effect.all([inbox, inbox])
      const ids = Array.from({ length: 50 }, (_, index) =>
        `both_${index}`)
      yield* Effect.forEach(
        ids.flatMap((id) => both.map((take) => ({ id, take }))),
        ({ id, take }) => Effect.result(take({ ...arrival, id }, () => Effect.sync(() => runs.push(id)))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(runs.toSorted(), ids.toSorted())
    }).pipe(Effect.scoped))

  it.live("keeps nothing for ever", () =>
    Effect.gen(function*() {
      const client = yield* Redis.Redis
      const take = yield* atLeastOnce
      const expiry = (id: string) =>
        Effect.flatMap(client.send<Array<string>>("KEYS", `${prefix}*${id}`), ([key = ""]) =>
          client.send<number>("PTTL", key))
      yield* take({ ...arrival, id: "handled" }, () =>
        Effect.void)
      yield* Effect.exit(take({ ...arrival, id: "failed" }, () => Effect.fail("no")))
      const inFlight = yield* take({ ...arrival, id: "flying" }, () => expiry("flying"))
      const days = (millis: number) => millis / 86_400_000
      assert.closeTo(days(yield* expiry("handled")), 4, 0.01)
      assert.closeTo(days(yield* expiry("failed")), 4, 0.01)
      assert.closeTo(days(inFlight._tag === "Handled" ? inFlight.value : -1), 60, 0.01)
    }).pipe(Effect.provide(redisInbox)))

  it.live("does not handle what it cannot read", () =>
    Effect.gen(function*() {
      const client = yield* Redis.Redis
      const take = yield* atLeastOnce
      const refused = (id: string) =>
        Effect.map(Effect.flip(take({ ...arrival, id }, () => Effect.die("ran"))), (error) =>
          error.reason._tag === "StoreUnavailable" ? error.reason.detail : error)
      const keyOf = (id: string) =>
        Effect.gen(function*() {
          yield* take({ ...arrival, id }, () =>
            Effect.void)
          const [key = ""] = yield* client.send<Array<string>>("KEYS", `${prefix}*${id}`)
          return key
        })
      yield* client.send("HSET", yield* keyOf("odd"), "state", "Nonsense")
      assert.strictEqual(yield* refused("odd"), "ReplyUnreadable")
      const other = yield* keyOf("other")
      yield* client.send("DEL", other)
      yield* client.send("SET", other, "a text")
      assert.strictEqual(yield* refused("other"), "RedisError")
    }).pipe(Effect.provide(redisInbox)))
})

// --- kill -9

const worker = fileURLToPath(new URL("../support/webhookWorker.ts", import.meta.url))

/** Runs a worker to its end: what it printed, or the signal that ended it. */
const run = (job: Job) =>
  Effect.callback<{ readonly signal: string | undefined; readonly outcomes: ReadonlyArray<string> }>((resume) => {
    const args = ["--conditions=@effect-payments/source", "--no-warnings", worker, JSON.stringify(job)]
    const child = execFile(process.execPath, args, (error, stdout, stderr) => {
      if (error !== null && error.signal == null) return resume(Effect.die(new Error(stderr)))
      resume(Effect.succeed({ signal: error?.signal ?? undefined, outcomes: error === null ? JSON.parse(stdout) : [] }))
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const events = 12
const points: ReadonlyArray<Point> = ["started", "written", "committed"]

/** Each process dies at another event, at each of the points; then one goes through to the end. */
const killed = (where: Omit<Job, "events">) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    for (const [index, point] of points.entries()) {
      const { signal } = yield* run({ ...where, events, dieAt: { event: index * 3 + 1, point } })
      assert.strictEqual(signal, "SIGKILL", point)
      // The claim of the dead holds the next delivery off until its lease ends.
      if (point !== "committed") {
        const { outcomes } = yield* run({ ...where, events: index * 3 + 2 })
        assert.strictEqual(outcomes.at(-1), "InFlight")
      }
      yield* shiftInbox("61 seconds")
    }
    const last = yield* run({ ...where, events })
    assert.isTrue(last.outcomes.every((outcome) => outcome === "Handled" || outcome === "Duplicate"))
    const again = yield* run({ ...where, events })
    assert.deepStrictEqual(new Set(again.outcomes), new Set(["Duplicate"]))
    const rows = yield* sql<{ readonly event: string }>`SELECT event FROM paid`
    const expected = Array.from({ length: events }, (_, event) => `evt_${event}`)
    assert.deepStrictEqual(rows.map(({ event }) => event).toSorted(), expected.toSorted())
  })

describe("processes killed before, within and behind the transaction", () => {
  it.live("lose no event and pay for none twice, on SQLite", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "webhook-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
      )
      const sqlite = join(directory, "inbox.db")
      yield* Effect.provide(killed({ sqlite }), SqliteClient.layer({ filename: sqlite, busyTimeout: "10 seconds" }))
    }).pipe(Effect.scoped), 120_000)

  it.live("lose no event and pay for none twice, on Postgres", () =>
    Effect.gen(function*() {
      const name = yield* schema
      yield* Effect.provide(killed({ postgres: { url, schema: name } }), client(name))
    }).pipe(Effect.scoped), 120_000)
})

describe("a webhook over Redis", () => {
  it.live("is handled once and acknowledged after", () =>
    Effect.gen(function*() {
      const secrets = [Redacted.make("whsec_test_secret")]
      const endpoint = yield* Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets })
      const body = new TextEncoder().encode(`{"id": "evt_redis"}`)
      const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets, body })
      const handle = Webhook.handleAtLeastOnce(endpoint, { headers, body }, ({ attempt }) => Effect.succeed(attempt))
      assert.deepStrictEqual(yield* handle, { _tag: "Handled", value: 1, attempt: 1 })
      assert.deepStrictEqual(yield* handle, { _tag: "Duplicate" })
    }).pipe(Effect.provide([redisInbox, NodeCrypto.layer])))
})
