import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as machine from "../../src/internal/idempotency/machine.ts"
import type { ClaimRequest, Record } from "../../src/internal/idempotency/record.ts"
import { type Command, Commands, ids, makeModel, type Model, runModel, type Step, toStep } from "./model.ts"

const states = ["Vacant", "Claimed", "Resolving", "Succeeded", "Refused", "Indeterminate", "Parked"] as const

/** Every change of state that a command may bring about; `-` is no record, `x` one that has expired. */
const edges: { readonly [tag: string]: ReadonlyArray<string> } = {
  Claim: [
    "- Claimed",
    "x Claimed",
    "Vacant Claimed",
    "Claimed Resolving",
    "Claimed Parked",
    "Resolving Parked",
    "Indeterminate Resolving"
  ],
  Complete: ["Claimed", "Resolving"].flatMap((from) => [
    `${from} Succeeded`,
    `${from} Refused`,
    `${from} Indeterminate`,
    `${from} Parked`
  ]).concat("Indeterminate Succeeded", "Indeterminate Refused"),
  Release: ["Claimed Vacant", "Resolving Vacant"],
  Renew: [],
  Resolve: ["Claimed", "Resolving", "Indeterminate", "Parked"].flatMap((from) => [
    `${from} Succeeded`,
    `${from} Refused`,
    `${from} Vacant`
  ]),
  Evict: states.map((from) => `${from} -`).concat("x -"),
  Sweep: ["x -"]
}

const nameOf = (record: Record | undefined, now: number) =>
  record === undefined ? "-" : machine.isExpired(record, now) ? "x" : record.state

interface Watch {
  readonly seen: Set<string>
  /** Until when each owner counts on each record: from when it last heard that it holds it. */
  readonly trusts: Map<string, { readonly owner: string; readonly until: number }>
}

const check = (
  model: Model,
  watch: Watch,
  step: Step,
  id: string,
  before: Record | undefined,
  answer: unknown
): void => {
  const { now } = model
  const after = model.records.get(id)
  const edge = `${nameOf(before, now)} ${nameOf(after, now)}`
  if (before !== after && nameOf(before, now) !== nameOf(after, now)) {
    assert.include(edges[step._tag] ?? [], edge, step._tag)
    watch.seen.add(`${step._tag} ${edge}`)
  }
  if (before === undefined || after === undefined) return
  if (after.owner !== before.owner) assert.isAbove(after.fence, before.fence, "the fence grows with every owner")
  assert.isAtLeast(after.fence, before.fence)
  if ((before.state === "Succeeded" || before.state === "Refused") && !machine.isExpired(before, now)) {
    assert.deepStrictEqual(after, before, "what is completed is final")
  }
  if (before.state === "Parked" && after !== before) {
    assert.strictEqual(step._tag, "Resolve", "parked is left by a word")
  }
  if (answer === false) assert.strictEqual(after, before, "a refused write writes nothing")
}

/** Nobody gets a record while another one still counts on it. */
const trust = (model: Model, watch: Watch, step: Step, answer: unknown): void => {
  if (step._tag === "Sweep" || step._tag === "Resolve") return
  if (step._tag === "Evict") {
    if (answer === "Evicted") watch.trusts.delete(step.id.id)
    return
  }
  const { id } = step.request
  const record = model.records.get(id)
  const held = record !== undefined && (record.state === "Claimed" || record.state === "Resolving")
  const isMine = held && record.owner === step.request.owner
  if (step._tag === "Claim" && isMine && record.fingerprint === step.request.fingerprint) {
    const holder = watch.trusts.get(id)
    if (holder !== undefined && holder.owner !== record.owner) assert.isAtMost(holder.until, model.now)
    watch.trusts.set(id, { owner: record.owner, until: model.now + step.request.leaseMillis })
  } else if (step._tag === "Renew" && Array.isArray(answer) && answer[0] === true) {
    watch.trusts.set(id, { owner: step.request.owner, until: model.now + step.request.leaseMillis })
  } else if ((step._tag === "Complete" || step._tag === "Release") && answer === true && !held) {
    watch.trusts.delete(id)
  }
}

const run = (commands: ReadonlyArray<Command>, watch: Watch): void => {
  const model = makeModel(1_000)
  watch.trusts.clear()
  for (const command of commands) {
    const step = toStep(model, command)
    if (step === undefined) {
      model.now += command._tag === "Advance" ? command.millis : 0
      continue
    }
    for (let sent = 0; sent < ("twice" in command && command.twice ? 2 : 1); sent++) {
      const before = new Map(model.records)
      const answer = runModel(model, step)
      for (const { id } of ids) check(model, watch, step, id, before.get(id), answer)
      trust(model, watch, step, answer)
    }
  }
}

