import { assert, describe, it } from "@effect/vitest"
import { Saga, SagaLog } from "effect-payments"

const run: SagaLog.Run = {
  ...SagaLog.runId("order", "o-1"),
  fingerprint: "v1:a",
  definition: JSON.stringify(["payload|", "a|compensatable+0||", "b|compensatable+0||", "p|pivot||", "r|retriable||"]),
  payload: "1",
  state: "Running",
  owner: "o",
  epoch: 1,
  leaseUntil: 0,
  length: 1,
  cancelRequested: false,
  pauseRequested: undefined,
  step: undefined,
  createdAt: 0,
  updatedAt: 0
}

const historyOf = (events: ReadonlyArray<SagaLog.Event>, definition = run.definition): SagaLog.History => ({
  run: { ...run, definition },
  entries: events.map((event, index) => ({ seq: index + 1, epoch: 1, at: index, state: "Running", events: [event] })),
  now: 0
})

const unwound: ReadonlyArray<SagaLog.Event> = [
  { _tag: "Intended", step: "a" },
  { _tag: "Intended", step: "b" },
  { _tag: "Succeeded", step: "a", result: "1" },
  { _tag: "Doubted", step: "b", detail: "Timeout" }
]

describe("a run, as its log tells it", () => {
  it("says of each step how far it came, and what came of its undo", () => {
    const owed = Saga.progress(historyOf(unwound))
    assert.deepStrictEqual(owed?.map(({ isOwed, kind, name, outcome }) => [name, kind, outcome, isOwed]), [
      ["a", "compensatable", "Done", true],
      ["b", "compensatable", "InDoubt", true],
      ["p", "pivot", "Waiting", false],
      ["r", "retriable", "Waiting", false]
    ])
    const settled = Saga.progress(historyOf([
      ...unwound,
      { _tag: "Skipped", step: "b", by: "ann", reason: "why" },
      { _tag: "Forced", step: "a", by: "ann", evidence: "re_1", as: { _tag: "Undone" } }
    ]))
    assert.deepStrictEqual(settled?.map(({ isOwed, undo }) => [undo, isOwed]).slice(0, 2), [
      [{ _tag: "Forced", by: "ann", evidence: "re_1" }, false],
      [{ _tag: "Skipped", by: "ann", reason: "why" }, false]
    ])
  })

  it("goes by the definition that the run was moved to", () => {
    const definition = JSON.stringify(["payload|", "a|compensatable||", "c|pivot||"])
    const moved = Saga.progress(historyOf([{ _tag: "Redefined", definition }]))
    assert.deepStrictEqual(moved?.map(({ name }) => name), ["a", "c"])
  })

  it("is drawn with a class for each step and each undo", () => {
    const drawn = Saga.trace(historyOf([...unwound, { _tag: "UndoFailed", step: "b", detail: "down" }]))?.split("\n") ??
      []
    for (
      const line of [
        "class s0 done",
        "class u0 owed",
        "class s1 indoubt",
        "class u1 failed",
        "class s2 waiting",
        // Both steps of the group begin at once.
        "start --> s0",
        "start --> s1"
      ]
    ) {
      assert.include(drawn, `  ${line}`)
    }
    assert.isFalse(drawn.some((line) => line.includes("class u2")))
    // Each class that is given is one that has a style.
    const styled = new Set(drawn.flatMap((line) => /^ {2}classDef (\S+)/.exec(line)?.[1]?.split(",") ?? []))
    const given = drawn.flatMap((line) => /^ {2}class \w+ (\w+)$/.exec(line)?.[1] ?? [])
    assert.deepStrictEqual(given.filter((name) => !styled.has(name)), [])
  })

  it("is nothing where its definition cannot be read", () => {
    for (const definition of ["", "[1]", `["payload|","a|magic||"]`]) {
      assert.isUndefined(Saga.progress(historyOf([], definition)))
      assert.isUndefined(Saga.trace(historyOf([], definition)))
    }
  })
})
