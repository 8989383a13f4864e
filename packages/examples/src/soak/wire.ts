/** What the processes of kill tests are told on standard input, and say on standard output: one line of JSON each. */
import { Schema } from "effect"

/** Where the records are. `place` is a file, a schema of Postgres or a prefix of Redis. */
export const StoreAt = Schema.Struct({
  kind: Schema.Literals(["sqlite", "postgres", "redis"]),
  url: Schema.String,
  place: Schema.String
})
export type StoreAt = typeof StoreAt.Type

/** What can be wrong on purpose: see `broken.ts`. */
export const Broken = Schema.Literals([
  "no-fingerprint",
  "same-fence",
  "deleting-release",
  "read-then-write",
  "rerun-after-save-error"
])
export type Broken = typeof Broken.Type

export const Job = Schema.Struct({
  store: StoreAt,
  gatewayUrl: Schema.String,
  deduplicates: Schema.Boolean,
  leaseMillis: Schema.Int,
  settleMillis: Schema.Int,
  attemptMillis: Schema.Int,
  broken: Schema.optionalKey(Broken)
})
export type Job = typeof Job.Type

/**
 * A point of a charge at which its process can be struck: it has claimed; its request is about to leave, and nothing is
 * checked any more; the gateway has answered; the answer is on its way to the store; the store has it.
 */
export const Point = Schema.Literals(["claimed", "sending", "charged", "saving", "saved"])
export type Point = typeof Point.Type

export const Signal = Schema.Literals(["SIGKILL", "SIGSTOP"])
export type Signal = typeof Signal.Type

/** A call of one caller. `amountMinor` and `token` are its payload; `plan` is what the gateway does with its requests. */
export const Call = Schema.Struct({
  id: Schema.Int,
  key: Schema.String,
  amountMinor: Schema.Int,
  token: Schema.String,
  plan: Schema.String,
  duplicates: Schema.Literals(["await", "reject"])
})
export type Call = typeof Call.Type

/**
 * What a caller was told. `Charged` and `Declined` are answers for good, as text in the form in which a record keeps it;
 * `Open` asks to call again; `Broken` must never be said.
 */
export const Answer = Schema.TaggedUnion({
  Charged: { text: Schema.String },
  Declined: { text: Schema.String },
  Conflict: {},
  Parked: {},
  Open: { reason: Schema.String, notExecuted: Schema.Boolean },
  Broken: { detail: Schema.String }
})
export type Answer = typeof Answer.Type

/** What is said between a kill test and its processes. */
export interface Protocol<Job, Call, Answer, Point> {
  /** Its only argument. */
  readonly job: Schema.Codec<Job, unknown>
  /** To a process: a call, or to send itself the signal when it passes the point the n-th time from now. */
  readonly toWorker: Schema.Codec<
    | { readonly _tag: "Call"; readonly call: Call }
    | { readonly _tag: "Arm"; readonly point: Point; readonly passes: number; readonly signal: Signal },
    string
  >
  /** From a process: that it takes calls, an answer, that it strikes itself now. */
  readonly fromWorker: Schema.Codec<
    | { readonly _tag: "Up" }
    | { readonly _tag: "Answered"; readonly id: number; readonly answer: Answer }
    | { readonly _tag: "Struck"; readonly point: Point; readonly signal: Signal },
    string
  >
}

export const protocolOf = <Job, Call, Answer, Point>(schemas: {
  readonly job: Schema.Codec<Job, unknown>
  readonly call: Schema.Codec<Call, unknown>
  readonly answer: Schema.Codec<Answer, unknown>
  readonly point: Schema.Codec<Point, unknown>
}): Protocol<Job, Call, Answer, Point> => ({
  job: schemas.job,
  toWorker: Schema.fromJsonString(Schema.TaggedUnion({
    Call: { call: schemas.call },
    Arm: { point: schemas.point, passes: Schema.Int, signal: Signal }
  })),
  fromWorker: Schema.fromJsonString(Schema.TaggedUnion({
    Up: {},
    Answered: { id: Schema.Int, answer: schemas.answer },
    Struck: { point: schemas.point, signal: Signal }
  }))
})

export const protocol = protocolOf({ job: Job, call: Call, answer: Answer, point: Point })
