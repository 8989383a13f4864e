import { NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule, type Scope } from "effect"
import { IdempotencyStore } from "effect-payments"
import { Redis } from "effect/persistence"
import { ClockStore } from "../idempotency/clockStore.ts"
import { Commands, compare } from "../idempotency/model.ts"
import { layer as clockStore } from "../idempotency/redisClockStore.ts"
import { requestOf, rival } from "../idempotency/request.ts"
import { shiftRedis } from "../idempotency/shiftRedis.ts"
import { storeContract } from "../idempotency/storeContract.ts"
import { storeProcesses } from "../idempotency/storeProcesses.ts"
import * as redisServers from "../support/redisServers.ts"

const Store = IdempotencyStore.IdempotencyStore
const { StoreUnavailable } = IdempotencyStore
const client = NodeRedis.layer({ url: inject("redis") })
const prefix = `idempotency-${process.pid}`

const succeeded = (ttlMillis = 60_000) => ({ _tag: "Succeeded", result: `{"id":"ch_1"}`, ttlMillis }) as const
const unknown = { _tag: "Indeterminate", ran: true, counted: true, attemptsMax: 3 } as const

storeContract("redis", IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(client)), {
  live: true,
  advance: shiftRedis(prefix)
})

storeProcesses("redis", inject("redis"), { client: () => client, advance: ({ place }) => shiftRedis(place) })

const index = Effect.fnUntraced(function*(prefix: string) {
  const { send } = yield* Redis.Redis
  const members = (name: string) => send<ReadonlyArray<string>>("ZRANGE", `{${prefix}}:${name}`, "0", "-1")
  const [ids, open, done] = yield* Effect.all([members("ids"), members("open"), members("done")])
  return { ids, open, done }
})

const onClock = `model-${process.pid}`

it.layer(clockStore(onClock).pipe(Layer.provideMerge(client)), { excludeTestServices: true })("redis", (it) => {
  it.effect.prop(
    "does what the machine does, and its index says what is there",
    [Commands],
    ([commands]) =>
      Effect.gen(function*() {
        const { reset, setTime, store } = yield* ClockStore
        yield* reset
        yield* compare(store, setTime, commands, { paired: true })
        const { done, ids, open } = yield* index(onClock)
        const records = yield* store.list({ limit: 1000 })
        const idsOf = (isIn: (record: IdempotencyStore.Record) => boolean) => records.filter(isIn).map(({ id }) => id)
        const { send } = yield* Redis.Redis
        const keys = yield* send<ReadonlyArray<string>>("KEYS", `{${onClock}}:record:*`)
        assert.deepStrictEqual(keys.map((key) => key.slice(`{${onClock}}:record:`.length)).sort(), [...ids])
        assert.deepStrictEqual(ids, idsOf(() => true))
        assert.deepStrictEqual(open, idsOf(({ expiresAt }) => expiresAt === undefined))
        assert.deepStrictEqual([...done].sort(), idsOf(({ expiresAt }) => expiresAt !== undefined))
      }),
    { arbitrary: { runs: 100 }, timeout: 120_000 }
  )
})

/** Runs with a store under a prefix of its own. */
let prefixes = 0
const onStore = <A, E>(
  self: (prefix: string) => Effect.Effect<A, E, IdempotencyStore.IdempotencyStore | Redis.Redis | Scope.Scope>
) =>
  Effect.suspend(() => {
    const prefix = `idempotency-${process.pid}-${prefixes++}`
    return Effect.provide(
      self(prefix),
      IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(client))
    )
  })

const soon = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(200)])

