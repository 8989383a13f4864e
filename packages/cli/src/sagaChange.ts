/**
 * `payctl saga retry`, `skip`, `force` and `pause`: an operator's word, as an entry of the log. The service's own processes,
 * which have the saga's code, carry it out.
 *
 * @internal
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as Redaction from "effect-payments/Redaction"
import * as SagaLog from "effect-payments/SagaLog"
import * as SagaOperator from "effect-payments/SagaOperator"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import type * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { confirm, yesFlag } from "./confirm.ts"
import { BadInput, Declined } from "./failure.ts"
import { parseJson, readReason, readText } from "./given.ts"
import * as shown from "./sagaRun.ts"
import { jsonFlag, logOptions, named, type Opened, read, withLog } from "./sagaStore.ts"

const bad = (what: string) => Effect.fail(new BadInput({ what }))

const byFlag = Flag.String("by").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Who decides it. It is kept in the history of the run")
)

const reasonFlag = Flag.String("reason").pipe(
  Flag.withMetavar("TEXT"),
  Flag.withDescription("Why. It is kept in the history of the run")
)

const shared = { ...logOptions, ...named, by: byFlag, yes: yesFlag, json: jsonFlag }

const step = Argument.String("step").pipe(Argument.withDescription("The name of the step"))

type Options = Parameters<typeof withLog>[0] & {
  readonly saga: string
  readonly id: string
  readonly yes: boolean
  readonly json: boolean
}

type Command_ = (target: SagaOperator.Target) => Effect.Effect<
  SagaOperator.Change,
  SagaOperator.SagaError,
  SagaLog.SagaLog | SecureRandom.SecureRandom
>

/** Asks, gives the command, and tells what has become of the run. */
const change = (options: Options, words: string, command: Command_) =>
  withLog(options, "write", (opened) =>
    Effect.gen(function*() {
      const { id, json, saga, yes } = options
      const { run } = yield* read(opened, saga, id)
      yield* confirm(yes, `${words} ${Redaction.scrub(saga)} ${Redaction.scrub(id)} (${run.state})`)
      const { isChanged, run: after } = yield* carry(opened, command({ saga, id }))
      if (json) return yield* Console.log(JSON.stringify({ changed: isChanged, run: shown.toShown(after) }, null, 2))
      yield* Console.log(
        `${isChanged ? "done" : "nothing was to be done"}: it is ${after.state}${nextOf(after, isChanged)}`
      )
    }))

const carry = (
  { log }: Opened,
  command: ReturnType<Command_>
): Effect.Effect<SagaOperator.Change, Declined | SagaLog.LogUnavailable> =>
  Effect.provide(command, Layer.merge(Layer.succeed(SagaLog.SagaLog, log), NodeCrypto.layer)).pipe(
    Effect.catchTag(
      "SagaError",
      ({ reason }): Effect.Effect<never, Declined | SagaLog.LogUnavailable> =>
        reason._tag === "LogUnavailable"
          ? Effect.fail(reason)
          : Effect.fail(
            new Declined({
              what: reason._tag === "InFlight"
                ? `a process works on it: nothing was changed. Pause it first, or ask again in ${
                  Duration.format(reason.retryAfter)
                }`
                : reason.message
            })
          )
    )
  )

const nextOf = ({ pauseRequested, state }: SagaLog.Run, isChanged: boolean): string => {
  if (!isChanged && pauseRequested !== undefined) {
    return ", and is parked as soon as its owner has written down the step that it is at. Look again"
  }
  return state === "Running" || state === "Compensating"
    ? ". A process that knows the saga goes on with it"
    : state === "Parked"
    ? ". payctl saga retry has it go on"
    : ""
}

/** @internal */
export const retry = Command.make("retry", { ...shared, reason: reasonFlag }, (options) =>
  Effect.gen(function*() {
    const by = yield* readReason("--by", options.by)
    const reason = yield* readReason("--reason", options.reason)
    yield* change(options, "have go on, and failed undos be tried again:", (target) =>
      SagaOperator.retry({ ...target, by, reason }))
  })).pipe(
    Command.withDescription(
      "Has a run that is parked go on where it stood, and failed undos tried again. It is written down; a process of the "
        + "service that knows the saga carries it out. It may be sent again"
    ),
    Command.withShortDescription("Have a stuck run go on"),
    Command.withExamples([
      {
        command: "payctl saga retry checkout order-4711 --by ada --reason \"the warehouse is back\"",
        description: "Once the cause is mended"
      }
    ])
  )

