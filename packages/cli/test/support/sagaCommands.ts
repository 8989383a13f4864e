/** What `payctl saga` does on any database: the cases, and the runs that they are about. */
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, Schedule, Schema } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { assert, beforeAll, describe, it } from "vitest"
import { payctlHere, type Run } from "./payctl.ts"

class Refusal extends Schema.TaggedError<Refusal>()("Refusal", {}) {
  readonly disposition = "Refused" as const
}

const Payload = Schema.Struct({ fails: Schema.Array(Schema.String), note: Schema.String })

/** Only then is `reserve` undone. */
let isWarehouseBack = false

const order = Saga.make("order", { payload: Payload }).pipe(
  Saga.step("reserve", {
    success: Schema.Struct({ note: Schema.String }),
    error: Refusal,
    verify: "rerun",
    undoSchedule: Schedule.recurs(0),
    run: ({ payload }) => Effect.succeed({ note: payload.note }),
    compensate: () => isWarehouseBack ? Effect.void : Effect.die("no warehouse")
  }),
  Saga.step("charge", {
    success: Schema.String,
    error: Refusal,
    verify: "rerun",
    run: () => Effect.succeed("ch_1"),
    compensate: () => Effect.void
  }),
  Saga.pivot("ship", {
    success: Schema.String,
    error: Refusal,
    schedule: Schedule.recurs(0),
    verify: () => Effect.succeed(PaymentGateway.stillUnknown),
    run: ({ payload }) =>
      payload.fails.includes("refused")
        ? Effect.fail(new Refusal())
        : payload.fails.includes("doubt")
        ? Effect.die("lost")
        : Effect.succeed("p-1")
  }),
  Saga.retriable("receipt", { success: Schema.String, verify: "rerun", run: ({ ship }) => Effect.succeed(ship) })
)

const layerSagas = Saga.layer().pipe(Layer.provide(NodeCrypto.layer), Layer.merge(Logger.layer([])))

const note = "card 4111 1111 1111 1111"

/** Runs that ended in each way, one that nobody drives, and one that a process holds. */
const seed = Effect.gen(function*() {
  const execute = (id: string, ...fails: ReadonlyArray<string>) => Saga.execute(order, { fails, note }, { id })
  isWarehouseBack = false
  yield* execute("done")
  for (const id of ["failed", "skipped", "forced"]) yield* execute(id, "refused")
  for (const id of ["parked", "known"]) yield* execute(id, "doubt")
  const log = yield* SagaLog.SagaLog
  const history = yield* log.read(SagaLog.runId("order", "done"))
  assert.isDefined(history)
  const { definition, fingerprint, payload } = history.run
  const opening = {
    definition,
    fingerprint,
    payload,
    state: "Running" as const,
    events: [{ _tag: "Intended" as const, step: "reserve" }]
  }
  for (const [id, leaseMillis] of [["left", 1], ["held", 3_600_000]] as const) {
    yield* log.claim({ ...SagaLog.runId("other", id), owner: id, leaseMillis, opening })
  }
})

/** A process that has the code, until these runs have ended. */
const carryOut = (...ids: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    isWarehouseBack = true
    assert.strictEqual(yield* Saga.recover([order]), ids.length)
    yield* Effect.forEach(ids, (id) => Saga.result(order, { id }))
  })

const Line = Schema.Struct({
  saga: Schema.String,
  id: Schema.String,
  state: Schema.String,
  step: Schema.NullOr(Schema.String)
})
const Page = Schema.fromJsonString(Schema.Struct({ runs: Schema.Array(Line), next: Schema.NullOr(Schema.String) }))
const Event = Schema.Struct({
  event: Schema.String,
  step: Schema.optionalKey(Schema.String),
  result: Schema.optionalKey(Schema.Unknown)
})
const Step = Schema.Struct({
  step: Schema.String,
  kind: Schema.String,
  outcome: Schema.String,
  undo: Schema.NullOr(Schema.Struct({
    outcome: Schema.String,
    by: Schema.optionalKey(Schema.String),
    reason: Schema.optionalKey(Schema.String),
    evidence: Schema.optionalKey(Schema.String)
  }))
})
const Shown = Schema.fromJsonString(Schema.Struct({
  ...Line.fields,
  payload: Schema.optionalKey(Schema.Unknown),
  steps: Schema.Array(Step),
  timeline: Schema.Array(Schema.Struct({ seq: Schema.Int, state: Schema.String, events: Schema.Array(Event) }))
}))
const Changed = Schema.fromJsonString(Schema.Struct({ changed: Schema.Boolean, run: Line }))

