/** Whatever happens to it, a saga ends on the workflow engine of Effect as it does on ours, and does the same to the world. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestGateway } from "effect-payments/testing"
import { checkout, Refusal, Unreachable } from "../saga/checkout.ts"
import { blind, challenge, grouped, hook, nesting, patient, strict, undoing, watched } from "./sagas.ts"
import { same, type Scenario, type Side } from "./sides.ts"

const order = { orderId: "1" }
const refusal = Effect.fail(new Refusal({ why: "no" }))
const unreachable = Effect.fail(new Unreachable())

interface Row {
  readonly name: string
  readonly ends: "Completed" | "Compensated" | "FailedCompensation" | "Parked"
  readonly shop?: Readonly<Record<string, Effect.Effect<void, Refusal | Unreachable>>>
  readonly gateway?: Readonly<Record<string, TestGateway.Behaviour>>
}

const rows: ReadonlyArray<Row> = [
  { name: "all goes well", ends: "Completed" },
  { name: "nothing can be reserved", ends: "Compensated", shop: { reserve: refusal } },
  { name: "the reservation is never reached", ends: "Compensated", shop: { reserve: unreachable } },
  { name: "the card is declined", ends: "Compensated", gateway: { authorize: TestGateway.decline("expired_card") } },
  { name: "the capture is declined", ends: "Compensated", gateway: { capture: TestGateway.decline("expired_card") } },
  { name: "nothing ships", ends: "Compensated", shop: { ship: refusal } },
  { name: "the reservation dies", ends: "Compensated", shop: { reserve: Effect.die("boom") } },
  { name: "the shipment dies", ends: "Compensated", shop: { ship: Effect.die("boom") } },
  { name: "the receipt is refused", ends: "Parked", shop: { receipt: refusal } },
  { name: "the receipt is never reached", ends: "Parked", shop: { receipt: unreachable } },
  { name: "the authorization's reply is lost", ends: "Completed", gateway: { authorize: TestGateway.lostReply } },
  { name: "the authorization fails before it", ends: "Completed", gateway: { authorize: TestGateway.failBefore } },
  { name: "the authorization times out", ends: "Completed", gateway: { authorize: TestGateway.failAfter } },
  { name: "the capture's reply is lost", ends: "Completed", gateway: { capture: TestGateway.lostReply } },
  { name: "the capture hangs", ends: "Completed", gateway: { capture: TestGateway.hang({ happened: true }) } },
  { name: "the refund fails", ends: "FailedCompensation", shop: { ship: refusal, "release r-1": Effect.die("stuck") } }
]

const plan = ({ gateway = {}, shop = {} }: Row): Scenario => (side, world) =>
  Effect.gen(function*() {
    for (const [name, effect] of Object.entries(shop)) world.shop.plan.set(name, effect)
    const left = new Map(Object.entries(gateway))
    yield* world.test.plan(({ method }) => {
      const behaviour = left.get(method)
      left.delete(method)
      return behaviour
    })
    const first = yield* side.execute(checkout, order)
    return [first, yield* side.execute(checkout, order), yield* side.result(checkout)]
  })

describe("a checkout of which", () => {
  for (const row of rows) {
    it.effect(row.name, () =>
      Effect.gen(function*() {
        const { outcome } = yield* same([checkout], plan(row))
        assert.propertyVal((outcome as ReadonlyArray<object>)[0], "_tag", row.ends)
      }))
  }
})

const x = "x"
type Plan = Readonly<Record<string, Effect.Effect<void, Refusal | Unreachable>>>

/** The first calls end so, the others go well. */
const first = (...ends: ReadonlyArray<Effect.Effect<void, Refusal | Unreachable>>) => {
  let calls = 0
  return Effect.suspend(() => ends[calls++] ?? Effect.void)
}

/** The plan is made anew for each side. */
const planned = (make: () => Plan, scenario: Scenario): Scenario => (side, world) => {
  for (const [name, effect] of Object.entries(make())) world.shop.plan.set(name, effect)
  return scenario(side, world)
}

/** What a call has begun and an hour of it, while the scenario goes on. */
const endOf = (outcome: unknown) => String((outcome as { readonly _tag?: unknown } | undefined)?._tag)

interface Case {
  readonly name: string
  readonly saga: Parameters<Side["execute"]>[0]
  readonly plan?: () => Plan
  readonly scenario?: Scenario
  readonly ends: string
  /** Steps that run at the same time call the shop in an order of their own. */
  readonly isConcurrent?: true
}

const boom = Effect.die("boom")
const parking = blind("park")