describe("the Redis store", () => {
  it.live("takes two round trips for a first call and one for a replay", () =>
    onStore(() =>
      Effect.gen(function*() {
        const sent: Array<string> = []
        const redis = yield* Redis.Redis
        const counting = yield* Redis.make({
          send: (command, ...words) => Effect.suspend(() => (sent.push(command), redis.send(command, ...words))),
          subscribe: () => Effect.die("never asked"),
          connect: Effect.die("never asked")
        })
        const layer = IdempotencyStore.layerStoreRedis({ prefix: `counted-${process.pid}` }).pipe(
          Layer.provide(Layer.succeed(Redis.Redis, counting))
        )
        yield* Effect.gen(function*() {
          const store = yield* Store
          const call = Effect.fnUntraced(function*() {
            const { record } = yield* store.claim(requestOf())
            yield* store.complete({ ...record, completion: succeeded() })
            return record
          })
          // Loads the scripts.
          yield* call()
          sent.length = 0
          const record = yield* call()
          assert.deepStrictEqual(sent, ["EVALSHA", "EVALSHA"])
          sent.length = 0
          const replay = yield* store.claim(rival({ ...requestOf(), ...record, fingerprint: "v1:a" }))
          assert.strictEqual(replay.record.state, "Succeeded")
          assert.deepStrictEqual(sent, ["EVALSHA"])
        }).pipe(Effect.provide(layer))
      })
    ))

  it.live("takes many claims or ends of one tick into a script, each with an answer of its own", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const redis = yield* Redis.Redis
        let scripts = 0
        const counting = yield* Redis.make({
          send: (command, ...words) => Effect.suspend(() => (scripts++, redis.send(command, ...words))),
          subscribe: () => Effect.die("never asked"),
          connect: Effect.die("never asked")
        })
        yield* Effect.gen(function*() {
          const store = yield* Store
          const together = <A, B, E>(all: ReadonlyArray<A>, each: (one: A) => Effect.Effect<B, E>) =>
            Effect.suspend(() => {
              scripts = 0
              return Effect.forEach(all, (one) => Effect.exit(each(one)), { concurrency: "unbounded" })
            })
          const [loaded, broken, other] = [requestOf(), requestOf(), requestOf({ tenant: "elsewhere" })]
          yield* Effect.flatMap(store.claim(loaded), ({ record }) =>
            store.complete({ ...record, completion: succeeded() }))
          yield* redis.send("RPUSH", `{${prefix}}:record:${broken.id}`, "none of ours")

          const fresh = Array.from({ length: 90 }, () =>
            requestOf())
          const requests = [...fresh, rival(loaded), rival(fresh[0]!), fresh[1]!, broken, other]
          const claims = yield* together(requests, store.claim)
          assert.isAtMost(scripts, Math.ceil(requests.length / 32))
          const recordOf = (index: number) => {
            const exit = claims[index]!
            if (Exit.isFailure(exit)) assert.fail(`${exit}`)
            return exit.value.record
          }
          fresh.forEach((request, index) =>
            assert.deepInclude(recordOf(index), { id: request.id, owner: request.owner })
          )
          assert.deepInclude(recordOf(90), { id: loaded.id, state: "Succeeded" })
          assert.deepInclude(recordOf(91), { id: fresh[0]!.id, owner: fresh[0]!.owner, state: "Claimed" })
          assert.deepInclude(recordOf(92), { id: fresh[1]!.id, owner: fresh[1]!.owner, attempt: 1 })
          assert.deepStrictEqual(
            claims[93],
            Exit.fail(new StoreUnavailable({ operation: "claim", detail: "RowUnreadable" }))
          )
          assert.deepInclude(recordOf(94), { id: other.id, owner: other.owner })
          // What is told of a fresh claim is what is there.
          for (const index of [0, 89, 94]) {
            assert.deepStrictEqual((yield* store.inspect(recordOf(index))).record, recordOf(index))
          }

          const ended = fresh.map((_, index) => recordOf(index))
          const stranger = { ...recordOf(94), owner: "nobody" }
          const ends = yield* together(
            [...ended, stranger],
            (record) => store.complete({ ...record, completion: succeeded() })
          )
          assert.isAtMost(scripts, Math.ceil(91 / 32))
          assert.deepStrictEqual(ends, [...ended.map(() => Exit.succeed(true)), Exit.succeed(false)])
        }).pipe(Effect.provide(
          IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(Layer.succeed(Redis.Redis, counting)))
        ))
      })
    ))

  it.live("runs again after the server has forgotten its scripts", () =>
    onStore(() =>
      Effect.gen(function*() {
        const store = yield* Store
        const { send } = yield* Redis.Redis
        const { record } = yield* store.claim(requestOf())
        yield* send("SCRIPT", "FLUSH")
        const again = yield* store.claim(rival(requestOf({ name: record.key })))
        assert.deepStrictEqual(again.record, record)
        yield* send("SCRIPT", "FLUSH")
        assert.isTrue(yield* store.complete({ ...record, completion: succeeded() }))
      })
    ))

  it.live("gives no key an expiry, so that no policy for those that have one drops it", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const store = yield* Store
        const { send } = yield* Redis.Redis
        const [done, free, inDoubt] = yield* Effect.forEach([1, 2, 3], () => store.claim(requestOf()))
        yield* store.claim(requestOf())
        yield* store.complete({ ...done!.record, completion: succeeded() })
        yield* store.release({ ...free!.record, ttlMillis: 60_000 })
        yield* store.complete({ ...inDoubt!.record, completion: unknown })
        const keys = yield* send<ReadonlyArray<string>>("KEYS", `{${prefix}}*`)
        assert.strictEqual(keys.length, 7)
        assert.deepStrictEqual(
          yield* Effect.forEach(keys, (key) => send<number>("PTTL", key)),
          keys.map(() => -1)
        )
      })
    ))

  it.live("has all its keys in one slot", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const { send } = yield* Redis.Redis
        const store = yield* Store
        const server = yield* redisServers.start("--cluster-enabled", "yes")
        const { record } = yield* store.claim(requestOf({ tenant: "a{b}c", name: "{key}" }))
        yield* store.complete({ ...record, completion: succeeded() })
        yield* store.claim(requestOf())
        const keys = yield* send<ReadonlyArray<string>>("KEYS", `{${prefix}}*`)
        assert.strictEqual(keys.length, 5)
        const slots = yield* Effect.forEach(keys, (key) => server.command("CLUSTER", "KEYSLOT", key))
        assert.strictEqual(new Set(slots).size, 1)
      })
    ))

  it.live("runs in a cluster", () =>
    Effect.gen(function*() {
      const server = yield* redisServers.start("--cluster-enabled", "yes")
      yield* server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
      const formed = Effect.flatMap(server.command("CLUSTER", "INFO"), (info) =>
        info.includes("cluster_state:ok") ? Effect.void : Effect.fail("not yet" as const))
      yield* Effect.retry(formed, soon)
      const layer = IdempotencyStore.layerStoreRedis().pipe(Layer.provide(NodeRedis.layer({ url: server.url })))
      yield* Effect.gen(function*() {
        const store = yield* Store
        const { record } = yield* store.claim(requestOf())
        assert.isTrue(yield* store.complete({ ...record, completion: succeeded(1) }))
        const other = yield* store.claim(requestOf())
        assert.deepStrictEqual(yield* store.renew([{ ...other.record, leaseMillis: 60_000 }]), [true])
        assert.strictEqual((yield* store.list({ limit: 10 })).length, 2)
        const swept = Effect.flatMap(store.sweep({ limit: 10 }), (count) =>
          count === 1 ? Effect.void : Effect.fail("not yet" as const))
        yield* Effect.retry(swept, soon)
        assert.strictEqual(yield* store.evict(other.record, { force: true }), "Evicted")
      }).pipe(Effect.provide(layer))
    }), 60_000)

  it.live("is another store under another prefix", () =>
    Effect.gen(function*() {
      const request = requestOf()
      const claim = (prefix: string) =>
        Effect.flatMap(Store, (store) => store.claim(rival(request))).pipe(
          Effect.provide(IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(client)))
        )
      const one = `prefix-${process.pid}`
      const first = yield* claim(one)
      assert.strictEqual((yield* claim(one)).record.owner, first.record.owner)
      assert.notStrictEqual((yield* claim(`${one}x`)).record.owner, first.record.owner)
    }))

  it.live("lists and sweeps more than one script takes", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const store = yield* Store
        const all = { concurrency: "unbounded" } as const
        const records = yield* Effect.forEach(
          Array.from({ length: 1_300 }, () => requestOf()),
          (request) => Effect.map(store.claim(request), ({ record }) => record),
          all
        )
        yield* Effect.forEach(
          records.slice(0, 1_250),
          (record) => store.complete({ ...record, completion: succeeded() }),
          all
        )
        const pages = yield* Effect.forEach(
          ["Succeeded", "Claimed"] as const,
          (state) => store.list({ state, limit: 1000 })
        )
        assert.deepStrictEqual(pages.map(({ length }) => length), [1_000, 50])
        const renewed = yield* store.renew(records.map((record) => ({ ...record, leaseMillis: 60_000 })))
        assert.deepStrictEqual(renewed, records.map((_, index) => index >= 1_250))
        yield* shiftRedis(prefix)("61 seconds")
        assert.strictEqual(yield* store.sweep({ limit: 600 }), 600)
        assert.strictEqual(yield* store.sweep({ limit: 10_000 }), 650)
        assert.strictEqual(yield* store.sweep({ limit: 10_000 }), 0)
        const left = yield* index(prefix)
        assert.deepStrictEqual([left.ids.length, left.open.length, left.done.length], [50, 50, 0])
      })
    ), 60_000)

  it.live("forgets in its index what was deleted by hand", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const store = yield* Store
        const { send } = yield* Redis.Redis
        const [first, second] = yield* Effect.forEach([1, 2], () => store.claim(requestOf()))
        yield* store.complete({ ...first!.record, completion: succeeded() })
        for (const { record } of [first!, second!]) yield* send("DEL", `{${prefix}}:record:${record.id}`)
        assert.deepStrictEqual(yield* store.list({ limit: 10 }), [])
        assert.strictEqual(yield* store.evict(second!.record, { force: false }), "Absent")
        yield* shiftRedis(prefix)("61 seconds")
        yield* store.sweep({ limit: 10 })
        assert.deepStrictEqual(yield* index(prefix), { ids: [], open: [], done: [] })
      })
    ))

  it.live("fails with a word when a value is none of its own, and leaves it alone", () =>
    onStore((prefix) =>
      Effect.gen(function*() {
        const store = yield* Store
        const { send } = yield* Redis.Redis
        const request = requestOf({ name: "the-key", fingerprint: "the-fingerprint", owner: "the-owner" })
        const { record } = yield* store.claim(request)
        const key = `{${prefix}}:record:${record.id}`
        const failing: ReadonlyArray<readonly [string, Effect.Effect<unknown, IdempotencyStore.StoreUnavailable>]> = [
          ["claim", store.claim(request)],
          ["complete", store.complete({ ...record, completion: succeeded() })],
          ["complete", store.complete({ ...record, completion: unknown })],
          ["release", store.release({ ...record, ttlMillis: 1 })],
          ["resolve", store.resolve({ ...record, ttlMillis: 1, resolution: { _tag: "NeverHappened" } })],
          ["inspect", store.inspect(record)],
          ["list", store.list({ limit: 1 })]
        ]
        for (const value of ["", "the-value", "Claimed\n1\n2", `Elsewhere\n\n0\n0\n"a"\n"b"\n1\n1\n0\n0\n0\n`]) {
          yield* send("SET", key, value)
          for (const [operation, self] of failing) {
            if (value.startsWith("Elsewhere") && !["claim", "inspect", "list"].includes(operation)) continue
            const error = yield* Effect.flip(self)
            assert.deepStrictEqual(error, new StoreUnavailable({ operation, detail: "RowUnreadable" }))
          }
          assert.strictEqual(yield* send("GET", key), value)
        }
        yield* send("DEL", key)
        yield* send("RPUSH", key, "the-value")
        const error = yield* Effect.flip(store.claim(request))
        assert.deepStrictEqual(error, new StoreUnavailable({ operation: "claim", detail: "RowUnreadable" }))
        assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /the-/)
        assert.strictEqual(
          yield* store.evict(record, { force: true }).pipe(Effect.exit, Effect.map(Exit.isFailure)),
          true
        )
      })
    ))

  it.live("refuses a prefix that is none", () =>
    Effect.gen(function*() {
      for (const prefix of ["", "a b", "a{b", "}", "é", "x".repeat(101)]) {
        const layer = IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(client))
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
        assert.isTrue(error._tag === "StoreUnavailable" && error.operation === "start", prefix)
      }
    }))
})

