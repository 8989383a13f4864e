// What the saga kill test would find: each violation seeded into evidence that is as it has to be, and seen.
import { assert, describe, it } from "@effect/vitest"
import type { SagaLog } from "effect-payments"
import type { Act } from "../src/sagaSoak/Services.ts"
import { type Charge, type Evidence, type Kept, type Ordered, verify } from "../src/sagaSoak/verify.ts"
import type { Answer } from "../src/sagaSoak/wire.ts"

type Event = SagaLog.Event

const intended = (step: string): Event => ({ _tag: "Intended", step })
const succeeded = (step: string): Event => ({ _tag: "Succeeded", step, result: "" })
const failed = (step: string): Event => ({ _tag: "Failed", step, detail: "" })
const undone = (step: string): Event => ({ _tag: "Undone", step })
const skipped = (step: string): Event => ({ _tag: "Skipped", step, by: "engine", reason: "" })
const undoFailed = (step: string, detail = "ServiceSilent"): Event => ({ _tag: "UndoFailed", step, detail })
const parked = (reason = "nobody delivers there"): Event => ({ _tag: "Parked", step: "ship", reason })

const kept = (
  id: string,
  saga: string,
  state: SagaLog.State,
  ...entries: ReadonlyArray<ReadonlyArray<Event>>
): Kept => ({
  id,
  saga,
  state,
  entries: entries.map((events, index) => ({
    seq: index + 1,
    epoch: 1,
    state: index === entries.length - 1 ? state : "Running",
    events
  }))
})

const order = (
  orderId: string,
  kind: "sale" | "order",
  amountMinor: number,
  mayStick?: "reserve" | "ship"
): Ordered => ({
  orderId,
  kind,
  amountMinor,
  mayStick
})
const charges = (amountMinor: number, ...kinds: ReadonlyArray<Charge["kind"]>): ReadonlyArray<Charge> =>
  kinds.map((kind, index) => ({ id: `${kind}_${amountMinor}_${index}`, kind, amountMinor }))
const acts = (orderId: string, ...operations: ReadonlyArray<Act["operation"]>): ReadonlyArray<Act> =>
  operations.map((operation) => ({ orderId, operation, did: "Done" }))
const ended = (state: string): Answer => ({ _tag: "Ended", state })

