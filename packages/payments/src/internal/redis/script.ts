/**
 * Scripts of Redis as the stores here run them: on the clock of the server, given every key that they touch.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Redis } from "../effect/redis.ts"
import { Refused } from "./refused.ts"

/** @internal The clock of the server in milliseconds, in Lua. */
export const serverTime =
  `(function(time) return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) end)(redis.call("TIME"))`

/** @internal */
export type Parameters = ReadonlyArray<number | string>

/** @internal */
export type Script = ReturnType<typeof make>

/** @internal A script that knows the time as `now`. */
export const make = (now: string, lua: string) =>
  Redis.script(
    (keys: ReadonlyArray<string>, parameters: Parameters): Parameters => [...keys, ...parameters],
    { numberOfKeys: (keys) => keys.length, lua: `local now = ${now}\n${lua}` }
  ).withReturnType<unknown>()

/** @internal How many replicas have to have a write before it counts, and how long that may take. */
export interface Replicas {
  readonly count: number
  readonly timeout: Duration.Input
}

/** @internal Too few replicas have it in time: it may be lost with the primary. */
export class NotReplicated {
  readonly _tag = "NotReplicated"
}

/** @internal */
export type Failure = Redis.RedisError | NotReplicated

/** @internal Runs a script that writes, and knows from its answer whether it did. */
export type Write = (
  script: Script,
  keys: ReadonlyArray<string>,
  parameters: Parameters,
  isWritten?: (answer: unknown) => boolean
) => Effect.Effect<unknown, Failure>

/** @internal Runs a script, with its answer. */
export type Run = (
  script: Script,
  keys: ReadonlyArray<string>,
  parameters: Parameters
) => Effect.Effect<unknown, Redis.RedisError>

/**
 * @internal By its hash, which is asked for once: `Redis.eval` looks it up for each run. A server that has forgotten its
 * scripts, as after a restart, is told again.
 */
export const runner = ({ send }: Pick<Redis.Redis["Service"], "send">): Run => {
  const hashes = new Map<Script, string>()
  return (script, keys, parameters) => {
    const run = (hash: string) => send("EVALSHA", hash, String(keys.length), ...keys, ...parameters.map(String))
    const load = Effect.flatMap(send<string>("SCRIPT", "LOAD", script.lua), (hash) => {
      hashes.set(script, hash)
      return run(hash)
    })
    const hash = hashes.get(script)
    return hash === undefined ? load : Effect.catch(
      run(hash),
      (error) => String(error.cause).includes("NOSCRIPT") ? load : Effect.fail(error)
    )
  }
}

const timeoutMillisMax = 60_000

/**
 * @internal The connection that wrote has to be the one that waits, and nobody else may stand behind it. An unfinished
 * write keeps its answer to itself: who sends it again writes it again, and waits again.
 */
export const writer = (
  redis: Redis.Redis["Service"],
  replicas: Replicas | undefined
): Effect.Effect<Write, Refused> => {
  if (replicas === undefined) return Effect.succeed(runner(redis))
  const { count } = replicas
  const timeout = Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(replicas.timeout)))
  if (!isWithin(count, 100)) return Effect.fail(new Refused("replicas.count must be a whole number from 1 to 100"))
  if (!isWithin(timeout, timeoutMillisMax)) {
    return Effect.fail(new Refused("replicas.timeout must be from 1 millisecond to 1 minute"))
  }
  return Effect.succeed((script, keys, parameters, isWritten = (answer) => answer !== 0) =>
    Effect.scoped(Effect.gen(function*() {
      const connection = yield* redis.reserve
      const answer = yield* connection.eval(script)(keys, parameters)
      if (!isWritten(answer)) return answer
      const acknowledged = yield* connection.send<unknown>("WAIT", `${count}`, `${timeout}`)
      return Number(acknowledged) >= count ? answer : yield* Effect.fail(new NotReplicated())
    }))
  )
}

const isWithin = (value: number, max: number): boolean => Number.isInteger(value) && value >= 1 && value <= max

/** @internal It stands in braces before every key: in a cluster all of a store is in one slot. */
export const checkPrefix = (prefix: string): Effect.Effect<void, Refused> =>
  /^[\x21-\x7e]{1,100}$/.test(prefix) && !/[{}]/.test(prefix)
    ? Effect.void
    : Effect.fail(new Refused("prefix must be 1 to 100 printable ASCII characters without spaces and braces"))

/** @internal Undefined when the answer is another. */
export const toTexts = (answer: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(answer) && answer.every((each) => typeof each === "string") ? answer : undefined

/** @internal A script keeps everybody else waiting: many keys are several scripts. */
export const chunksOf = <A>(all: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))
