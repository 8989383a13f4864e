import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { SagaLog } from "effect-payments"
import {
  type Command,
  decide,
  fold,
  initial,
  isObligation,
  type SagaState,
  type Shape,
  type Signal,
  statusOf,
  type StepShape,
  type Verdict
} from "../../src/internal/saga/decide.ts"

type Event = SagaLog.Event

/** Random numbers from a seed, so that a failing case is its seed. */
const tape = (seed: number) => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    chance: (probability: number) => next() < probability,
    below: (limit: number) => Math.floor(next() * limit)
  }
}

type Tape = ReturnType<typeof tape>

const makeShape = (random: Tape): Shape => {
  const before = random.below(5)
  const hasPivot = random.chance(0.7)
  const after = hasPivot ? random.below(3) : 0
  const step = (name: string, kind: StepShape["kind"], closes: ReadonlyArray<string> = []): StepShape => ({
    name,
    kind,
    verify: random.chance(0.5) ? "look" : "rerun",
    inDoubt: random.chance(0.85) ? "compensate" : "park",
    closes
  })
  const steps = [
    ...Array.from(
      { length: before },
      (_, i) => step(`c${i}`, "compensatable", i > 0 && random.chance(0.25) ? [`c${i - 1}`] : [])
    ),
    ...hasPivot ? [step("pivot", "pivot")] : [],
    ...Array.from({ length: after }, (_, i) => step(`r${i}`, "retriable"))
  ]
  return steps.length === 0 ? [step("c0", "compensatable")] : steps
}

/** What really happened, which no one in the saga sees but through answers. */
interface Truth {
  happened: boolean
  /** The request is under way: nobody has seen it yet, and it may arrive at any time. */
  underway: boolean
  /** How often the effect was carried out: the same key again answers as the first time. */
  executions: number
  undone: boolean
}

class World {
  readonly shape: Shape
  readonly random: Tape
  readonly truth: Array<Truth>
  readonly log: Array<Event> = []
  state: SagaState
  cancel = false
  crashes = 0
  undoCalls: Array<number> = []

  constructor(seed: number) {
    this.random = tape(seed)
    this.shape = makeShape(this.random)
    this.truth = this.shape.map(() => ({ happened: false, underway: false, executions: 0, undone: false }))
    this.state = initial(this.shape)
  }

  truthOf(step: number): Truth {
    const truth = this.truth[step]
    assert.isDefined(truth)
    return truth
  }

  /** Everything in memory is lost; the log is not. Sometimes someone asks for it to be cancelled meanwhile. */
  maybeCrash(): void {
    if (this.crashes < 4 && this.random.chance(0.08)) {
      this.crashes++
      throw new Crash()
    }
    if (this.random.chance(0.03)) this.cancel = true
    this.truth.forEach((truth, step) => {
      if (truth.underway && this.random.chance(0.2)) this.arrive(step)
    })
  }

  arrive(step: number): void {
    const truth = this.truthOf(step)
    truth.underway = false
    if (truth.happened) return
    truth.happened = true
    truth.executions++
  }

  append(events: ReadonlyArray<Event>): void {
    this.log.push(...events)
    this.state = fold(this.shape, this.state, events)
  }

  run(step: number): Signal {
    const truth = this.truthOf(step)
    // Written down before it leaves, after all that comes before it, and never once the saga unwinds.
    assert.isTrue(this.log.some((event) => event._tag === "Intended" && event.step === this.shape[step]?.name))
    assert.isTrue(this.state.steps.slice(0, step).every(({ progress }) => progress._tag === "Done"))
    assert.isUndefined(this.state.cause)
    if (truth.happened) return this.answer(step, true)
    if (this.random.chance(0.75)) this.arrive(step)
    else if (this.random.chance(0.5)) truth.underway = true
    this.maybeCrash()
    return this.answer(step, truth.happened)
  }

  answer(step: number, happened: boolean): Signal {
    const result = JSON.stringify(`result of ${step}`)
    if (happened) {
      return this.random.chance(0.8)
        ? { _tag: "Succeeded", step, result }
        : { _tag: "Unknown", step, detail: "timeout", isVerifiable: true }
    }
    if (this.truthOf(step).underway || this.random.chance(0.2)) {
      return { _tag: "Unknown", step, detail: "timeout", isVerifiable: true }
    }
    return this.shape[step]?.kind === "retriable" && this.random.chance(0.3)
      ? { _tag: "Refuses", step, reason: "parked" }
      : { _tag: "Failed", step, detail: "Refusal", error: undefined }
  }