const request: ClaimRequest = {
  ...ids[0]!,
  fingerprint: "a",
  owner: "o0",
  leaseMillis: 1000,
  canResolve: true,
  attemptsMax: 2
}

describe("the machine", () => {
  const watch: Watch = { seen: new Set(), trusts: new Map() }

  it.effect.prop(
    "takes the edges of the diagram and no other, one live owner at a time",
    [Commands],
    ([commands]) => Effect.sync(() => run(commands, watch)),
    { arbitrary: { runs: 800 }, timeout: 60_000 }
  )

  it("was led over every edge but the rarest", () => {
    const all = Object.entries(edges).flatMap(([tag, edges]) => edges.map((edge) => `${tag} ${edge}`))
    const unseen = all.filter((edge) => !watch.seen.has(edge))
    assert.isAtMost(unseen.length, 4, unseen.join(", "))
  })

  it("answers what a claim means", () => {
    const granted = machine.claim(undefined, request, 1000)
    const other = { ...request, owner: "o1" }
    const tagOf = (record: Record, request: ClaimRequest, now: number) => machine.answer(record, request, now)._tag
    assert.strictEqual(tagOf(granted, request, 1000), "Granted")
    assert.strictEqual(tagOf(granted, { ...other, fingerprint: "b" }, 9000), "Conflict")
    assert.deepStrictEqual(machine.answer(granted, other, 1600), {
      _tag: "InFlight",
      record: granted,
      retryAfterMillis: 400
    })
    assert.strictEqual(tagOf(granted, other, 2000), "OutcomeUnknown")
    assert.strictEqual(tagOf(machine.claim(granted, other, 2000), other, 2000), "Resolve")
    assert.strictEqual(tagOf({ ...granted, state: "Succeeded" }, other, 2000), "Replay")
    assert.strictEqual(tagOf({ ...granted, state: "Refused" }, other, 2000), "Replay")
    assert.strictEqual(tagOf({ ...granted, state: "Parked" }, request, 2000), "Parked")
    assert.strictEqual(tagOf({ ...granted, state: "Indeterminate" }, request, 2000), "OutcomeUnknown")
  })

  it("takes the fence from the clock, and above the one before", () => {
    const first = machine.claim(undefined, request, 1000)
    assert.strictEqual(first.fence, 1000)
    const free = { ...first, state: "Vacant" as const, expiresAt: 5000 }
    assert.strictEqual(machine.claim(free, { ...request, owner: "o1" }, 1000).fence, 1001)
    assert.strictEqual(machine.claim(free, { ...request, owner: "o1" }, 3000).fence, 3000)
    assert.strictEqual(machine.claim({ ...free, fence: 9000 }, { ...request, owner: "o1" }, 6000).fence, 9001)
  })

  it("prolongs a claim that is sent again, and never shortens it", () => {
    const first = machine.claim(undefined, request, 1000)
    const again = machine.claim(first, request, 5000)
    assert.strictEqual(again.leaseUntil, 6000)
    assert.strictEqual(again.fence, first.fence)
    assert.strictEqual(again.attempt, 1)
    assert.strictEqual(machine.claim(again, { ...request, leaseMillis: 1 }, 5001).leaseUntil, 6000)
  })

  it("parks after the unresolved ends that it was given", () => {
    const first = machine.claim(undefined, request, 1000)
    const second = machine.claim(first, { ...request, owner: "o1" }, 2000)
    assert.deepInclude(second, { state: "Resolving", unresolved: 1, unknownSince: 2000, owner: "o1" })
    const third = machine.claim(second, { ...request, owner: "o2" }, 3000)
    assert.deepInclude(third, { state: "Parked", unresolved: 2, unknownSince: 3000, owner: "o1" })
    assert.isAbove(third.fence, second.fence)
    const completion = { _tag: "Succeeded", result: "1", ttlMillis: 1 } as const
    assert.isUndefined(machine.complete(third, { ...request, owner: "o1", fence: second.fence, completion }, 3000))
  })

  it("recognises a resolution that is sent again, and no other", () => {
    const stuck: Record = { ...machine.claim(undefined, request, 1000), state: "Parked" }
    const resolve = { ...ids[0]!, fence: stuck.fence, ttlMillis: 10, resolution: { _tag: "NeverHappened" } } as const
    const resolved = machine.resolve(stuck, resolve, 2000)
    assert.deepInclude(resolved, { state: "Vacant", fence: 2000, unresolved: 0, expiresAt: 2010 })
    assert.strictEqual(machine.resolve(resolved, resolve, 2001), resolved)
    const happened = { ...resolve, resolution: { _tag: "Succeeded", result: "1" } } as const
    assert.isUndefined(machine.resolve(resolved, happened, 2001))
    assert.isUndefined(machine.resolve(stuck, { ...resolve, fence: stuck.fence - 1 }, 2000))
  })
})
