/** What the processes of the saga kill test are told and say, and what their sagas are about. */
import { Schema } from "effect"
import { protocolOf, StoreAt } from "../soak/wire.ts"
import { isPoint, type Point } from "./points.ts"

/**
 * What is bought: each order has an amount of its own, by which it is found in the gateway's ledger. `kind` is the saga that it
 * runs through. `plans` is what the gateway does with its requests, by phase.
 */
export const Order = Schema.Struct({
  orderId: Schema.String,
  kind: Schema.Literals(["sale", "order"]),
  amountMinor: Schema.Int,
  token: Schema.String,
  plans: Schema.Struct({
    authorize: Schema.String,
    capture: Schema.String,
    void: Schema.String,
    refund: Schema.String
  })
})
export type Order = typeof Order.Type

/** What can be wrong on purpose: see `broken.ts`. */
export const Broken = Schema.Literals([
  "no-fence",
  "no-intents",
  "lost-undos",
  "ends-early",
  "fresh-keys",
  "blind-lookups"
])
export type Broken = typeof Broken.Type

/** `store` is how a process reaches it. */
const Job = Schema.Struct({
  store: StoreAt,
  gatewayUrl: Schema.String,
  servicesUrl: Schema.String,
  leaseMillis: Schema.Int,
  settleMillis: Schema.Int,
  attemptMillis: Schema.Int,
  broken: Schema.optionalKey(Broken)
})

/** `execute` waits for the end, `start` only until the run is durable. */
export const Call = Schema.Struct({
  id: Schema.Int,
  does: Schema.Literals(["execute", "start", "cancel", "resume"]),
  order: Order
})
export type Call = typeof Call.Type

/** What a caller was told. `Open` asks to call again; `Broken` must never be said. `capture` is the transaction's id. */
export const Answer = Schema.TaggedUnion({
  Ended: { state: Schema.String, capture: Schema.optionalKey(Schema.String) },
  Started: {},
  Open: { reason: Schema.String },
  Broken: { detail: Schema.String }
})
export type Answer = typeof Answer.Type

const PointName = Schema.String.pipe(Schema.refine(isPoint)) satisfies Schema.Codec<Point, string>

export const protocol = protocolOf({ job: Job, call: Call, answer: Answer, point: PointName })