  verify(step: number): Signal {
    assert.strictEqual(this.shape[step]?.verify, "look")
    this.maybeCrash()
    const { happened, underway } = this.truthOf(step)
    const verdict: Verdict = this.random.chance(0.2)
      ? { _tag: "StillUnknown" }
      : happened
      ? { _tag: "Happened", result: JSON.stringify(`result of ${step}`) }
      : !underway && this.random.chance(0.5)
      ? { _tag: "NeverHappened" }
      : underway || this.random.chance(0.5)
      ? { _tag: "NotSeen" }
      : { _tag: "Refused", detail: "Refusal", error: undefined }
    return {
      _tag: "Verified",
      step,
      verdict,
      detail: "timeout",
      isExhausted: this.random.chance(0.3),
      cancel: this.cancel
    }
  }

  undo({ outcome, step }: Command & { readonly _tag: "Undo" }): Signal {
    const truth = this.truthOf(step)
    this.undoCalls.push(step)
    assert.strictEqual(this.shape[step]?.kind, "compensatable")
    assert.isDefined(this.state.cause)
    // In reverse start order: whatever started later has its outcome.
    for (let later = step + 1; later < this.shape.length; later++) {
      assert.isFalse(isObligation(this.shape, this.state, later))
    }
    if (outcome._tag === "Done") {
      assert.isTrue(truth.happened)
      assert.strictEqual(outcome.result, JSON.stringify(`result of ${step}`))
    }
    if (this.random.chance(0.2)) return { _tag: "Undid", step, undo: { _tag: "Failed", detail: "down" } }
    if (!truth.happened && !truth.underway && this.random.chance(0.5)) {
      return { _tag: "Undid", step, undo: { _tag: "Skipped", by: "compensation", reason: "nothing there" } }
    }
    // The undo of a step in doubt sees to what may still arrive.
    truth.underway = false
    truth.undone = true
    this.maybeCrash()
    return { _tag: "Undid", step, undo: { _tag: "Undone" } }
  }

  // --- what an executor does

  settle(signal: Signal): Command {
    const { command, events } = decide(this.shape, this.state, signal)
    if (events.length === 0) return command
    this.maybeCrash()
    this.append(events)
    this.maybeCrash()
    return this.cancel && command._tag === "Run"
      ? this.settle({ _tag: "Cancel", unsent: [command.step] })
      : command
  }

  drive(isFresh: boolean): void {
    let command = this.settle({ _tag: "Begin", isFresh, cancel: this.cancel })
    for (let count = 0;; count++) {
      assert.isBelow(count, 1000)
      if (command._tag === "Stop") return
      if (command._tag === "Unwind") return this.unwind()
      assert.include(["Run", "Verify"], command._tag)
      const step = "step" in command ? command.step : -1
      command = this.settle(command._tag === "Run" ? this.run(step) : this.verify(step))
    }
  }

  unwind(): void {
    for (let step = this.shape.length - 1; step >= 0; step--) {
      if (!isObligation(this.shape, this.state, step)) continue
      let command = this.settle({ _tag: "Undo", step })
      while (command._tag !== "Stop") {
        assert.include(["Undo", "Verify"], command._tag)
        command = this.settle(command._tag === "Undo" ? this.undo(command) : this.verify(step))
      }
    }
  }

  /** Over as many processes as it takes. */
  play(): SagaLog.State {
    let isFresh = true
    for (;;) {
      try {
        this.drive(isFresh)
        return statusOf(this.shape, this.state)
      } catch (crash) {
        if (!(crash instanceof Crash)) throw crash
        isFresh = false
        this.state = fold(this.shape, initial(this.shape), this.log)
      }
    }
  }
}

class Crash extends Error {}

const outcomesOf = (log: ReadonlyArray<Event>, step: string): number =>
  log.filter((event) =>
    "step" in event && event.step === step && ["Undone", "Skipped", "UndoFailed"].includes(event._tag)
  )
    .length

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))

