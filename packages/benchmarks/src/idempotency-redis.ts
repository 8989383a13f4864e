// First calls and replays on Redis, one after the other and 64 at once, beside what has no guarantees and the same commands
// on the wire: a bare SET NX and SET for a first call, a bare SET NX GET for a replay. Then beside the scripts that the store
// sends, sent by nobody but the client: what is between them and the two commands is the server's part, and the rest is ours.
// The least scripts tell how much of that is any store's that has a clock, a fingerprint and a fence, and how much the index.
// And beside Powertools over the same Redis, with a key apart from the payload. Its check that the payload is the same stays off: what it saves on Redis at the
// end of a call has lost the hash, and each replay would be refused.
import { CachePersistenceLayer } from "@aws-lambda-powertools/idempotency/cache"
import { NodeCrypto, NodeRedis } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { Redis } from "effect/persistence"
import { createClient } from "redis"
import { charge, makePowertools, ours } from "./charge.ts"
import { measure } from "./measure.ts"
import { atLeast, makeReport, type Report, type Row } from "./report.ts"
import { urlOf } from "./servers.ts"

const concurrencies = [1, 64] as const
type Concurrency = typeof concurrencies[number]
const operations = { 1: 512, 64: 4096 }
const rounds = 11
// Until all of it is compiled: calls that wait for a server are too few in a round for that.
const warmUps = 8

/** Keys that have been answered before, in turn: calls of one key at the same time would share one round trip here. */
const replayed = Array.from({ length: 256 }, (_, index) => `replayed-${index}`)
let turn = 0
const nextReplayed = (): string => replayed[turn++ % replayed.length] ?? ""

let last = 0
const fresh = (): string => `key-${process.pid}-${(last++).toString(36).padStart(16, "0")}`

// --- callers

/** One call may be the work of some callers, who wait for it together. */
const callers = (concurrency: Concurrency, call: () => Promise<unknown>, together = 1) => ({
  operations: operations[concurrency],
  run: () => {
    const each = operations[concurrency] / concurrency
    const caller = async () => {
      for (let i = 0; i < each; i++) await call()
    }
    return Promise.all(Array.from({ length: concurrency / together }, caller))
  }
})

type Runtime = ManagedRuntime.ManagedRuntime<Idempotency.Idempotency, unknown>

const fibers = (runtime: Runtime, concurrency: Concurrency, key: () => string) => ({
  operations: operations[concurrency],
  run: () => {
    const each = operations[concurrency] / concurrency
    const caller = Effect.gen(function*() {
      for (let i = 0; i < each; i++) yield* ours(key())
    })
    return runtime.runPromise(
      Effect.forEach(Array.from({ length: concurrency }), () => caller, { concurrency, discard: true })
    )
  }
})

// --- the two commands, with as many bytes as a record has

const connect = (url: string) => createClient({ url }).connect()
type Client = Awaited<ReturnType<typeof connect>>

const claimed = `Claimed\n${"0".repeat(26)}\n"v1:${"a".repeat(64)}"\n"${"b".repeat(26)}"\n${"0".repeat(35)}\n`
const succeeded = `${claimed}{"id":"ch_1","status":"authorized"}`

const setTwice = (client: Client) => async () => {
  const key = `bare:${fresh()}`
  await client.sendCommand(["SET", key, claimed, "NX", "PX", "30000"])
  await effectPromise()
  await client.sendCommand(["SET", key, succeeded, "PX", "86400000"])
}

const effectPromise = async () => undefined

const setOrGet = (client: Client) => () =>
  client.sendCommand(["SET", "bare:replayed", claimed, "NX", "GET", "PX", "30000"])

// --- the scripts alone, as the store sends them

/** As many records as share a script. */
const shared = { 1: 1, 64: 32 }

/** Stands in the keys for what is fresh in each call, and has its length. */
const placeholder = fresh().replaceAll(/[^-]/g, "x")

interface Sent {
  readonly command: ReadonlyArray<string>
  readonly reply: unknown
}

/** What the store sends for first calls at the same time, and the replies. */
const record = (client: Client, count: number) =>
  Effect.gen(function*() {
    const sent: Array<Sent> = []
    const unused = Effect.die("not for scripts")
    const recording = Redis.make({
      send: <A>(...command: [string, ...ReadonlyArray<string>]) =>
        Effect.promise(async () => {
          const reply: unknown = await client.sendCommand(command)
          if (command[0] === "EVALSHA") sent.push({ command, reply })
          return reply as A
        }),
      subscribe: () => unused,
      connect: unused
    })
    const layer = Idempotency.layer({ sweepEvery: false }).pipe(
      Layer.provide(IdempotencyStore.layerStoreRedis()),
      Layer.provide(Layer.effect(Redis.Redis, recording)),
      Layer.provide(NodeCrypto.layer)
    )
    const calls = Array.from({ length: count }, (_, index) => ours(`${placeholder}-${index}`))
    yield* Effect.provide(Effect.all(calls, { concurrency: "unbounded", discard: true }), layer)
    const [claim, finish, ...more] = sent
    if (claim === undefined || finish === undefined || more.length > 0) {
      return yield* Effect.die(new Error(`${sent.length} scripts for ${count} calls: there should be two`))
    }
    return { claim, finish }
  })

const timeOf = (reply: unknown): string => Array.isArray(reply) ? String(reply[0]) : ""

