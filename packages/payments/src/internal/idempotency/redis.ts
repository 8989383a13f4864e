/**
 * The state machine on Redis: one script for each transition, on the clock of the server. Claims and ends of one tick share
 * a script, each on its own.
 *
 * Nothing here has an expiry of Redis: what is unfinished must never go, and the rest goes by `sweep`. `redisScripts` says
 * how records and their index are kept.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import { Redis } from "../effect/redis.ts"
import * as redisScript from "../redis/script.ts"
import { chunksOf, type Failure, toTexts, type Write } from "../redis/script.ts"
import { type Options, start } from "../redis/start.ts"
import { integer } from "../sql/integer.ts"
import * as machine from "./machine.ts"
import {
  type ClaimReply,
  type ClaimRequest,
  type Completion,
  idPrefix,
  isLimit,
  listLimitMax,
  type ListRequest,
  type Ownership,
  type Record,
  type RecordId,
  type RenewRequest,
  type ResolveRequest,
  sweepLimitMax
} from "./record.ts"
import * as Gathering from "./redisGathering.ts"
import * as scripts from "./redisScripts.ts"
import { decode, encodeLine, parseId } from "./redisValue.ts"
import { limitExceeded, StoreUnavailable } from "./unavailable.ts"

type Store = IdempotencyStore["Service"]

// Records that one script renews, reads or drops at the most: a script keeps everybody else waiting.
const renewChunk = 1_000
const readChunk = 200
const dropChunk = 500

// Enough to spread what a script costs by itself. More would only keep everybody else waiting, and leave the callers
// nothing to do while the server works on all of them at once.
const batchMax = 32

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Store, StoreUnavailable, Redis.Redis> {
  const redis = yield* Redis.Redis
  const write = yield* Effect.mapError(
    start(redis, options),
    ({ detail }) => new StoreUnavailable({ operation: "start", detail })
  )
  const server = makeServer(redis, write, options.prefix, scripts.make(options.now ?? redisScript.serverTime))
  // A replay is not to wait for the replicas of a claim that happens to come along.
  return { ...owning(server, options.replicas === undefined ? batchMax : 1), ...operating(server) }
})

interface Server {
  readonly scripts: scripts.Scripts
  readonly ids: string
  readonly open: string
  readonly done: string
  readonly keyOf: (id: string) => string
  /** Where the id begins in a key, in Lua. */
  readonly idFrom: number
  readonly write: Write
  readonly read: redisScript.Run
  readonly page: (index: string, from: string, until: string, count: number) => Effect.Effect<unknown, Redis.RedisError>
}

/** In a cluster all of it is in one slot, since what stands in braces decides. */
const makeServer = (
  redis: Redis.Redis["Service"],
  write: Write,
  prefix: string,
  scripts: scripts.Scripts
): Server => ({
  scripts,
  ids: `{${prefix}}:ids`,
  open: `{${prefix}}:open`,
  done: `{${prefix}}:done`,
  keyOf: (id) => `{${prefix}}:record:${id}`,
  idFrom: `{${prefix}}:record:`.length + 1,
  write,
  read: redisScript.runner(redis),
  page: (index, from, until, count) => redis.send<unknown>("ZRANGEBYLEX", index, from, until, "LIMIT", "0", `${count}`)
})

