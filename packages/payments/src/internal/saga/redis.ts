/**
 * The saga log over Redis: one script for each transition, on the clock of the server. `redisScripts` says how runs and
 * their index are kept. No key has an expiry of Redis.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { SagaLog } from "../../SagaLog.ts"
import { Redis } from "../effect/redis.ts"
import * as redisScript from "../redis/script.ts"
import { chunksOf, type Failure, type Parameters, type Script, toTexts, type Write } from "../redis/script.ts"
import { type Options, start } from "../redis/start.ts"
import { integer } from "../sql/integer.ts"
import {
  type AppendReply,
  type AppendRequest,
  type ClaimRequest,
  type Entry,
  type History,
  type Inbox,
  type InboxRequest,
  isLimit,
  type ListedRun,
  listLimitMax,
  type ListRequest,
  type OrphansRequest,
  type RenewRequest,
  type Run,
  type RunId,
  type SignalReply,
  type SignalRequest,
  stepOf,
  sweepLimitMax,
  type SweepRequest
} from "./record.ts"
import * as scripts from "./redisScripts.ts"
import { decodeEntry, decodeListed, decodeRun, encodeEvents } from "./row.ts"
import { limitExceeded, LogUnavailable } from "./unavailable.ts"

type Log = SagaLog["Service"]

// Runs that one script renews, reads, takes over or drops at the most.
const renewChunk = 1_000
const inboxChunk = 500
const readChunk = 200
const adoptChunk = 50
const dropChunk = 500
const lapsedChunk = 1_000

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Log, LogUnavailable, Redis.Redis> {
  const redis = yield* Redis.Redis
  const write = yield* Effect.mapError(
    start(redis, options),
    ({ detail }) => new LogUnavailable({ operation: "start", detail })
  )
  const server = makeServer(redis, write, options.prefix, scripts.make(options.now ?? redisScript.serverTime))
  return { ...owning(server), ...asking(server), ...finding(server) }
})

interface Server {
  readonly scripts: scripts.Scripts
  readonly runs: string
  readonly open: string
  readonly done: string
  readonly stuck: string
  readonly stray: string
  readonly runOf: (key: string) => string
  readonly entriesOf: (key: string) => string
  readonly messagesOf: (key: string) => string
  readonly write: Write
  readonly read: (
    script: Script,
    keys: ReadonlyArray<string>,
    parameters: Parameters
  ) => Effect.Effect<unknown, Failure>
  readonly page: (index: string, after: string | undefined) => Effect.Effect<unknown, Failure>
}

const makeServer = (
  redis: Redis.Redis["Service"],
  write: Write,
  prefix: string,
  scripts: scripts.Scripts
): Server => ({
  scripts,
  runs: `{${prefix}}:runs`,
  open: `{${prefix}}:open`,
  done: `{${prefix}}:done`,
  stuck: `{${prefix}}:stuck`,
  stray: `{${prefix}}:stray`,
  runOf: (key) => `{${prefix}}:run:${key}`,
  entriesOf: (key) => `{${prefix}}:entries:${key}`,
  messagesOf: (key) => `{${prefix}}:messages:${key}`,
  write,
  read: (script, keys, parameters) => redis.eval(script)(keys, parameters),
  page: (index, after) =>
    redis.send<unknown>(
      "ZRANGEBYLEX",
      index,
      after === undefined ? "-" : `(${after}`,
      "+",
      "LIMIT",
      "0",
      `${readChunk}`
    )
})

const unavailable = <A>(
  operation: string,
  self: Effect.Effect<A, Failure | LogUnavailable>
): Effect.Effect<A, LogUnavailable> =>
  Effect.mapError(
    self,
    (failure) => failure._tag === "LogUnavailable" ? failure : new LogUnavailable({ operation, detail: failure._tag })
  )

const unreadable = (operation: string) => Effect.fail(new LogUnavailable({ operation, detail: "RowUnreadable" }))

const toArray = (answer: unknown): ReadonlyArray<unknown> | undefined => Array.isArray(answer) ? answer : undefined

/** A text that may be missing, for a script. */
const optional = (text: number | string | undefined): string => text === undefined ? "" : `=${text}`

// --- what an owner does