const forward = (...steps: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<Event>> => [
  [intended(steps[0] ?? "")],
  ...steps.slice(1).map((step, index) => [succeeded(steps[index] ?? ""), intended(step)])
]
const all = ["reserve", "authorize", "capture", "ship", "receipt"]

const completed = kept("done", "sale", "Completed", ...forward(...all), [succeeded("receipt")])
const refundedEvents = [...forward("reserve", "authorize", "capture", "ship"), [failed("ship")]]
const refunded = kept(
  "refunded",
  "order",
  "Compensated",
  ...refundedEvents,
  [undone("capture")],
  [skipped("authorize")],
  [undone("reserve")]
)
const voided = kept(
  "voided",
  "sale",
  "Compensated",
  ...forward("reserve", "authorize", "capture"),
  [failed("capture")],
  [undone("authorize")],
  [undone("reserve")]
)
const unreleased = kept(
  "unreleased",
  "sale",
  "FailedCompensation",
  ...forward("reserve", "authorize"),
  [failed("authorize")],
  [undoFailed("reserve")]
)
const undelivered = kept("undelivered", "sale", "Parked", ...forward(...all.slice(0, 4)), [parked()])
const runs = [completed, refunded, voided, unreleased, undelivered]

/** One of each end. */
const sound: Evidence = {
  orders: [
    order("done", "sale", 1000),
    order("refunded", "order", 1001),
    order("voided", "sale", 1002),
    order("unreleased", "sale", 1003, "reserve"),
    order("undelivered", "sale", 1004, "ship")
  ],
  runs,
  charges: [
    ...charges(1000, "authorize", "capture"),
    ...charges(1001, "authorize", "capture", "refund"),
    ...charges(1002, "authorize", "void"),
    ...charges(1004, "authorize", "capture")
  ],
  netMinor: 2004,
  acts: [
    ...acts("done", "reserve", "ship", "receipt"),
    ...acts("refunded", "reserve", "release"),
    ...acts("voided", "reserve", "release"),
    ...acts("unreleased", "reserve"),
    ...acts("undelivered", "reserve")
  ],
  callers: [
    { orderId: "done", answers: [undefined, { _tag: "Open", reason: "InFlight" }, ended("Completed")] },
    { orderId: "refunded", answers: [{ _tag: "Started" }] },
    { orderId: "voided", answers: [ended("FailedCompensation"), ended("Compensated")] },
    { orderId: "unreleased", answers: [ended("FailedCompensation")] },
    { orderId: "undelivered", answers: [ended("Parked")] }
  ]
}

const seen = (evidence: Partial<Evidence>) =>
  verify({ ...sound, ...evidence }).map(({ _tag, orderId }) => `${_tag} ${orderId}`.trim())

const withRun = (run: Kept) => ({ runs: runs.map((other) => other.id === run.id ? run : other) })
const withCharges = (...more: ReadonlyArray<Charge>) => ({ charges: [...sound.charges, ...more] })
const withoutCharge = (amountMinor: number, kind: Charge["kind"]) => ({
  charges: sound.charges.filter((charge) => charge.amountMinor !== amountMinor || charge.kind !== kind)
})
const withActs = (...more: ReadonlyArray<Act>) => ({ acts: [...sound.acts, ...more] })
const withoutAct = (orderId: string, operation: Act["operation"]) => ({
  acts: sound.acts.filter((act) => act.orderId !== orderId || act.operation !== operation)
})

describe("the verifier of the saga kill test", () => {
  it("finds nothing in what is as it has to be", () => {
    assert.deepStrictEqual(verify(sound), [])
  })

  it("takes what was asked for again, and did nothing, for nothing", () => {
    const again: ReadonlyArray<Act> = [
      { orderId: "done", operation: "ship", did: "Again" },
      { orderId: "voided", operation: "release", did: "Again" },
      { orderId: "voided", operation: "reserve", did: "Refused" }
    ]
    assert.deepStrictEqual(seen(withActs(...again)), [])
  })

  it("sees a second authorization and a second capture", () => {
    assert.deepStrictEqual(seen(withCharges(...charges(1000, "authorize"))), ["DoubleCharge done"])
    assert.deepStrictEqual(seen({ ...withCharges(...charges(1000, "capture")), netMinor: 3004 }), [
      "DoubleCapture done",
      "MoneyDiffers"
    ])
  })

  it("sees what acted twice, and an undo that took effect twice", () => {
    assert.deepStrictEqual(seen(withActs(...acts("done", "ship"))), ["DoubleAct done"])
    assert.deepStrictEqual(seen(withActs(...acts("voided", "release"))), ["DoubleUndo voided"])
    assert.deepStrictEqual(seen(withCharges(...charges(1002, "void"))), ["DoubleUndo voided"])
    assert.deepStrictEqual(seen(withCharges(...charges(1001, "refund"))), ["DoubleUndo refunded"])
  })

  it("sees a lost compensation: money held, money taken, stock reserved", () => {
    assert.deepStrictEqual(seen(withoutCharge(1002, "void")), ["LostCompensation voided"])
    assert.deepStrictEqual(seen(withoutCharge(1001, "refund")), ["LostCompensation refunded"])
    assert.deepStrictEqual(seen(withoutAct("voided", "release")), ["LostCompensation voided"])
  })

  it("sees a compensation that is lost beside one that failed", () => {
    const run = kept(
      "unreleased",
      "sale",
      "FailedCompensation",
      ...forward("reserve", "authorize", "capture"),
      [failed("capture")],
      [undone("authorize")],
      [undoFailed("reserve")]
    )
    assert.deepStrictEqual(seen({ ...withRun(run), ...withCharges(...charges(1003, "authorize", "void")) }), [])
    assert.deepStrictEqual(seen({ ...withRun(run), ...withCharges(...charges(1003, "authorize")) }), [
      "LostCompensation unreleased"
    ])
  })

  it("sees what is undone of a saga that is completed, and what is missing", () => {
    assert.deepStrictEqual(seen(withActs(...acts("done", "release"))), ["UndoneThoughCompleted done"])
    assert.deepStrictEqual(seen(withCharges(...charges(1000, "refund"))), ["UndoneThoughCompleted done"])
    assert.deepStrictEqual(seen(withoutCharge(1000, "capture")), ["NotDone done"])
    assert.deepStrictEqual(seen(withoutAct("done", "receipt")), ["NotDone done"])
    assert.deepStrictEqual(seen(withoutAct("done", "reserve")), ["NotDone done"])
  })

  it("sees a parcel or a receipt of a saga that is undone", () => {
    assert.deepStrictEqual(seen(withActs(...acts("refunded", "ship"))), ["DoneThoughUndone refunded"])
    assert.deepStrictEqual(seen(withActs(...acts("voided", "receipt"))), ["DoneThoughUndone voided"])
  })

  it("sees what has no end, what waits without a reason, and what waits though nothing stops it", () => {
    const runningOn = kept("voided", "sale", "Compensating", ...forward("reserve", "authorize", "capture"), [
      failed("capture")
    ])
    assert.deepStrictEqual(seen({ ...withRun(runningOn), callers: [] }), ["Stuck voided"])
    const silent = kept("undelivered", "sale", "Parked", ...forward(...all.slice(0, 4)), [parked("")])
    assert.deepStrictEqual(seen(withRun(silent)), ["Stuck undelivered"])
    const mute = kept("unreleased", "sale", "FailedCompensation", ...forward("reserve", "authorize"), [
      failed("authorize")
    ], [undoFailed("reserve", "")])
    assert.deepStrictEqual(seen(withRun(mute)), ["Stuck unreleased"])
    const orders = sound.orders.map((order): Ordered => ({ ...order, mayStick: undefined }))
    assert.deepStrictEqual(seen({ orders }), ["Stuck unreleased", "Stuck undelivered"])
  })

  it("sees money given back of a sale that is parked behind its pivot", () => {
    const seenOf = seen({ ...withCharges(...charges(1004, "refund")), netMinor: 1000 })
    assert.deepStrictEqual(seenOf, ["LostCompensation undelivered", "MoneyDiffers"])
  })

  it("sees an order without a run, a second run, and what nobody has ordered", () => {
    assert.deepStrictEqual(seen({ runs: runs.filter(({ id }) => id !== "voided") }), [
      "NoRun voided",
      "AnswerDiffers voided"
    ])
    assert.deepStrictEqual(seen({ runs: [...runs, voided] }), ["Stray voided"])
    assert.deepStrictEqual(seen({ runs: [...runs, { ...voided, id: "nobody's" }] }), ["Stray"])
    assert.deepStrictEqual(seen(withActs(...acts("nobody's", "ship"))), ["Stray"])
    assert.deepStrictEqual(seen(withCharges(...charges(7, "authorize"))), ["Stray"])
  })

  it("sees that the sums of the gateway differ", () => {
    assert.deepStrictEqual(seen({ netMinor: 2003 }), ["MoneyDiffers"])
  })

  it("sees a caller who was told something else, nothing for good, or what must not be said", () => {
    const told = (...answers: ReadonlyArray<Answer | undefined>) => seen({ callers: [{ orderId: "done", answers }] })
    assert.deepStrictEqual(told(ended("Compensated")), ["AnswerDiffers done"])
    assert.deepStrictEqual(told(ended("Compensated"), ended("Completed")), ["AnswerDiffers done"])
    assert.deepStrictEqual(told({ _tag: "Ended", state: "Completed", capture: "capture_1000_1" }), [])
    assert.deepStrictEqual(told({ _tag: "Ended", state: "Completed", capture: "capture_1001_1" }), [
      "AnswerDiffers done"
    ])
    assert.deepStrictEqual(told(), ["LostAnswer done"])
    assert.deepStrictEqual(told(ended("Completed"), undefined), ["LostAnswer done"])
    assert.deepStrictEqual(told({ _tag: "Open", reason: "InFlight" }), ["LostAnswer done"])
    assert.deepStrictEqual(told({ _tag: "Broken", detail: "IdConflict" }), ["Broken done"])
  })
})

describe("the verifier of the saga kill test, of a history", () => {
  const wrong = (run: Kept) =>
    verify({ ...sound, ...withRun(run) }).flatMap(({ _tag, detail }) =>
      _tag === "HistoryBroken" ? [detail.split(";")[0]] : [_tag]
    )
  const change = (run: Kept, entry: number, change: Partial<Kept["entries"][number]>) => ({
    ...run,
    entries: run.entries.map((each, index) => index === entry ? { ...each, ...change } : each)
  })

  it("sees a gap, an old owner, and a state that is not the last entry's", () => {
    assert.deepStrictEqual(wrong(change(completed, 1, { seq: 3 })), ["a gap"])
    assert.deepStrictEqual(wrong(change(completed, 1, { epoch: 2 })), ["an owner that was over wrote"])
    assert.deepStrictEqual(wrong(change(completed, 5, { state: "Running" })), ["the last entry says Running"])
  })

  it("sees a step that was never intended, twice, or out of turn", () => {
    assert.deepStrictEqual(wrong(change(voided, 1, { events: [succeeded("reserve")] })), [
      "authorize done, and never intended",
      "capture intended out of turn",
      "authorize undone, and not owed"
    ])
    assert.deepStrictEqual(wrong(change(completed, 2, { events: [intended("authorize"), succeeded("authorize")] })), [
      "authorize intended twice",
      "authorize intended out of turn",
      "capture done, and never intended"
    ])
  })

  it("sees a step that is done twice, or fails when it was done", () => {
    assert.deepStrictEqual(wrong(change(completed, 5, { events: [succeeded("receipt"), succeeded("receipt")] })), [
      "receipt done twice"
    ])
    assert.deepStrictEqual(wrong(change(voided, 3, { events: [failed("authorize")] })), [
      "authorize failed, and was done",
      "authorize undone, and not owed"
    ])
  })

  it("sees a step that leaves while the saga unwinds", () => {
    assert.deepStrictEqual(wrong(change(refunded, 4, { events: [failed("ship"), intended("receipt")] })), [
      "receipt intended while it unwinds"
    ])
  })

  it("sees an obligation without an outcome, and one with two", () => {
    const forgotten = kept("voided", "sale", "Compensated", ...forward("reserve", "authorize", "capture"), [
      failed("capture")
    ], [undone("reserve")])
    assert.deepStrictEqual(wrong(forgotten), ["no outcome of authorize"])
    assert.deepStrictEqual(wrong(change(voided, 5, { events: [undone("reserve"), skipped("reserve")] })), [
      "reserve has two outcomes"
    ])
  })

  it("sees undos out of turn, and lets a failed one be made up for", () => {
    const events = forward("reserve", "authorize", "capture")
    const turned = kept("voided", "sale", "Compensated", ...events, [failed("capture")], [undone("reserve")], [
      undone("authorize")
    ])
    assert.deepStrictEqual(wrong(turned), ["authorize undone out of turn"])
    const late = kept(
      "voided",
      "sale",
      "Compensated",
      ...events,
      [failed("capture")],
      [undoFailed("authorize")],
      [
        undone("reserve")
      ],
      [{ _tag: "Resumed" }],
      [undone("authorize")]
    )
    assert.deepStrictEqual(wrong(late), [])
  })

  it("sees an undo behind the pivot, and one of a saga in which nothing has failed", () => {
    assert.deepStrictEqual(wrong(change(completed, 5, { events: [succeeded("receipt"), undone("authorize")] })), [
      "authorize undone, and nothing had failed",
      "authorize undone behind the pivot"
    ])
  })

  it("sees a saga that is completed and not all done", () => {
    assert.deepStrictEqual(wrong(kept("done", "sale", "Completed", ...forward(...all))), [
      "completed, and not all done"
    ])
  })

  it("knows what was surely not sent when it was cancelled", () => {
    const cancelled = kept(
      "voided",
      "sale",
      "Compensated",
      ...forward("reserve", "authorize", "capture"),
      [{
        _tag: "Cancelled",
        unsent: "capture"
      }],
      [undone("authorize")],
      [undone("reserve")]
    )
    assert.deepStrictEqual(wrong(cancelled), [])
  })
})