const unavailable = <A>(
  operation: string,
  self: Effect.Effect<A, Failure | StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> =>
  Effect.mapError(
    self,
    (failure) =>
      failure._tag === "StoreUnavailable" ? failure : new StoreUnavailable({ operation, detail: failure._tag })
  )

const unreadable = (operation: string) => Exit.fail(new StoreUnavailable({ operation, detail: "RowUnreadable" }))

// --- what an owner does

const owning = (
  server: Server,
  batchMax: number
): Pick<Store, "claim" | "complete" | "release" | "renew" | "resolve"> => {
  const claims = Gathering.make(
    batchMax,
    sharedOfClaim,
    (requests: ReadonlyArray<ClaimRequest>) => unavailable("claim", claim(server, requests))
  )
  const endsAs = (operation: "complete" | "release") =>
    Gathering.make(
      batchMax,
      sharedOfEnd,
      (ends: ReadonlyArray<End>) => unavailable(operation, finish(server, operation, ends))
    )
  const [completed, released] = [endsAs("complete"), endsAs("release")]
  return {
    claim: claims.submit,
    complete: (request) =>
      request.completion._tag === "Indeterminate"
        ? unavailable("complete", Effect.flatMap(giveUp(server, request, request.completion), toBoolean("complete")))
        : completed.submit(toEnd(request, request.completion._tag, request.completion)),
    release: (request) => released.submit(toEnd(request, "Vacant", { result: "", ttlMillis: request.ttlMillis })),
    renew: (requests) => unavailable("renew", renew(server, requests)),
    resolve: (request) => unavailable("resolve", Effect.flatMap(resolve(server, request), toBoolean("resolve")))
  }
}

const sharedOfClaim = ({ attemptsMax, canResolve, leaseMillis }: ClaimRequest): string =>
  `${leaseMillis} ${attemptsMax} ${canResolve}`

const claim = (server: Server, requests: ReadonlyArray<ClaimRequest>) => {
  const { ids, keyOf, open, done, scripts, write } = server
  const [first] = requests
  const leaseMillis = Math.ceil(first?.leaseMillis ?? 0)
  const parameters: Array<number | string> = [
    server.idFrom,
    leaseMillis,
    first?.canResolve === true ? 1 : 0,
    first?.attemptsMax ?? 0
  ]
  for (const { fingerprint, owner } of requests) parameters.push(`${encodeLine(fingerprint)}\n${encodeLine(owner)}`)
  return Effect.map(
    write(scripts.claim, [ids, open, done, ...requests.map(({ id }) => keyOf(id))], parameters, hasClaimed),
    (answer) => {
      const answers: ReadonlyArray<unknown> | undefined = Array.isArray(answer) ? answer : undefined
      const now = integer(answers === undefined ? answer : answers[0])
      return (index: number): Exit.Exit<ClaimReply, StoreUnavailable> => {
        const request = requests[index]
        const record = request === undefined || Number.isNaN(now)
          ? undefined
          : recordOf(request, leaseMillis, answers === undefined ? 1 : answers[index + 1], now)
        return record === undefined ? unreadable("claim") : Exit.succeed({ record, now })
      }
    }
  )
}

const isClaimed = (answer: unknown): boolean => answer === 1 || Array.isArray(answer)
const hasClaimed = (answer: unknown): boolean => !Array.isArray(answer) || answer.slice(1).some(isClaimed)

/** Where there was nothing, the machine says what there is now. */
const recordOf = (
  request: ClaimRequest,
  leaseMillis: number,
  answer: unknown,
  now: number
): Record | undefined => {
  if (answer === 1) {
    return machine.claim(undefined, request.leaseMillis === leaseMillis ? request : { ...request, leaseMillis }, now)
  }
  const value: unknown = Array.isArray(answer) ? answer[0] : answer
  return typeof value === "string" ? decode(request, value) : undefined
}

const toBoolean = (operation: string) => (answer: unknown): Exit.Exit<boolean, StoreUnavailable> =>
  answer === 1 || answer === 0 ? Exit.succeed(answer === 1) : unreadable(operation)

/** How a claim ends, by its owner. */
interface End {
  readonly id: string
  readonly owner: string
  readonly fence: number
  readonly state: "Refused" | "Succeeded" | "Vacant"
  readonly result: string
  readonly ttlMillis: number
}

const toEnd = (
  { fence, id, owner }: Ownership,
  state: End["state"],
  { result, ttlMillis }: Pick<End, "result" | "ttlMillis">
): End => ({ id, owner, fence, state, result, ttlMillis })

const sharedOfEnd = ({ state, ttlMillis }: End): string => `${state} ${ttlMillis}`

const finish = (
  { done, idFrom, keyOf, open, scripts, write }: Server,
  operation: string,
  ends: ReadonlyArray<End>
) => {
  const [first] = ends
  const parameters: Array<number | string> = [idFrom, Math.ceil(first?.ttlMillis ?? 0), first?.state ?? ""]
  for (const { fence, owner, result } of ends) parameters.push(`${encodeLine(owner)}\n${fence}`, result)
  return Effect.map(
    write(scripts.finish, [open, done, ...ends.map(({ id }) => keyOf(id))], parameters, hasFinished),
    (answer) => {
      const answers: ReadonlyArray<unknown> | undefined = Array.isArray(answer) ? answer : undefined
      return (index: number) => toBoolean(operation)(answers === undefined ? answer : answers[index])
    }
  )
}

const hasFinished = (answer: unknown): boolean => answer === 1 || (Array.isArray(answer) && answer.includes(1))

const giveUp = (
  { keyOf, scripts, write }: Server,
  { fence, id, owner }: Ownership,
  { attemptsMax, counted, ran }: Extract<Completion, { readonly _tag: "Indeterminate" }>
) => write(scripts.giveUp, [keyOf(id)], [encodeLine(owner), fence, ran ? 1 : 0, counted ? 1 : 0, attemptsMax])

const renew = ({ keyOf, scripts, write }: Server, requests: ReadonlyArray<RenewRequest>) =>
  Effect.map(
    Effect.forEach(chunksOf(requests, renewChunk), (chunk) =>
      Effect.flatMap(
        write(
          scripts.renew,
          chunk.map(({ id }) => keyOf(id)),
          chunk.flatMap(({ fence, leaseMillis, owner }) => [encodeLine(owner), fence, Math.ceil(leaseMillis)])
        ),
        (answer) =>
          Array.isArray(answer) && answer.length === chunk.length
            ? Effect.succeed(answer.map((each) => each === 1))
            : unreadable("renew")
      ), { concurrency: "unbounded" }),
    (answers) => answers.flat()
  )

const resolve = ({ done, keyOf, open, scripts, write }: Server, request: ResolveRequest) =>
  write(scripts.resolve, [keyOf(request.id), open, done], [
    request.id,
    request.fence,
    encodeLine(machine.resolver(request)),
    request.resolution._tag === "NeverHappened" ? "Vacant" : request.resolution._tag,
    request.resolution._tag === "NeverHappened" ? "" : request.resolution.result,
    Math.ceil(request.ttlMillis)
  ])

// --- what an operator does

const operating = (server: Server): Pick<Store, "evict" | "inspect" | "list" | "sweep"> => ({
  inspect: (id) => unavailable("inspect", inspect(server, id)),
  list: (request) =>
    isLimit(request.limit, listLimitMax)
      ? unavailable("list", list(server, request))
      : limitExceeded("list", listLimitMax),
  evict: (id, { force }) => unavailable("evict", evict(server, id, force)),
  sweep: ({ limit }) =>
    isLimit(limit, sweepLimitMax) ? unavailable("sweep", sweep(server, limit)) : limitExceeded("sweep", sweepLimitMax)
})

/** The texts of these records, null where there is none, and the time. */
const readAll = Effect.fnUntraced(function*(server: Server, operation: string, ids: ReadonlyArray<string>) {
  const answer = yield* server.read(server.scripts.read, ids.map(server.keyOf), [])
  const [time, values] = Array.isArray(answer) ? answer as ReadonlyArray<unknown> : []
  const now = integer(time)
  return Array.isArray(values) && values.length === ids.length && !Number.isNaN(now)
    ? { now, values: values as ReadonlyArray<unknown> }
    : yield* unreadable(operation)
})

const inspect = Effect.fnUntraced(function*(server: Server, id: RecordId) {
  const { now, values: [value] } = yield* readAll(server, "inspect", [id.id])
  if (value === null || value === undefined) return { record: undefined, now }
  const record = typeof value === "string" ? decode(id, value) : undefined
  return record === undefined ? yield* unreadable("inspect") : { record, now }
})

/** Reads the index in its order, some ids at a time, until the page is full. */
const list = Effect.fnUntraced(function*(server: Server, request: ListRequest) {
  const { limit, operation, state, stuck, tenant } = request
  const from = tenant === undefined ? undefined : idPrefix(tenant, operation)
  // Behind every character that an id can have.
  const until = from === undefined ? "+" : `(${from}\x7f`
  const index = stuck === true || (state !== undefined && machine.isUnfinished(state)) ? server.open : server.ids
  const page: Array<Record> = []
  let after = request.after
  for (;;) {
    const lower = after !== undefined && (from === undefined || after >= from)
      ? `(${after}`
      : from === undefined
      ? "-"
      : `[${from}`
    const ids = toTexts(yield* server.page(index, lower, until, readChunk))
    if (ids === undefined) return yield* unreadable("list")
    if (ids.length === 0) return page
    const { now, values } = yield* readAll(server, "list", ids)
    for (const [i, value] of values.entries()) {
      // It went in between.
      if (value === null) continue
      const id = parseId(ids[i] ?? "")
      const record = id === undefined || typeof value !== "string" ? undefined : decode(id, value)
      if (record === undefined) return yield* unreadable("list")
      if (machine.isListed(record, request, now)) page.push(record)
      if (page.length === limit) return page
    }
    after = ids.at(-1)
  }
})

const evict = Effect.fnUntraced(
  function*({ done, ids, keyOf, open, scripts, write }: Server, { id }: RecordId, force: boolean) {
    const answer = yield* write(scripts.evict, [keyOf(id), ids, open, done], [id, force ? 1 : 0])
    return answer === "Evicted" || answer === "Absent" || answer === "Held" ? answer : yield* unreadable("evict")
  }
)

const sweep = Effect.fnUntraced(function*({ done, ids, keyOf, read, scripts, write }: Server, limit: number) {
  let swept = 0
  for (;;) {
    const size = Math.min(dropChunk, limit - swept)
    const expired = size === 0 ? [] : toTexts(yield* read(scripts.expired, [done], [size]))
    if (expired === undefined) return yield* unreadable("sweep")
    if (expired.length === 0) return swept
    const dropped = yield* write(scripts.drop, [ids, done, ...expired.map(keyOf)], expired)
    if (typeof dropped !== "number") return yield* unreadable("sweep")
    swept += dropped
    // What is left of them is none of ours, or has been taken over since.
    if (dropped < expired.length) return swept
  }
})