describe("decide", () => {
  it.effect.prop(
    "keeps its promises under random failures, crashes and cancellations",
    [Seed],
    ([seed]) =>
      Effect.sync(() => {
        const world = new World(seed)
        const status = world.play()
        const { log, shape, state, truth } = world
        truth.forEach(({ underway }, step) => underway && world.arrive(step))
        // What is kept says the same as what was decided.
        assert.deepStrictEqual(fold(shape, initial(shape), log), state)
        // Nothing was done twice.
        assert.isTrue(truth.every(({ executions }) => executions <= 1))
        const pivot = shape.findIndex(({ kind }) => kind === "pivot")
        switch (status) {
          case "Completed":
            assert.isTrue(truth.every(({ happened, undone }) => happened && !undone))
            assert.deepStrictEqual(world.undoCalls, [])
            break
          case "Compensated":
          case "FailedCompensation": {
            const failed = state.steps.filter(({ undo }) => undo?._tag === "Failed")
            assert.strictEqual(failed.length > 0, status === "FailedCompensation")
            shape.forEach(({ kind, name }, index) => {
              const { happened, undone } = world.truthOf(index)
              const undo = state.steps[index]?.undo
              if (kind !== "compensatable") {
                // No pivot that happened is left behind an unwinding.
                assert.isFalse(happened)
                assert.strictEqual(outcomesOf(log, name), 0)
                return
              }
              assert.isAtMost(outcomesOf(log, name), 1)
              if (!happened) return
              // Nothing that happened is forgotten.
              assert.strictEqual(outcomesOf(log, name), 1)
              const isClosed = undo?._tag === "Skipped" && undo.reason.startsWith("closed by")
              assert.isTrue(undone || isClosed || undo?._tag === "Failed")
            })
            break
          }
          case "Parked":
            assert.deepStrictEqual(world.undoCalls, [])
            break
          default:
            assert.fail(`did not end: ${status}`)
        }
        if (pivot !== -1 && state.steps[pivot]?.progress._tag === "Done") assert.deepStrictEqual(world.undoCalls, [])
      }),
    { arbitrary: { runs: 2000 } }
  )

  it("meets every end in these worlds", () => {
    const ends = new Set(Array.from({ length: 400 }, (_, seed) => new World(seed).play()))
    assert.sameMembers([...ends], ["Completed", "Compensated", "FailedCompensation", "Parked"])
  })

  /** What each step answers, and what has to come of it, said in another way. */
  const Answer = Schema.Literals(["ok", "refused", "happened", "never", "unknown"])
  it.effect.prop(
    "ends as a naive model says, where nothing crashes",
    [Schema.Array(Answer).check(Schema.isMaxLength(6)), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 }))],
    ([answers, pivot]) =>
      Effect.sync(() => {
        const kindOf = (index: number) => index < pivot ? "compensatable" : index === pivot ? "pivot" : "retriable"
        const shape: Shape = answers.map((_, index) => ({
          name: `s${index}`,
          kind: kindOf(index),
          verify: "look",
          inDoubt: "compensate",
          closes: []
        }))
        if (shape.length === 0) return
        const bad = answers.findIndex((answer) => answer !== "ok" && answer !== "happened")
        const isDoubt = answers[bad] === "unknown"
        const expected = bad === -1
          ? { status: "Completed", undone: [] as Array<number> }
          : bad > pivot || (bad === pivot && isDoubt)
          ? { status: "Parked", undone: [] }
          : {
            status: "Compensated",
            undone: shape.map((_, index) => index).filter((index) => index < bad || (index === bad && isDoubt))
              .toReversed()
          }
        const undone: Array<number> = []
        let state = initial(shape)
        const settle = (signal: Signal): Command => {
          const { command, events } = decide(shape, state, signal)
          state = fold(shape, state, events)
          return command
        }
        const verdictOf = (step: number): Verdict => {
          switch (answers[step]) {
            case "happened":
              return { _tag: "Happened", result: "1" }
            case "never":
              return { _tag: "NeverHappened" }
            default:
              return { _tag: "StillUnknown" }
          }
        }
        const verify = (step: number) =>
          settle({ _tag: "Verified", step, verdict: verdictOf(step), detail: "d", isExhausted: true, cancel: false })
        let command = settle({ _tag: "Begin", isFresh: true, cancel: false })
        while (command._tag === "Run" || command._tag === "Verify") {
          const { step } = command
          if (command._tag === "Verify") command = verify(step)
          else if (answers[step] === "ok") command = settle({ _tag: "Succeeded", step, result: "1" })
          else if (answers[step] === "refused") {
            command = settle({ _tag: "Failed", step, detail: "d", error: undefined })
          } else command = settle({ _tag: "Unknown", step, detail: "d", isVerifiable: true })
        }
        if (command._tag === "Unwind") {
          for (let step = shape.length - 1; step >= 0; step--) {
            command = settle({ _tag: "Undo", step })
            if (command._tag === "Verify") command = verify(step)
            if (command._tag !== "Undo") continue
            undone.push(step)
            settle({ _tag: "Undid", step, undo: { _tag: "Undone" } })
          }
        }
        assert.deepStrictEqual({ status: statusOf(shape, state), undone }, { ...expected, undone: expected.undone })
      }),
    { arbitrary: { runs: 1000 } }
  )

  const one = (kind: StepShape["kind"], options?: Partial<StepShape>): StepShape => ({
    name: kind,
    kind,
    verify: "look",
    inDoubt: "compensate",
    closes: [],
    ...options
  })
  const after = (shape: Shape, ...events: ReadonlyArray<Event>) => fold(shape, initial(shape), events)

  it("writes the outcome of a step and the intent of the next at once", () => {
    const shape = [one("compensatable"), one("pivot")]
    const state = after(shape, { _tag: "Intended", step: "compensatable" })
    assert.deepStrictEqual(decide(shape, state, { _tag: "Succeeded", step: 0, result: "1" }), {
      events: [{ _tag: "Succeeded", step: "compensatable", result: "1" }, { _tag: "Intended", step: "pivot" }],
      command: { _tag: "Run", step: 1 }
    })
  })

  it("does not undo what is decided: a cancellation comes too late once the pivot may have left", () => {
    const shape = [one("compensatable"), one("pivot"), one("retriable")]
    const before = [
      { _tag: "Intended", step: "compensatable" },
      { _tag: "Succeeded", step: "compensatable", result: "1" },
      { _tag: "Intended", step: "pivot" }
    ] as const
    const state = after(shape, ...before)
    assert.deepStrictEqual(decide(shape, state, { _tag: "Cancel", unsent: [1] }), {
      events: [{ _tag: "Cancelled", unsent: "pivot" }],
      command: { _tag: "Unwind" }
    })
    assert.deepStrictEqual(decide(shape, state, { _tag: "Cancel", unsent: [] }), {
      events: [],
      command: { _tag: "Stop" }
    })
    assert.deepStrictEqual(decide(shape, state, { _tag: "Begin", isFresh: false, cancel: true }), {
      events: [],
      command: { _tag: "Verify", step: 1 }
    })
  })

  it("verifies what an earlier owner has left intended, and runs again what may be", () => {
    for (const [verify, command] of [["look", "Verify"], ["rerun", "Run"]] as const) {
      const shape = [one("compensatable", { verify })]
      const state = after(shape, { _tag: "Intended", step: "compensatable" })
      assert.strictEqual(decide(shape, state, { _tag: "Begin", isFresh: false, cancel: false }).command._tag, command)
      assert.strictEqual(decide(shape, state, { _tag: "Begin", isFresh: true, cancel: false }).command._tag, "Run")
    }
  })

  it("opens failed undos again when it is resumed, and those only", () => {
    const shape = [one("compensatable", { name: "a" }), one("compensatable", { name: "b" }), one("pivot")]
    const state = after(
      shape,
      { _tag: "Intended", step: "a" },
      { _tag: "Succeeded", step: "a", result: "1" },
      { _tag: "Intended", step: "b" },
      { _tag: "Succeeded", step: "b", result: "1" },
      { _tag: "Intended", step: "pivot" },
      { _tag: "Failed", step: "pivot", detail: "no" },
      { _tag: "UndoFailed", step: "b", detail: "down" },
      { _tag: "Undone", step: "a" }
    )
    assert.strictEqual(statusOf(shape, state), "FailedCompensation")
    const resumed = fold(shape, state, [{ _tag: "Resumed" }])
    assert.strictEqual(statusOf(shape, resumed), "Compensating")
    assert.deepStrictEqual([0, 1, 2].map((step) => isObligation(shape, resumed, step)), [false, true, false])
  })
})
