/**
 * What a contract and the processes of a store say to each other: a line each, a question with a number and its answer with
 * the same.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Key, Scope, State } from "../../idempotency/record.ts"

const recordId = { id: Schema.String, scope: Scope, key: Key }
const ownership = { ...recordId, owner: Schema.String, fence: Schema.Finite }

const Record = Schema.Struct({
  ...ownership,
  state: State,
  fingerprint: Schema.String,
  attempt: Schema.Finite,
  unresolved: Schema.Finite,
  leaseUntil: Schema.Finite,
  unknownSince: Schema.Finite,
  result: Schema.UndefinedOr(Schema.String),
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite,
  expiresAt: Schema.UndefinedOr(Schema.Finite)
})

const ended = { result: Schema.String, ttlMillis: Schema.Finite }
const found = { result: Schema.String }

/** @internal The operations of the port: what each is asked with, and what it answers. */
export const operations = {
  claim: {
    request: Schema.Struct({
      ...recordId,
      fingerprint: Schema.String,
      owner: Schema.String,
      leaseMillis: Schema.Finite,
      canResolve: Schema.Boolean,
      attemptsMax: Schema.Finite
    }),
    reply: Schema.Struct({ record: Record, now: Schema.Finite })
  },
  complete: {
    request: Schema.Struct({
      ...ownership,
      completion: Schema.TaggedUnion({
        Succeeded: ended,
        Refused: ended,
        Indeterminate: { ran: Schema.Boolean, counted: Schema.Boolean, attemptsMax: Schema.Finite }
      })
    }),
    reply: Schema.Boolean
  },
  release: { request: Schema.Struct({ ...ownership, ttlMillis: Schema.Finite }), reply: Schema.Boolean },
  renew: {
    request: Schema.Array(Schema.Struct({ ...ownership, leaseMillis: Schema.Finite })),
    reply: Schema.Array(Schema.Boolean)
  },
  resolve: {
    request: Schema.Struct({
      ...recordId,
      fence: Schema.Finite,
      ttlMillis: Schema.Finite,
      resolution: Schema.TaggedUnion({ Succeeded: found, Refused: found, NeverHappened: {} })
    }),
    reply: Schema.Boolean
  },
  inspect: {
    request: Schema.Struct(recordId),
    reply: Schema.Struct({ record: Schema.UndefinedOr(Record), now: Schema.Finite })
  },
  list: {
    request: Schema.Struct({
      tenant: Schema.optional(Schema.String),
      operation: Schema.optional(Schema.String),
      state: Schema.optional(State),
      stuck: Schema.optional(Schema.Boolean),
      limit: Schema.Finite,
      after: Schema.optional(Schema.String)
    }),
    reply: Schema.Array(Record)
  },
  evict: {
    request: Schema.Struct({ ...recordId, force: Schema.Boolean }),
    reply: Schema.Literals(["Evicted", "Absent", "Held"])
  },
  sweep: { request: Schema.Struct({ limit: Schema.Finite }), reply: Schema.Finite }
} as const

/** @internal */
export type Operation = keyof typeof operations

const names = ["claim", "complete", "release", "renew", "resolve", "inspect", "list", "evict", "sweep"] as const

/** @internal To a process: an operation, its request still encoded. */
export const Ask = Schema.Struct({ number: Schema.Int, operation: Schema.Literals(names), request: Schema.Json })

/** @internal From a process: that its store is open, what the store has answered, or that it was not available. */
export const Said = Schema.TaggedUnion({
  Up: {},
  Answered: { number: Schema.Int, reply: Schema.Json },
  Unavailable: { number: Schema.Int, operation: Schema.String, detail: Schema.String }
})

// What else a process prints, such as its log, is none of ours.
const mark = "@store-contract "

// In characters.
const lineMax = 1 << 23

/** A line is longer than any that is said. */
class TooLong extends Schema.TaggedError<TooLong>()("TooLong", {}) {}

/** @internal */
export const toLine = <S extends Schema.Codec<unknown, unknown>>(schema: S) => {
  const encode = Schema.encodeEffect(Schema.fromJsonString(Schema.toCodecJson(schema)))
  return (message: S["Type"]) => Effect.map(encode(message), (text) => `${mark}${text}\n`)
}

/** @internal The messages among the lines of a stream. */
export const messages = <S extends Schema.Codec<unknown, unknown>>(schema: S) => {
  const decode = Schema.decodeEffect(Schema.fromJsonString(Schema.toCodecJson(schema)))
  return <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
    Stream.decodeText(bytes).pipe(
      Stream.mapAccumEffect(() => "", linesOf),
      Stream.filter((line) => line.startsWith(mark)),
      Stream.mapEffect((line) => decode(line.slice(mark.length)))
    )
}

const linesOf = (before: string, text: string) => {
  const [head = "", ...lines] = text.split("\n")
  const all = [before + head, ...lines]
  const rest = all.pop() ?? ""
  return rest.length > lineMax ? Effect.fail(new TooLong()) : Effect.succeed([rest, all] as const)
}
