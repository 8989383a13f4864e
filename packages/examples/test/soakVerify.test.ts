// What the kill tests would find: each violation seeded into evidence that is as it has to be, and seen.
import { assert, describe, it } from "@effect/vitest"
import { type Attempt, type Caller, type Evidence, verify } from "../src/soak/verify.ts"
import type { Answer } from "../src/soak/wire.ts"

const text = (id: string) => JSON.stringify({ id, kind: "authorize" })
const charged = (id: string): Answer => ({ _tag: "Charged", text: text(id) })
const declined: Answer = { _tag: "Declined", text: "{\"_tag\":\"PaymentError\"}" }
const conflict: Answer = { _tag: "Conflict" }
const open: Answer = { _tag: "Open", reason: "InFlight", notExecuted: false }
const notExecuted: Answer = { _tag: "Open", reason: "GatewayUnavailable", notExecuted: true }

const attempt = (answer: Answer | undefined, sentAt = 0, endedAt = sentAt + 10): Attempt => ({
  sentAt,
  endedAt,
  answer
})
const caller = (key: string, amountMinor: number, ...attempts: ReadonlyArray<Attempt>): Caller => ({
  key,
  amountMinor,
  attempts
})

/** One key that was charged, with a rival and a caller whose process died, and one that was declined. */
const sound: Evidence = {
  charges: [{ id: "auth_1", amountMinor: 1000 }],
  records: [
    { key: "a", state: "Succeeded", result: text("auth_1") },
    { key: "b", state: "Refused", result: "{\"_tag\":\"PaymentError\"}" }
  ],
  callers: [
    caller("a", 1000, attempt(undefined), attempt(open, 20), attempt(charged("auth_1"), 40)),
    caller("a", 1000, attempt(notExecuted, 0, 60), attempt(charged("auth_1"), 70)),
    caller("a", 1001, attempt(conflict, 30)),
    caller("b", 1002, attempt(declined))
  ]
}

const tagsOf = (evidence: Partial<Evidence>) => verify({ ...sound, ...evidence }).map(({ _tag, key }) => [_tag, key])

const withCaller = (...callers: ReadonlyArray<Caller>) => ({ callers: [...sound.callers, ...callers] })
const withState = (state: string) => ({
  records: [{ key: "a", state, result: undefined }, ...sound.records.slice(1)],
  callers: [caller("a", 1000, attempt(open)), ...sound.callers.slice(2)]
})

describe("the verifier of the kill tests", () => {
  it("finds nothing in what is as it has to be", () => {
    assert.deepStrictEqual(verify(sound), [])
  })

  it("sees a second charge of a key, whatever the record says", () => {
    const charges = [...sound.charges, { id: "auth_2", amountMinor: 1000 }]
    assert.deepStrictEqual(tagsOf({ charges }), [["DoubleCharge", "a"]])
  })

  it("sees an answer that differs from the record, also when a later attempt is told the right one", () => {
    const wrong = attempt(charged("auth_9"))
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, wrong))), [["AnswerDiffers", "a"]])
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, wrong, attempt(charged("auth_1"), 50)))), [
      ["AnswerDiffers", "a"]
    ])
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, attempt(declined)))), [["AnswerDiffers", "a"]])
    assert.deepStrictEqual(tagsOf(withCaller(caller("b", 1002, attempt({ _tag: "Parked" })))), [["AnswerDiffers", "b"]])
  })

  it.each(["Claimed", "Resolving", "Indeterminate", "Vacant"])("sees a record that is stuck: %s", (state) => {
    assert.deepStrictEqual(tagsOf(withState(state)).filter(([tag]) => tag !== "LostAnswer"), [["Stuck", "a"]])
  })

  it("takes a parked record for a state, of which its callers are told", () => {
    const callers = [caller("b", 1002, attempt({ _tag: "Parked" }))]
    assert.deepStrictEqual(
      verify({ charges: [], records: [{ key: "b", state: "Parked", result: undefined }], callers }),
      []
    )
  })

  it("sees a caller without an answer: never told, told to ask again and left alone, or never asked", () => {
    for (const attempts of [[attempt(undefined)], [attempt(charged("auth_1")), attempt(open, 50)], []]) {
      assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, ...attempts))), [["LostAnswer", "a"]])
    }
  })

  it("sees a charge without a record, and a key without either", () => {
    const records = sound.records.slice(1)
    const seen = tagsOf({ records })
    assert.deepStrictEqual(seen.filter(([tag]) => tag !== "AnswerDiffers"), [["ChargeWithoutRecord", "a"]])
    const nothing = tagsOf({
      records,
      charges: [],
      callers: [caller("a", 1000, attempt(open)), ...sound.callers.slice(3)]
    })
    assert.deepStrictEqual(nothing, [["NoRecord", "a"], ["LostAnswer", "a"]])
  })

  it("sees a record whose charge the gateway does not know, a refusal that was charged, and a charge of nobody", () => {
    assert.deepStrictEqual(tagsOf({ charges: [] }), [["RecordWithoutCharge", "a"]])
    const refused = { id: "auth_2", amountMinor: 1002 }
    assert.deepStrictEqual(tagsOf({ charges: [...sound.charges, refused] }), [["ChargedThoughDeclined", "b"]])
    const stray = { id: "auth_3", amountMinor: 7 }
    assert.deepStrictEqual(tagsOf({ charges: [...sound.charges, stray] }), [["StrayCharge", ""]])
  })

  it("sees a conflict that was not refused: answered, or charged", () => {
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1001, attempt(charged("auth_1"))))), [
      ["ConflictNotRefused", "a"],
      ["WronglyRefused", "a"]
    ])
    const charges = [...sound.charges, { id: "auth_2", amountMinor: 1001 }]
    assert.deepStrictEqual(tagsOf({ charges }), [["DoubleCharge", "a"], ["ConflictNotRefused", "a"]])
  })

  it("sees a payload that was refused though the key is its own, and a key that refuses all", () => {
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, attempt(conflict)))), [["WronglyRefused", "a"]])
    const callers = [...sound.callers.slice(0, 3), caller("b", 1002, attempt(conflict))]
    assert.deepStrictEqual(tagsOf({ callers }), [["WronglyRefused", "b"]])
  })

  it("sees that a later call was told that nothing had happened, and lets one pass that began before", () => {
    const later = caller("a", 1000, attempt(notExecuted, 51), attempt(charged("auth_1"), 70))
    assert.deepStrictEqual(tagsOf(withCaller(later)), [["ToldNotExecuted", "a"]])
  })

  it("sees an answer that must never be given", () => {
    const broken = attempt({ _tag: "Broken", detail: "Die" })
    assert.deepStrictEqual(tagsOf(withCaller(caller("a", 1000, broken, attempt(charged("auth_1"), 50)))), [[
      "Broken",
      "a"
    ]])
  })
})
