/** Random commands on idempotency records, and the pure machine over a map that says what has to come of them. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { IdempotencyStore } from "effect-payments"
import * as machine from "../../src/internal/idempotency/machine.ts"
import {
  type ClaimRequest,
  type CompleteRequest,
  Key,
  type Record,
  type RecordId,
  recordId,
  type ReleaseRequest,
  type RenewRequest,
  type ResolveRequest,
  Scope
} from "../../src/internal/idempotency/record.ts"

export type Store = IdempotencyStore.IdempotencyStore["Service"]

const Index = Schema.Literals([0, 0, 0, 1])
const Owner = Schema.Literals([0, 1, 2])
/** Mostly the one that holds the record. */
const Writer = Schema.Literals(["holder", "holder", "holder", 0, 1, 2])
const Rarely = Schema.Literals([false, false, false, true])
const Claim = Schema.TaggedStruct("Claim", {
  record: Index,
  owner: Owner,
  fingerprint: Schema.Literals(["a", "a", "a", "b"]),
  lease: Schema.Literals([1, 400, 1000]),
  canResolve: Schema.Boolean,
  attemptsMax: Schema.Literals([1, 2, 3]),
  twice: Rarely
})
const AttemptsMax = Schema.Literals([1, 2, 3])
const Millis = Schema.Literals([1, 400, 1000, 2500])

/** What a sequence is made of. `twice`: the reply was lost and the request is sent again. */
export const Command = Schema.Union([
  Claim,
  Claim,
  Claim,
  Schema.TaggedStruct("Finish", {
    record: Index,
    owner: Writer,
    state: Schema.Literals(["Succeeded", "Refused"]),
    result: Schema.Literals(["1", "2"]),
    ttl: Millis,
    stale: Rarely,
    twice: Rarely
  }),
  Schema.TaggedStruct("GiveUp", {
    record: Index,
    owner: Writer,
    ran: Schema.Boolean,
    counted: Schema.Boolean,
    attemptsMax: AttemptsMax,
    twice: Rarely
  }),
  Schema.TaggedStruct("Release", { record: Index, owner: Writer, ttl: Millis, twice: Rarely }),
  Schema.TaggedStruct("Renew", { record: Index, owner: Writer, lease: Millis, twice: Rarely }),
  Schema.TaggedStruct("Resolve", {
    record: Index,
    state: Schema.Literals(["Succeeded", "Refused", "NeverHappened"]),
    ttl: Millis,
    stale: Rarely,
    twice: Rarely
  }),
  Schema.TaggedStruct("Evict", { record: Index, force: Rarely }),
  Schema.TaggedStruct("Sweep", {}),
  Schema.TaggedStruct("Advance", { millis: Millis }),
  Schema.TaggedStruct("Advance", { millis: Millis })
])
export type Command = typeof Command.Type

export const Commands = Schema.Array(Command).check(Schema.isMinLength(40), Schema.isMaxLength(60))

const scope = Scope.make({ tenant: "t", operation: "charge", version: 1 })
export const ids: ReadonlyArray<RecordId> = ["k0", "k1", "k2"].map((name) => recordId(scope, Key.make(name)))

/** A request as it reaches a store. */
export type Step =
  | { readonly _tag: "Claim"; readonly request: ClaimRequest }
  | { readonly _tag: "Complete"; readonly request: CompleteRequest }
  | { readonly _tag: "Release"; readonly request: ReleaseRequest }
  | { readonly _tag: "Renew"; readonly request: RenewRequest }
  | { readonly _tag: "Resolve"; readonly request: ResolveRequest }
  | { readonly _tag: "Evict"; readonly id: RecordId; readonly force: boolean }
  | { readonly _tag: "Sweep" }

export interface Model {
  readonly records: Map<string, Record>
  /** The fence that each owner was last given for each record. */
  readonly fences: Map<string, number>
  now: number
}

export const makeModel = (now: number): Model => ({ records: new Map(), fences: new Map(), now })

const idOf = (index: number): RecordId => ids[index] ?? recordId(scope, Key.make("none"))