/** @internal */
export const skip = Command.make("skip", { ...shared, step, reason: reasonFlag }, (options) =>
  Effect.gen(function*() {
    const by = yield* readReason("--by", options.by)
    const reason = yield* readReason("--reason", options.reason)
    yield* change(options, `pass over the undo of ${Redaction.scrub(options.step)} in`, (target) =>
      SagaOperator.skip({ ...target, step: options.step, by, reason }))
  })).pipe(
    Command.withDescription(
      "Passes over the undo of a step of a stuck run: it is not undone, and whoever decides it answers for that. It may be "
        + "sent again"
    ),
    Command.withShortDescription("Pass over the undo of a step"),
    Command.withExamples([
      {
        command: "payctl saga skip checkout order-4711 reserve --by ada --reason \"the goods were written off\"",
        description: "What need not be undone any more"
      }
    ])
  )

const resultLimitBytes = 262_144

/** @internal */
export const force = Command.make("force", {
  ...shared,
  step,
  as: Flag.Literals("as", ["undone", "happened", "never-happened"]).pipe(
    Flag.withDescription("What is known: its undo is done, or the step has happened, or surely never did")
  ),
  evidence: Flag.String("evidence").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription("What this rests on. It is kept in the history of the run")
  ),
  resultFile: Flag.String("result-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("What the step answered, for --as happened: JSON as its schema encodes it; - is stdin"),
    Flag.optional
  )
}, (options) =>
  Effect.gen(function*() {
    const by = yield* readReason("--by", options.by)
    const evidence = yield* readReason("--evidence", options.evidence)
    const as = yield* readKnowledge(options.as, Option.getOrUndefined(options.resultFile))
    yield* change(options, `say that ${Redaction.scrub(options.step)} is ${options.as} in`, (target) =>
      SagaOperator.force({ ...target, step: options.step, as, by, evidence }))
  })).pipe(
    Command.withDescription(
      "Says what became of a step that nobody could tell of, or that its undo was done by other means. A step that is settled "
        + "so leaves the run parked until retry. It may be sent again"
    ),
    Command.withShortDescription("Say what became of a step"),
    Command.withExamples([
      {
        command:
          "payctl saga force checkout order-4711 capture --as undone --by ada --evidence \"refund re_42 at the PSP\"",
        description: "An undo that was done by hand"
      },
      {
        command:
          "payctl saga force checkout order-4711 ship --as happened --result-file parcel.json --by ada --evidence \"the "
          + "carrier's page\"",
        description: "A step in doubt that has happened, with what it answered"
      }
    ])
  )

const readKnowledge = Effect.fnUntraced(function*(
  as: "happened" | "never-happened" | "undone",
  resultFile: string | undefined
) {
  if (as !== "happened") {
    if (resultFile !== undefined) return yield* bad(`--result-file: --as ${as} has no result`)
    return { _tag: as === "undone" ? "Undone" : "NeverHappened" } as SagaOperator.Knowledge
  }
  if (resultFile === undefined) return yield* bad("--as happened needs --result-file: what the step answered")
  const result = yield* parseJson("--result-file", yield* readText("--result-file", resultFile, resultLimitBytes))
  return { _tag: "Happened", result } as SagaOperator.Knowledge
})

/** @internal */
export const pause = Command.make("pause", { ...shared, reason: reasonFlag }, (options) =>
  Effect.gen(function*() {
    const by = yield* readReason("--by", options.by)
    const reason = yield* readReason("--reason", options.reason)
    yield* change(options, "park", (target) => SagaOperator.pause({ ...target, by, reason }))
  })).pipe(
    Command.withDescription(
      "Parks a run before anything more leaves: at once when no process holds it, else as soon as its owner has written down "
        + "the step that it is at. retry has it go on. It may be sent again"
    ),
    Command.withShortDescription("Park a run"),
    Command.withExamples([
      {
        command: "payctl saga pause checkout order-4711 --by ada --reason \"the customer calls back\"",
        description: "Nothing more leaves until it is looked at"
      }
    ])
  )