describe("the Redis store, at its start", () => {
  const policies = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"]

  const started = (url: string, options?: Parameters<typeof IdempotencyStore.layerStoreRedis>[0]) =>
    Effect.exit(Effect.scoped(Layer.build(
      IdempotencyStore.layerStoreRedis(options).pipe(Layer.provide(NodeRedis.layer({ url })))
    )))
  const detailOf = (exit: Exit.Exit<unknown, unknown>) => /detail: (.*)/.exec(`${exit}`)?.[1] ?? `${exit}`

  it.live("refuses a server that drops keys, unless told otherwise", () =>
    Effect.gen(function*() {
      const { command, url } = yield* redisServers.start()
      assert.isTrue(Exit.isSuccess(yield* started(url)))
      for (const policy of policies) {
        yield* command("CONFIG", "SET", "maxmemory-policy", policy)
        for (const eviction of ["refuse", "refuseKnown"] as const) {
          const exit = yield* started(url, { eviction })
          assert.isTrue(Exit.isFailure(exit))
          assert.include(`${exit}`, policy)
        }
        assert.isTrue(Exit.isSuccess(yield* started(url, { eviction: "accept" })))
      }
    }), 60_000)

  it.live(
    "asks INFO where CONFIG is forbidden, and takes silence for what it was told to",
    () =>
      Effect.gen(function*() {
        const { command, port } = yield* redisServers.start()
        yield* command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config")
        const url = `redis://app:secret@127.0.0.1:${port}`
        assert.isTrue(Exit.isSuccess(yield* started(url)))
        yield* command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        assert.isTrue(Exit.isFailure(yield* started(url, { eviction: "refuseKnown" })))
        yield* command("ACL", "SETUSER", "app", "-info")
        assert.include(detailOf(yield* started(url)), "does not say")
        assert.isTrue(Exit.isSuccess(yield* started(url, { eviction: "refuseKnown" })))
        assert.isTrue(Exit.isSuccess(yield* started(url, { eviction: "accept" })))
      }),
    60_000
  )

  it.live("refuses replicas without a bound", () =>
    Effect.gen(function*() {
      const bounds = [
        ...[0, -1, 1.5, Number.NaN, 101].map((count) => ({ count })),
        ...["0 seconds", "61 seconds", "-1 seconds"].map((timeout) => ({ count: 1, timeout: timeout as "1 second" }))
      ]
      for (const replicas of bounds) {
        assert.include(detailOf(yield* started(inject("redis"), { replicas })), "replicas.")
      }
    }))
})