const owning = (server: Server): Pick<Log, "append" | "claim" | "release" | "renew"> => ({
  claim: (request) => unavailable("claim", claim(server, request)),
  append: (request) => unavailable("append", append(server, request)),
  renew: (requests) => unavailable("renew", renew(server, requests)),
  release: ({ epoch, key, owner }) =>
    unavailable(
      "release",
      Effect.flatMap(
        server.write(server.scripts.release, [server.runOf(key), server.open], [key, owner, epoch], isChange),
        (answer) => answer === 1 || answer === 0 ? Effect.succeed(answer === 1) : unreadable("release")
      )
    )
})

const isChange = (answer: unknown): boolean => answer !== 0 && answer !== -1

const claim = (server: Server, request: ClaimRequest) => {
  const { done, entriesOf, open, runOf, runs, scripts, stray, stuck, write } = server
  const { id, key, leaseMillis, opening, owner, reopen, saga } = request
  const begin = opening === undefined ? ["", "", "", "", "", ""] : [
    opening.fingerprint,
    opening.definition,
    opening.payload,
    opening.state,
    optional(stepOf(opening.events)),
    encodeEvents(opening.events)
  ]
  const parameters = [
    key,
    owner,
    Math.ceil(leaseMillis),
    reopen === "Completed" ? 2 : reopen === true ? 1 : 0,
    opening === undefined ? 0 : 1,
    saga,
    id,
    ...begin
  ]
  return Effect.flatMap(
    write(
      scripts.claim,
      [runOf(key), entriesOf(key), runs, open, done, stuck, stray],
      parameters,
      (answer) => toArray(answer)?.[3] === 1
    ),
    (answer) => toHistory("claim", answer)
  )
}

/** What `claim` and `read` answer: 0 when there is no such run. */
const toHistory = (operation: string, answer: unknown): Effect.Effect<History | undefined, LogUnavailable> => {
  if (answer === 0) return Effect.undefined
  const [time, fields, texts] = toArray(answer) ?? []
  const now = integer(time)
  const run = toRun(fields)
  const entries = run === undefined ? undefined : toEntries(run, texts)
  return run === undefined || entries === undefined || Number.isNaN(now)
    ? unreadable(operation)
    : Effect.succeed({ run, entries, now })
}

const toRun = (fields: unknown): Run | undefined => {
  const row = toArray(fields)
  return row === undefined ? undefined : decodeRun(row)
}

/** Undefined where one is missing or none of ours. */
const toEntries = ({ key, length }: Run, texts: unknown): ReadonlyArray<Entry> | undefined => {
  const entries = (toTexts(texts) ?? []).flatMap((text) => {
    const [seq, epoch, at, state, ...events] = text.split("\n")
    return decodeEntry([key, seq, epoch, at, state, events.join("\n")]) ?? []
  })
  return entries.length === length && entries.every(({ seq }, index) => seq === index + 1) ? entries : undefined
}

const append = (server: Server, request: AppendRequest) => {
  const { done, entriesOf, open, runOf, scripts, stuck, write } = server
  const { epoch, events, key, owner, seq, state } = request
  return Effect.flatMap(
    write(
      scripts.append,
      [runOf(key), entriesOf(key), open, done, stuck],
      [key, owner, epoch, seq, state, optional(stepOf(events)), encodeEvents(events)],
      isChange
    ),
    (answer): Effect.Effect<AppendReply, LogUnavailable> => {
      if (answer === 0) return Effect.succeed({ appended: false, cancelRequested: false, pauseRequested: undefined })
      const [appended, cancel, pause] = toArray(answer) ?? []
      return appended === 1 ? Effect.succeed({ appended: true, ...toWishes(cancel, pause) }) : unreadable("append")
    }
  )
}

const toWishes = (cancel: unknown, pause: unknown): Pick<Inbox, "cancelRequested" | "pauseRequested"> => ({
  cancelRequested: cancel === "1",
  pauseRequested: typeof pause === "string" ? pause : undefined
})

const renew = ({ open, runOf, scripts, write }: Server, requests: ReadonlyArray<RenewRequest>) =>
  Effect.map(
    Effect.forEach(chunksOf(requests, renewChunk), (chunk) =>
      Effect.flatMap(
        write(
          scripts.renew,
          [open, ...chunk.map(({ key }) => runOf(key))],
          chunk.flatMap(({ epoch, key, leaseMillis, owner }) => [key, owner, epoch, Math.ceil(leaseMillis)])
        ),
        (answer) => {
          const answers = toArray(answer)
          return answers?.length === chunk.length
            ? Effect.succeed(answers.map((each) => each === 1))
            : unreadable("renew")
        }
      ), { concurrency: "unbounded" }),
    (answers) => answers.flat()
  )