/** `flags` and `env` name the database; `layer` is the same log for who seeds it. */
export const sagaCommands = <E>(
  database: string,
  options: () => {
    readonly flags?: ReadonlyArray<string>
    readonly env?: Readonly<Record<string, string>>
    readonly layer: Layer.Layer<SagaLog.SagaLog, E>
    readonly hidden?: string
  }
) =>
  describe(`payctl saga on ${database}`, () => {
    const here = <A, E2>(self: Effect.Effect<A, E2, SagaLog.SagaLog | Saga.Sagas>) =>
      Effect.runPromise(Effect.provide(self, Layer.provideMerge(layerSagas, options().layer)))
    const run = async (args: ReadonlyArray<string>, input?: string): Promise<Run> => {
      const { env, flags = [], hidden } = options()
      const [command = "", ...rest] = args
      const ran = await payctlHere(["saga", command, ...flags, ...rest], {
        ...env === undefined ? {} : { env },
        ...input === undefined ? {} : { input }
      })
      assert.notInclude(`${ran.stdout}${ran.stderr}`, "1111 1111", "a card number")
      if (hidden !== undefined) assert.notInclude(`${ran.stdout}${ran.stderr}`, hidden, "a password")
      return ran
    }
    const json = async <A>(
      schema: Schema.Codec<A, string>,
      args: ReadonlyArray<string>,
      input?: string
    ): Promise<A> => {
      const { status, stderr, stdout } = await run([...args, "--json"], input)
      assert.deepStrictEqual([status, stderr], [0, ""], args.join(" "))
      return Schema.decodeUnknownSync(schema)(stdout)
    }
    const listed = (...args: ReadonlyArray<string>) => json(Page, ["list", ...args])
    const show = (id: string, ...args: ReadonlyArray<string>) => json(Shown, ["show", "order", id, ...args])
    const undoOf = async (id: string, step: string) => (await show(id)).steps.find((each) => each.step === step)?.undo
    const why = ["--by=ada", "--reason=the warehouse is back", "--yes"]
    const seen = ["--by=ada", "--evidence=refund re_42", "--yes"]

    beforeAll(() => here(seed), 60_000)

    it("lists runs in pages, by saga, state and step, and what waits for somebody", async () => {
      const idsOf = async (...args: ReadonlyArray<string>) => (await listed(...args)).runs.map(({ id }) => id).sort()
      assert.deepStrictEqual(await idsOf("--saga", "other"), ["held", "left"])
      assert.deepStrictEqual(await idsOf("--state", "Completed"), ["done"])
      assert.deepStrictEqual(await idsOf("--state", "FailedCompensation"), ["failed", "forced", "skipped"])
      assert.deepStrictEqual(await idsOf("--waiting"), ["failed", "forced", "known", "parked", "skipped"])
      assert.deepStrictEqual(await idsOf("--step", "ship"), ["known", "parked"])
      assert.deepStrictEqual(await idsOf("--stuck-since", "1d"), [])
      const first = await listed("--waiting", "--limit", "3")
      const rest = await listed("--waiting", "--limit", "3", "--after", first.next ?? "")
      assert.deepStrictEqual([first.runs.length, rest.runs.length, rest.next], [3, 2, null])
      assert.deepStrictEqual([...first.runs, ...rest.runs], (await listed("--waiting")).runs)
      assert.strictEqual((await run(["list", "--waiting", "--state", "Parked"])).status, 2)
      const { stdout } = await run(["list", "--waiting", "--limit", "1"])
      assert.match(
        stdout,
        /^SAGA +ID +STATE +STEP +CHANGED +ENTRIES\norder +.* ago +\d+\n\.\.\. and more: --after [\w-]+\n$/
      )
    })

    it("shows where a run stands, what came of each undo, and its timeline", async () => {
      const failed = await show("failed")
      assert.strictEqual(failed.state, "FailedCompensation")
      assert.deepStrictEqual(
        failed.steps.map(({ kind, outcome, step, undo }) => [step, kind, outcome, undo?.outcome]),
        [
          ["reserve", "compensatable", "Done", "Failed"],
          ["charge", "compensatable", "Done", "Undone"],
          ["ship", "pivot", "NotDone", undefined],
          ["receipt", "retriable", "Waiting", undefined]
        ]
      )
      const events = failed.timeline.flatMap(({ events }) => events)
      assert.deepStrictEqual(events.map(({ event, step }) => `${event} ${step}`), [
        "Intended reserve",
        "Succeeded reserve",
        "Intended charge",
        "Succeeded charge",
        "Intended ship",
        "Failed ship",
        "Undone charge",
        "UndoFailed reserve"
      ])
      assert.notProperty(failed, "payload")
      assert.isTrue(events.every(({ result }) => result === undefined))
      const { stdout } = await run(["show", "order", "failed"])
      assert.match(stdout, /^state +FailedCompensation: an undo has failed: it waits for you$/m)
      assert.match(stdout, /^reserve +compensatable +Done +failed: /m)
      assert.match(stdout, /^\+\d+\w+ +.*UndoFailed +reserve +detail: /m)
    })

    it("shows answers when asked, without card data", async () => {
      const done = await show("done", "--results")
      const results = done.timeline.flatMap(({ events }) => events).flatMap(({ result }) => result ?? [])
      assert.deepStrictEqual(results, [{ note: "card [PAN ****1111]" }, "ch_1", "p-1", "p-1"])
      assert.deepStrictEqual(done.payload, { fails: [], note: "card [PAN ****1111]" })
    })

    it("draws what became of each step", async () => {
      const { status, stdout } = await run(["graph", "order", "failed"])
      assert.strictEqual(status, 0)
      assert.match(stdout, /^flowchart TD\n/)
      for (
        const line of ["class s0 done", "class u0 failed", "class u1 undone", "class s2 notdone", "class s3 waiting"]
      ) {
        assert.include(stdout, `  ${line}\n`)
      }
      const { stdout: json } = await run(["graph", "order", "failed", "--json"])
      assert.deepStrictEqual(JSON.parse(json), { saga: "order", id: "failed", mermaid: stdout.trimEnd() })
    })

    it("ends with 1 where there is no such run", async () => {
      for (const command of ["show", "graph"]) {
        const { status, stderr, stdout } = await run([command, "order", "nobody"])
        assert.deepStrictEqual([status, stdout], [1, ""])
        assert.include(stderr, "there is no such run")
      }
      assert.strictEqual((await run(["retry", "order", "nobody", ...why])).status, 1)
    })

    it("changes nothing unless somebody says so, and says who and why", async () => {
      const { status, stderr } = await run(["retry", "order", "failed", "--by=ada", "--reason=x"])
      assert.strictEqual(status, 2)
      assert.include(stderr, "nothing was changed")
      assert.include(stderr, "Say --yes")
      assert.strictEqual((await run(["retry", "order", "failed", "--by=ada", "--reason= ", "--yes"])).status, 2)
      assert.strictEqual((await run(["retry", "order", "failed", "--reason=x", "--yes"])).status, 2)
      assert.strictEqual((await show("failed")).state, "FailedCompensation")
    })

    it("passes over an undo, and says that one is done, and may be sent again", async () => {
      const skip = ["skip", "order", "skipped", "reserve", ...why]
      assert.deepInclude(await json(Changed, skip), { changed: true })
      assert.deepInclude(await json(Changed, skip), { changed: false })
      assert.deepInclude(await undoOf("skipped", "reserve"), {
        outcome: "Skipped",
        by: "ada",
        reason: "the warehouse is back"
      })
      const force = ["force", "order", "forced", "reserve", "--as=undone", ...seen]
      assert.strictEqual((await json(Changed, force)).run.state, "Compensated")
      assert.deepInclude(await json(Changed, force), { changed: false })
      assert.deepInclude(await undoOf("forced", "reserve"), { outcome: "Forced", by: "ada", evidence: "refund re_42" })
      const { status, stderr } = await run(["skip", "order", "forced", "nothing", ...why])
      assert.strictEqual(status, 1)
      assert.include(stderr, `nothing was changed: it has no step "nothing"`)
    })

    it("says that a step has happened, with its answer", async () => {
      const force = ["force", "order", "known", "ship", "--as=happened", ...seen]
      assert.include((await run(force)).stderr, "needs --result-file")
      assert.include((await run([...force, "--result-file=-"], `"4111 1111 1111 1111"`)).stderr, "card data")
      const known = await json(Changed, [...force, "--result-file=-"], `"p-2"\n`)
      assert.deepStrictEqual([known.changed, known.run.state], [true, "Parked"])
      assert.deepInclude(await json(Changed, [...force, "--result-file=-"], ` "p-2"`), { changed: false })
    })

    it("has stuck runs go on, which the processes that know the saga carry out", async () => {
      for (const id of ["failed", "known"]) {
        assert.deepInclude(await json(Changed, ["retry", "order", id, ...why]), { changed: true })
        assert.deepInclude(await json(Changed, ["retry", "order", id, ...why]), { changed: false })
      }
      assert.strictEqual((await show("failed")).state, "Compensating")
      assert.strictEqual((await show("known")).state, "Running")
      await here(carryOut("failed", "known"))
      assert.strictEqual((await show("failed")).state, "Compensated")
      const known = await show("known", "--results")
      assert.strictEqual(known.state, "Completed")
      assert.deepStrictEqual(known.timeline.flatMap(({ events }) => events).at(-1)?.result, "p-2")
    })

    it("parks what nobody holds at once, and leaves a wish where somebody does", async () => {
      const pause = (id: string) => json(Changed, ["pause", "other", id, ...why])
      assert.deepStrictEqual(await pause("left").then(({ changed, run }) => [changed, run.state]), [true, "Parked"])
      assert.deepInclude(await pause("left"), { changed: false })
      assert.deepStrictEqual(await pause("held").then(({ changed, run }) => [changed, run.state]), [false, "Running"])
      assert.include((await run(["show", "other", "held"])).stdout, "a pause, by ada: the warehouse is back")
      const { status, stderr } = await run(["skip", "other", "held", "reserve", ...why])
      assert.strictEqual(status, 1)
      assert.include(stderr, "nothing was changed")
    })
  })