describe("the Redis store, waiting for replicas", () => {
  // A replica on a busy machine may take its time.
  const vouched = Effect.retry({ times: 40 })
  const notReplicated = (operation: string) => new StoreUnavailable({ operation, detail: "NotReplicated" })

  it.live(
    "counts a write when a replica has it, and says that it is unknown when none has",
    () =>
      Effect.gen(function*() {
        const primary = yield* redisServers.start()
        const replica = yield* redisServers.startReplica(primary)
        const layer = IdempotencyStore.layerStoreRedis({ prefix: "p", replicas: { count: 1, timeout: "250 millis" } })
        yield* Effect.gen(function*() {
          const store = yield* Store
          const request = requestOf()
          const { record } = yield* vouched(store.claim(request))
          const key = `{p}:record:${record.id}`
          assert.match(yield* replica.command("GET", key), /^Claimed/)

          // A replica that hears nothing: what is written is written, but nobody vouches for it.
          const freeze = Effect.sync(() => process.kill(replica.pid, "SIGSTOP"))
          const thaw = Effect.sync(() => process.kill(replica.pid, "SIGCONT"))
          yield* freeze
          const complete = store.complete({ ...record, completion: succeeded() })
          assert.deepStrictEqual(yield* Effect.flip(complete), notReplicated("complete"))
          assert.match(yield* primary.command("GET", key), /^Succeeded/)
          // Sent again it changes nothing, and waits for the replica all the same.
          assert.deepStrictEqual(yield* Effect.flip(complete), notReplicated("complete"))
          const other = requestOf()
          assert.deepStrictEqual(yield* Effect.flip(store.claim(other)), notReplicated("claim"))
          assert.deepStrictEqual(yield* Effect.flip(store.claim(other)), notReplicated("claim"))
          // What writes nothing waits for nobody.
          assert.strictEqual((yield* store.claim(rival(request))).record.state, "Succeeded")
          assert.isFalse(yield* store.complete({ ...record, owner: "nobody", completion: succeeded() }))

          yield* thaw
          assert.isTrue(yield* vouched(complete))
          assert.match(yield* replica.command("GET", key), /^Succeeded/)
          const again = yield* vouched(store.claim(other))
          assert.deepInclude(again.record, { owner: other.owner, attempt: 1 })
          const [renewed] = yield* vouched(store.renew([{ ...again.record, leaseMillis: 60_000 }]))
          assert.isTrue(renewed)
          assert.isTrue(yield* vouched(store.complete({ ...again.record, completion: unknown })))
          const resolve = store.resolve({ ...again.record, ttlMillis: 60_000, resolution: { _tag: "NeverHappened" } })
          assert.isTrue(yield* vouched(resolve))
          yield* freeze
          assert.deepStrictEqual(yield* Effect.flip(resolve), notReplicated("resolve"))
          yield* thaw
          assert.isTrue(yield* vouched(resolve))
        }).pipe(Effect.provide(layer.pipe(Layer.provide(NodeRedis.layer({ url: primary.url })))))
      }),
    60_000
  )
})