// --- what others want of a run

const asking = (server: Server): Pick<Log, "cancel" | "inbox" | "pause" | "signal"> => ({
  cancel: (id) => unavailable("cancel", wish(server, "cancel", id, [])),
  pause: (request) => unavailable("pause", wish(server, "pause", request, [request.note])),
  signal: (request) => unavailable("signal", signal(server, request)),
  inbox: (requests) => unavailable("inbox", inbox(server, requests))
})

const wish = (
  { runOf, scripts, write }: Server,
  operation: "cancel" | "pause",
  { key }: RunId,
  parameters: Parameters
) =>
  Effect.flatMap(
    write(scripts[operation], [runOf(key)], parameters, (answer) => toArray(answer)?.[1] === 1),
    (answer) => {
      if (answer === 0) return Effect.undefined
      const run = toRun(toArray(answer)?.[0])
      return run === undefined ? unreadable(operation) : Effect.succeed(run)
    }
  )

const signal = (server: Server, { event, key, step, value }: SignalRequest) =>
  Effect.flatMap(
    server.write(
      server.scripts.signal,
      [server.runOf(key), server.messagesOf(key), server.stray],
      [key, step, event, value],
      (answer) => answer !== "Full"
    ),
    (answer): Effect.Effect<SignalReply, LogUnavailable> =>
      answer === "Kept" || answer === "Known" || answer === "Full" ? Effect.succeed(answer) : unreadable("signal")
  )

const inbox = ({ messagesOf, read, runOf, scripts }: Server, requests: ReadonlyArray<InboxRequest>) =>
  Effect.map(
    Effect.forEach(chunksOf(requests, inboxChunk), (chunk) =>
      Effect.flatMap(
        read(
          scripts.inbox,
          chunk.flatMap(({ key }) => [runOf(key), messagesOf(key)]),
          chunk.flatMap(({ except = [], step }) => [step, JSON.stringify(except)])
        ),
        (answer) => {
          const answers = toArray(answer)
          return answers?.length === chunk.length ? Effect.succeed(answers.map(toInbox)) : unreadable("inbox")
        }
      )),
    (answers) => answers.flat()
  )

const toInbox = (answer: unknown): Inbox => {
  const [event, value, cancel, pause, at] = toArray(answer) ?? []
  return {
    event: typeof event === "string" ? event : undefined,
    at: typeof at === "string" ? integer(at) : undefined,
    value: typeof value === "string" ? value : undefined,
    ...toWishes(cancel, pause)
  }
}

// --- what finds runs

const finding = (server: Server): Pick<Log, "list" | "orphans" | "read" | "sweep"> => ({
  read: ({ key }) =>
    unavailable(
      "read",
      Effect.flatMap(
        server.read(server.scripts.read, [server.runOf(key), server.entriesOf(key)], []),
        (answer) => toHistory("read", answer)
      )
    ),
  orphans: (request) =>
    isLimit(request.limit, listLimitMax)
      ? unavailable("orphans", orphans(server, request))
      : limitExceeded("orphans", listLimitMax),
  list: (request) =>
    isLimit(request.limit, listLimitMax)
      ? unavailable("list", list(server, request))
      : limitExceeded("list", listLimitMax),
  sweep: (request) =>
    isLimit(request.limit, sweepLimitMax)
      ? unavailable("sweep", sweep(server, request))
      : limitExceeded("sweep", sweepLimitMax)
})

/** Looks for them first, and takes over what is still free then. */
const orphans = Effect.fnUntraced(function*(server: Server, request: OrphansRequest) {
  const keys = yield* lapsed(server, request)
  const { done, entriesOf, open, runOf, scripts, stuck, write } = server
  const adopted = yield* Effect.forEach(chunksOf(keys, adoptChunk), (chunk) =>
    Effect.flatMap(
      write(
        scripts.adopt,
        [open, done, stuck, ...chunk.flatMap((key) => [runOf(key), entriesOf(key)])],
        [request.owner, Math.ceil(request.leaseMillis), ...chunk]
      ),
      toOrphans
    ))
  return adopted.flat()
})