/** The request that a command stands for; undefined for the passage of time. */
export const toStep = (model: Model, command: Command): Step | undefined => {
  const ownership = (record: number, owner: "holder" | 0 | 1 | 2, stale = false) => {
    const id = idOf(record)
    const name = owner === "holder" ? model.records.get(id.id)?.owner ?? "o0" : `o${owner}`
    return { ...id, owner: name, fence: (model.fences.get(`${name} ${id.id}`) ?? 7) - (stale ? 1 : 0) }
  }
  switch (command._tag) {
    case "Claim":
      return {
        _tag: "Claim",
        request: {
          ...idOf(command.record),
          fingerprint: command.fingerprint,
          owner: `o${command.owner}`,
          leaseMillis: command.lease,
          canResolve: command.canResolve,
          attemptsMax: command.attemptsMax
        }
      }
    case "Finish":
      return {
        _tag: "Complete",
        request: {
          ...ownership(command.record, command.owner, command.stale),
          completion: { _tag: command.state, result: command.result, ttlMillis: command.ttl }
        }
      }
    case "GiveUp": {
      const { attemptsMax, counted, ran } = command
      return {
        _tag: "Complete",
        request: {
          ...ownership(command.record, command.owner),
          completion: { _tag: "Indeterminate", ran, counted, attemptsMax }
        }
      }
    }
    case "Release":
      return { _tag: "Release", request: { ...ownership(command.record, command.owner), ttlMillis: command.ttl } }
    case "Renew":
      return { _tag: "Renew", request: { ...ownership(command.record, command.owner), leaseMillis: command.lease } }
    case "Resolve": {
      const id = idOf(command.record)
      return {
        _tag: "Resolve",
        request: {
          ...id,
          fence: (model.records.get(id.id)?.fence ?? 7) - (command.stale ? 1 : 0),
          ttlMillis: command.ttl,
          resolution: command.state === "NeverHappened"
            ? { _tag: "NeverHappened" }
            : { _tag: command.state, result: "r" }
        }
      }
    }
    case "Evict":
      return { _tag: "Evict", id: idOf(command.record), force: command.force }
    case "Sweep":
      return { _tag: "Sweep" }
    case "Advance":
      return undefined
  }
}

const put = (model: Model, next: Record | undefined): boolean => {
  if (next !== undefined) model.records.set(next.id, next)
  return next !== undefined
}

/** What the machine answers. */
export const runModel = (model: Model, step: Step): unknown => {
  const { now, records } = model
  switch (step._tag) {
    case "Claim": {
      const record = machine.claim(records.get(step.request.id), step.request, now)
      put(model, record)
      if (record.owner === step.request.owner) model.fences.set(`${record.owner} ${record.id}`, record.fence)
      return { record, now }
    }
    case "Complete":
      return put(model, machine.complete(records.get(step.request.id), step.request, now))
    case "Release":
      return put(model, machine.release(records.get(step.request.id), step.request, now))
    case "Renew":
      return [put(model, machine.renew(records.get(step.request.id), step.request, now))]
    case "Resolve":
      return put(model, machine.resolve(records.get(step.request.id), step.request, now))
    case "Evict": {
      const eviction = machine.evict(records.get(step.id.id), step.force)
      if (eviction === "Evicted") records.delete(step.id.id)
      return eviction
    }
    case "Sweep": {
      const expired = Array.from(records.values()).filter((record) => machine.isExpired(record, now))
      expired.forEach((record) => records.delete(record.id))
      return expired.length
    }
  }
}

/** What a store answers. */
export const runStore = (store: Store, step: Step): Effect.Effect<unknown, IdempotencyStore.StoreUnavailable> => {
  switch (step._tag) {
    case "Claim":
      return store.claim(step.request)
    case "Complete":
      return store.complete(step.request)
    case "Release":
      return store.release(step.request)
    case "Renew":
      return store.renew([step.request])
    case "Resolve":
      return store.resolve(step.request)
    case "Evict":
      return store.evict(step.id, { force: step.force })
    case "Sweep":
      return store.sweep({ limit: 10 })
  }
}

/** The same for the third record, to be sent at the same moment. */
const companionOf = (step: Step): Step => {
  const id = idOf(2)
  switch (step._tag) {
    case "Claim":
      return { _tag: "Claim", request: { ...step.request, ...id } }
    case "Complete":
      return { _tag: "Complete", request: { ...step.request, ...id } }
    case "Release":
      return { _tag: "Release", request: { ...step.request, ...id } }
    case "Renew":
      return { _tag: "Renew", request: { ...step.request, ...id } }
    case "Resolve":
      return { _tag: "Resolve", request: { ...step.request, ...id } }
    case "Evict":
      return { _tag: "Evict", id, force: step.force }
    case "Sweep":
      return { _tag: "Release", request: { ...id, owner: "nobody", fence: 1, ttlMillis: 1 } }
  }
}

/**
 * Leads a store and the machine through the commands and compares every answer and every record. `paired` sends each
 * request together with one for another record, so that they are written as one batch.
 */
export const compare = Effect.fnUntraced(function*(
  store: Store,
  setTime: (now: number) => Effect.Effect<void>,
  commands: ReadonlyArray<Command>,
  { paired }: { readonly paired: boolean }
) {
  const model = makeModel(1_700_000_000_000)
  yield* setTime(model.now)
  for (const command of commands) {
    const step = toStep(model, command)
    if (step === undefined) {
      model.now += command._tag === "Advance" ? command.millis : 0
      yield* setTime(model.now)
      continue
    }
    const steps = paired ? [step, companionOf(step)] : [step]
    for (let sent = 0; sent < ("twice" in command && command.twice ? 2 : 1); sent++) {
      const answers = yield* Effect.forEach(steps, (step) => runStore(store, step), { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, steps.map((step) => runModel(model, step)), step._tag)
    }
    for (const id of ids) {
      assert.deepStrictEqual((yield* store.inspect(id)).record, model.records.get(id.id))
    }
  }
})