// The first fence of a record is the time of its claim.
const scriptsOf = async (client: Client, count: number) => {
  const { claim, finish } = await Effect.runPromise(Effect.scoped(record(client, count)))
  const fence = timeOf(claim.reply)
  return {
    firstCall: async () => {
      const key = fresh()
      const renamed = (text: string) => text.replace(placeholder, key)
      const now = timeOf(await client.sendCommand(claim.command.map(renamed)))
      await effectPromise()
      await client.sendCommand(finish.command.map((text) => text === fence ? now : renamed(text)))
    },
    replay: () => client.sendCommand(claim.command)
  }
}

// --- the least that such a store has to do: one record, the clock of the server, the fingerprint and the fence, and no index

const serverTime =
  `local t = redis.call("TIME") local now = string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000))\n`

const leastClaim = `${serverTime}
for i, key in ipairs(KEYS) do
  local found = redis.call("GET", key)
  if found then return found end
  redis.call("SET", key, "Claimed\\n" .. now .. "\\n" .. ARGV[i])
end
return now`

const leastFinish = `${serverTime}
for i, key in ipairs(KEYS) do
  local fence, rest = string.match(redis.call("GET", key) or "", "^Claimed\\n(%d+)\\n(.*)$")
  if fence ~= ARGV[1] then return 0 end
  redis.call("SET", key, "Succeeded\\n" .. now .. "\\n" .. rest .. ARGV[2])
end
return 1`

const leastOf = async (client: Client, count: number) => {
  const [claim = "", finish = ""] = await Promise.all(
    [leastClaim, leastFinish].map((lua) => client.sendCommand<string>(["SCRIPT", "LOAD", lua]))
  )
  const records = Array.from({ length: count }, () => claimed)
  return async () => {
    const keys = Array.from({ length: count }, () => `least:${fresh()}`)
    const fence = await client.sendCommand<string>(["EVALSHA", claim, `${count}`, ...keys, ...records])
    await effectPromise()
    await client.sendCommand(["EVALSHA", finish, `${count}`, ...keys, fence, `{"id":"ch_1","status":"authorized"}`])
  }
}

// --- the run

const compare = async (url: string, concurrency: Concurrency) => {
  const client = await connect(url)
  const runtime = ManagedRuntime.make(
    Idempotency.layer({ sweepEvery: false }).pipe(
      Layer.provide(IdempotencyStore.layerStoreRedis()),
      Layer.provide(NodeRedis.layer({ url })),
      Layer.provide(NodeCrypto.layer),
      Layer.merge(Logger.layer([]))
    )
  )
  const peer = makePowertools(new CachePersistenceLayer({ client: client as never }), { eventKeyJmesPath: "key" })
  const many = (call: () => Promise<unknown>) => callers(concurrency, call)
  try {
    await setTwice(client)()
    await client.sendCommand(["SET", "bare:replayed", succeeded])
    const together = shared[concurrency]
    const scripts = await scriptsOf(client, together)
    const least = await leastOf(client, together)
    for (const key of replayed) {
      await runtime.runPromise(ours(key))
      await peer({ key, payload: charge })
    }
    const contenders = {
      "SET NX and SET": many(setTwice(client)),
      "the least scripts, first call": callers(concurrency, least, together),
      "scripts alone, first call": callers(concurrency, scripts.firstCall, together),
      "first call": fibers(runtime, concurrency, fresh),
      "SET NX GET": many(setOrGet(client)),
      "script alone, replay": callers(concurrency, scripts.replay, together),
      "replay": fibers(runtime, concurrency, nextReplayed),
      "Powertools, first call": many(() => peer({ key: fresh(), payload: charge })),
      "Powertools, replay": many(() => peer({ key: nextReplayed(), payload: charge }))
    }
    for (let i = 0; i < warmUps; i++) for (const { run } of Object.values(contenders)) await run()
    return await measure(contenders, { rounds, iterations: 1 })
  } finally {
    await runtime.dispose()
    await client.close()
  }
}
type Compared = Awaited<ReturnType<typeof compare>>

const rowsOf = (title: string, { nanoseconds, ratio }: Compared): ReadonlyArray<Row> =>
  (Object.keys(nanoseconds) as Array<keyof typeof nanoseconds>).map((name) => {
    const floor = name.endsWith("replay") || name === "SET NX GET" ? "SET NX GET" : "SET NX and SET"
    return {
      name: `${title}: ${name}`,
      nanoseconds: nanoseconds[name],
      perSecond: 1e9 / nanoseconds[name],
      ratio: ratio(floor, name),
      note: `of the speed of ${floor}`
    }
  })

const aimsOf = (title: string, { ratio }: Compared) => [
  atLeast(`${title}: first call, of the speed of SET NX and SET`, ratio("SET NX and SET", "first call"), 0.85),
  atLeast(`${title}: replay, of the speed of Powertools'`, ratio("Powertools, replay", "replay"), 2)
]

export const run = async (): Promise<Report> => {
  const url = urlOf("redis")
  const one = await compare(url, 1)
  const many = await compare(url, 64)
  return makeReport(
    "idempotency-redis",
    [...rowsOf("one at a time", one), ...rowsOf("64 at once", many)],
    [...aimsOf("one at a time", one), ...aimsOf("64 at once", many)]
  )
}