/** A key begins with the saga and its length: no two sagas begin alike. */
const lapsed = Effect.fnUntraced(function*({ open, read, scripts }: Server, request: OrphansRequest) {
  const beginnings = request.sagas.map((saga) => `${saga.length}:${saga}`)
  const except = new Set(request.except)
  const found: Array<string> = []
  for (let offset = 0;; offset += lapsedChunk) {
    const keys = toTexts(yield* read(scripts.lapsed, [open], [offset, lapsedChunk]))
    if (keys === undefined) return yield* unreadable("orphans")
    found.push(...keys.filter((key) => !except.has(key) && beginnings.some((beginning) => key.startsWith(beginning))))
    if (keys.length < lapsedChunk || found.length >= request.limit) return found.slice(0, request.limit)
  }
})

/** One that cannot be read does not hold up the others. */
const toOrphans = (answer: unknown): Effect.Effect<ReadonlyArray<History>, LogUnavailable> => {
  const [time, histories] = toArray(answer) ?? []
  const now = integer(time)
  const all = toArray(histories)
  if (all === undefined || Number.isNaN(now)) return unreadable("orphans")
  return Effect.succeed(all.flatMap((history): ReadonlyArray<History> => {
    const [fields, texts] = toArray(history) ?? []
    const run = toRun(fields)
    if (run === undefined) return []
    const entries = toEntries(run, texts)
    return [entries === undefined ? { run, entries: [], now, isUnreadable: true } : { run, entries, now }]
  }))
}

/** Reads the index in its order, some runs at a time, until the page is full. */
const list = Effect.fnUntraced(function*(server: Server, request: ListRequest) {
  const { limit, saga, state, step, untouchedMillis } = request
  const index = state === "Parked" || state === "FailedCompensation" ? server.stuck : server.runs
  const age = untouchedMillis === undefined ? undefined : Math.ceil(untouchedMillis)
  const page: Array<ListedRun> = []
  let after = request.after
  for (;;) {
    const keys = toTexts(yield* server.page(index, after))
    if (keys === undefined) return yield* unreadable("list")
    if (keys.length === 0) return page
    const answer = yield* server.read(
      server.scripts.list,
      keys.map(server.runOf),
      [limit - page.length, ...[saga, state, step, age].map(optional)]
    )
    for (const found of toArray(answer) ?? [undefined]) {
      const [place, fields] = toArray(found) ?? []
      const key = keys[integer(place) - 1]
      const row = toArray(fields)
      if (key === undefined || row === undefined) return yield* unreadable("list")
      // One that cannot be read does not hide the others.
      page.push(decodeListed([key, ...row.slice(1)]))
    }
    if (page.length >= limit) return page
    after = keys.at(-1)
  }
})

const sweep = Effect.fnUntraced(function*(server: Server, { limit, olderThanMillis }: SweepRequest) {
  const age = Math.ceil(olderThanMillis)
  const dropped = yield* dropEnded(server, age, limit)
  yield* dropStray(server, age, limit)
  return dropped
})

const dropEnded = Effect.fnUntraced(function*(server: Server, age: number, limit: number) {
  const { done, entriesOf, messagesOf, open, read, runOf, runs, scripts, stuck, write } = server
  let swept = 0
  for (;;) {
    const size = Math.min(dropChunk, limit - swept)
    const keys = size === 0 ? [] : toTexts(yield* read(scripts.before, [done], [age, size]))
    if (keys === undefined) return yield* unreadable("sweep")
    if (keys.length === 0) return swept
    const names = keys.flatMap((key) => [runOf(key), entriesOf(key), messagesOf(key)])
    const answer = yield* write(scripts.drop, [runs, open, done, stuck, ...names], [age, ...keys])
    const [dropped, gone] = (toArray(answer) ?? []).map(integer)
    if (dropped === undefined || gone === undefined) return yield* unreadable("sweep")
    swept += dropped
    // What is left of them is none of ours, or has been taken over since.
    if (dropped + gone < keys.length) return swept
  }
})

const dropStray = Effect.fnUntraced(function*(server: Server, age: number, limit: number) {
  const { messagesOf, read, runOf, scripts, stray, write } = server
  const keys = toTexts(yield* read(scripts.before, [stray], [age, limit]))
  if (keys === undefined) return yield* unreadable("sweep")
  yield* Effect.forEach(
    chunksOf(keys, dropChunk),
    (chunk) =>
      write(scripts.dropStray, [stray, ...chunk.flatMap((key) => [runOf(key), messagesOf(key)])], [age, ...chunk]),
    { discard: true }
  )
})