const cases: ReadonlyArray<Case> = [
  // In doubt.
  { name: "a step dies before it happened", saga: watched, plan: () => ({ b: first(boom) }), ends: "Completed" },
  { name: "a step dies each time", saga: watched, plan: () => ({ b: boom }), ends: "Compensated" },
  { name: "a step hangs", saga: watched, plan: () => ({ a: first(Effect.never) }), ends: "Completed" },
  { name: "the pivot hangs each time", saga: watched, plan: () => ({ p: Effect.never }), ends: "Compensated" },
  { name: "the look-up of the pivot dies", saga: watched, plan: () => ({ p: boom, "look p": boom }), ends: "Parked" },
  {
    name: "nobody can tell, and it is undone",
    saga: blind("compensate"),
    plan: () => ({ b: boom }),
    ends: "Compensated"
  },
  { name: "nobody can tell, and it is parked", saga: blind("park"), plan: () => ({ b: boom }), ends: "Parked" },
  // A saga in a saga.
  { name: "a step is a saga that completes", saga: nesting, ends: "Completed" },
  {
    name: "a step is a saga that has completed, and is undone",
    saga: nesting,
    plan: () => ({ close: refusal }),
    ends: "Compensated"
  },
  {
    name: "a step is a saga that is undone of itself",
    saga: nesting,
    plan: () => ({ send: refusal }),
    ends: "Compensated"
  },
  {
    name: "a step is a saga whose undo fails",
    saga: nesting,
    plan: () => ({ close: refusal, unpick: refusal }),
    ends: "FailedCompensation"
  },
  {
    name: "a step is a saga that is reached at the second try",
    saga: nesting,
    plan: () => ({ pick: first(unreachable) }),
    ends: "Completed"
  },
  {
    name: "a step is a saga that hangs once",
    saga: nesting,
    plan: () => ({ send: first(Effect.never) }),
    ends: "Completed"
  },
  // Tries.
  {
    name: "a step is reached at the third try",
    saga: watched,
    plan: () => ({ a: first(unreachable, unreachable) }),
    ends: "Completed"
  },
  {
    name: "a retriable step is reached at the seventh try",
    saga: watched,
    plan: () => ({ r: first(...Array.from({ length: 6 }, () => unreachable)) }),
    ends: "Completed"
  },
  {
    name: "a step runs again after it died",
    saga: undoing,
    plan: () => ({ a: first(boom, unreachable) }),
    ends: "Completed"
  },
  {
    name: "a step dies and then is refused",
    saga: undoing,
    plan: () => ({ b: first(boom, refusal) }),
    ends: "Compensated"
  },
  // Undos.
  {
    name: "all is undone, but what is closed or needs nothing",
    saga: undoing,
    plan: () => ({ p: refusal }),
    ends: "Compensated"
  },
  {
    name: "an undo is refused, and the others have their turn",
    saga: undoing,
    plan: () => ({ p: refusal, "undo c c": refusal }),
    ends: "FailedCompensation"
  },
  {
    name: "an undo dies twice and waits ten minutes each time",
    saga: undoing,
    plan: () => ({ p: refusal, "undo b b": first(boom, boom) }),
    ends: "Compensated"
  },
  {
    name: "an undo dies each time",
    saga: undoing,
    plan: () => ({ p: refusal, "undo b b": boom }),
    ends: "FailedCompensation"
  },
  {
    name: "an undo hangs once",
    saga: undoing,
    plan: () => ({ p: refusal, "undo b b": first(Effect.never) }),
    ends: "Compensated"
  },
  {
    name: "a failed undo goes well when it is resumed",
    saga: undoing,
    plan: () => ({ p: refusal, "undo c c": first(refusal) }),
    scenario: (side) => Effect.andThen(side.execute(undoing, x), side.resume(undoing)),
    ends: "Compensated"
  },
  {
    name: "a failed undo fails again when it is resumed, and goes well then",
    saga: undoing,
    plan: () => ({ p: refusal, "undo c c": first(refusal, refusal) }),
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.execute(undoing, x)
        assert.propertyVal(yield* side.resume(undoing), "_tag", "FailedCompensation")
        assert.propertyVal(yield* side.cancel(undoing), "_tag", "FailedCompensation")
        return yield* side.resume(undoing)
      }),
    ends: "Compensated"
  },
  // Groups.
  { name: "a group goes well", saga: grouped, ends: "Completed" },
  { name: "one of a group is refused", saga: grouped, plan: () => ({ b: refusal }), ends: "Compensated" },
  { name: "two of a group are refused", saga: grouped, plan: () => ({ a: refusal, c: refusal }), ends: "Compensated" },
  {
    name: "one of a group dies and is looked up",
    saga: grouped,
    plan: () => ({ b: first(boom) }),
    ends: "Completed",
    isConcurrent: true
  },
  {
    name: "one of a group is reached late",
    saga: grouped,
    plan: () => ({ c: first(unreachable, unreachable) }),
    ends: "Completed"
  },
  {
    name: "one of a group is never reached and another refused",
    saga: grouped,
    plan: () => ({ a: refusal, c: unreachable }),
    ends: "Compensated"
  },
  {
    name: "the pivot behind a group is refused",
    saga: grouped,
    plan: () => ({ "p abc": refusal }),
    ends: "Compensated"
  },
  { name: "one behind the pivot is refused", saga: grouped, plan: () => ({ mail: refusal }), ends: "Parked" },
  {
    name: "one behind the pivot goes well when it is resumed",
    saga: grouped,
    plan: () => ({ mail: first(refusal) }),
    scenario: (side) => Effect.andThen(side.execute(grouped, x), side.resume(grouped)),
    ends: "Completed"
  },
  // Waits.
  {
    name: "messages come early",
    saga: patient,
    scenario: (side) =>
      Effect.gen(function*() {
        assert.isTrue(yield* side.signal(patient, challenge, { passed: true }))
        assert.isFalse(yield* side.signal(patient, challenge, { passed: false }))
        assert.isTrue(yield* side.signal(patient, hook, "early"))
        return yield* side.execute(patient, x)
      }),
    ends: "Completed"
  },
  {
    name: "a message comes late, and another one never",
    saga: patient,
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(patient, x)
        yield* Effect.sleep("3 hours")
        yield* side.signal(patient, challenge, { passed: true })
        return yield* side.result(patient)
      }),
    ends: "Completed"
  },
  { name: "the deadline passes", saga: strict, ends: "Compensated" },
  {
    name: "a run that waits is cancelled",
    saga: patient,
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(patient, x)
        yield* Effect.sleep("1 hour")
        return yield* side.cancel(patient)
      }),
    ends: "Compensated"
  },
  // Cancelled.
  {
    name: "a run is cancelled while a step runs",
    saga: undoing,
    plan: () => ({ b: Effect.asVoid(Effect.sleep("1 minute")) }),
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(undoing, x)
        yield* Effect.sleep("10 seconds")
        return yield* side.cancel(undoing)
      }),
    ends: "Compensated"
  },
  {
    name: "a run is cancelled while a group runs",
    saga: grouped,
    plan: () => ({ b: Effect.asVoid(Effect.sleep("1 minute")) }),
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(grouped, x)
        yield* Effect.sleep("10 seconds")
        return yield* side.cancel(grouped)
      }),
    ends: "Compensated"
  },
  {
    name: "a run is cancelled too late",
    saga: watched,
    plan: () => ({ r: Effect.asVoid(Effect.sleep("1 minute")) }),
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(watched, x)
        yield* Effect.sleep("10 seconds")
        return yield* side.cancel(watched)
      }),
    ends: "Completed"
  },
  {
    name: "a run is cancelled that is parked before its pivot",
    saga: parking,
    plan: () => ({ b: boom }),
    scenario: (side) => Effect.andThen(side.execute(parking, x), side.cancel(parking)),
    ends: "Compensated"
  },
  {
    name: "a run is cancelled that is parked behind its pivot",
    saga: watched,
    plan: () => ({ r: refusal }),
    scenario: (side) => Effect.andThen(side.execute(watched, x), side.cancel(watched)),
    ends: "Parked"
  },
  {
    name: "a run is resumed that is parked at its pivot",
    saga: watched,
    plan: () => ({ p: first(boom), "look p": first(boom, boom, boom) }),
    scenario: (side) => Effect.andThen(side.execute(watched, x), side.resume(watched)),
    ends: "Completed"
  },
  // Ids.
  {
    name: "the same id comes with another payload, under way and after",
    saga: watched,
    plan: () => ({ a: Effect.asVoid(Effect.sleep("9 seconds")) }),
    scenario: (side) =>
      Effect.gen(function*() {
        yield* side.start(watched, x)
        const under = yield* Effect.flip(side.start(watched, "y"))
        yield* side.result(watched)
        const after = yield* Effect.flip(side.execute(watched, "y"))
        return { _tag: `${under.reason._tag} ${after.reason._tag}` }
      }),
    ends: "IdConflict IdConflict"
  },
  {
    name: "there is no such run",
    saga: watched,
    scenario: (side) =>
      Effect.map(
        Effect.all([side.result(watched), side.cancel(watched)].map(Effect.flip)),
        (errors) => ({ _tag: errors.map(({ reason }) => reason._tag).join(" ") })
      ),
    ends: "NotFound NotFound"
  },
  {
    name: "a payload does not fit, an id is none, a message is awaited by none",
    saga: watched,
    scenario: (side) =>
      Effect.map(
        Effect.all(
          [
            Effect.flip(side.execute(watched, 1)),
            Effect.flip(side.execute(watched, x, " ")),
            Effect.flip(side.signal(watched, hook, "y")),
            Effect.flip(side.signal(patient, hook, "y", " ")),
            Effect.flip(side.signal(patient, hook, 1))
          ]
        ),
        (errors) => ({ _tag: errors.map(({ reason }) => reason._tag).join(" ") })
      ),
    ends: "PayloadInvalid SagaInvalid SagaInvalid SignalInvalid SignalInvalid"
  }
]

describe("a saga of which", () => {
  for (
    const { ends, isConcurrent, name, plan = () => ({}), saga, scenario = (side: Side) => side.execute(saga, x) }
      of cases
  ) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { outcome } = yield* same([saga], planned(plan, scenario), isConcurrent)
        assert.strictEqual(endOf(outcome), ends, String(outcome))
      }))
  }
})
