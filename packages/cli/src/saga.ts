/**
 * `payctl saga`: what a log of sagas holds, and what became of each run, without the sagas' code.
 *
 * @internal
 */
import * as Saga from "effect-payments/Saga"
import type * as SagaLog from "effect-payments/SagaLog"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { align } from "./columns.ts"
import * as duration from "./duration.ts"
import { BadInput, Declined } from "./failure.ts"
import { force, pause, retry, skip } from "./sagaChange.ts"
import * as shown from "./sagaRun.ts"
import { jsonFlag, logOptions, named, read, withLog } from "./sagaStore.ts"

// --- list

/** Ids may look like a card number, and hold what a shell reads: a cursor is neither. */
const readCursor = (cursor: string | undefined) => {
  if (cursor === undefined) return Effect.undefined
  const key = Base64Url.decodeString(cursor)
  return Result.isSuccess(key)
    ? Effect.succeed(key.success)
    : Effect.fail(new BadInput({ what: "--after: what a page has printed as next" }))
}

const limitDefault = 50
const limitMax = 999

const states = ["Running", "Compensating", "Completed", "Compensated", "FailedCompensation", "Parked"] as const

const list = Command.make(
  "list",
  {
    ...logOptions,
    saga: Flag.String("saga").pipe(Flag.withDescription("Only runs of this saga"), Flag.optional),
    state: Flag.Literals("state", states).pipe(Flag.withDescription("Only those in this state"), Flag.optional),
    waiting: Flag.Boolean("waiting").pipe(
      Flag.withDescription("Only what waits for somebody: Parked and FailedCompensation"),
      Flag.withDefault(false)
    ),
    step: Flag.String("step").pipe(
      Flag.withDescription("Only those whose last entry is about this step"),
      Flag.optional
    ),
    stuckSince: Flag.String("stuck-since").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("Only those that nobody has written to for so long, such as 15m or 2d"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(
      Flag.filter((n) => n >= 1 && n <= limitMax, () => `from 1 to ${limitMax}`),
      Flag.withDescription(`How many at the most (default: ${limitDefault})`),
      Flag.withDefault(limitDefault)
    ),
    after: Flag.String("after").pipe(
      Flag.withMetavar("CURSOR"),
      Flag.withDescription("Go on behind a page: what it printed as next"),
      Flag.optional
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ json, limit, state, stuckSince, waiting, ...options }) {
    const untouchedMillis = yield* readAge(Option.getOrUndefined(stuckSince))
    if (waiting && Option.isSome(state)) return yield* new BadInput({ what: "--waiting and --state: one of them" })
    const filter = {
      saga: Option.getOrUndefined(options.saga),
      step: Option.getOrUndefined(options.step),
      after: yield* readCursor(Option.getOrUndefined(options.after)),
      untouchedMillis,
      limit: limit + 1
    }
    const wanted = waiting ? ["FailedCompensation", "Parked"] as const : [Option.getOrUndefined(state)]
    yield* withLog(options, "read", ({ log }) =>
      Effect.gen(function*() {
        const pages = yield* Effect.forEach(wanted, (state) => log.list({ ...filter, state }))
        const runs = pages.flat().sort((a, b) => a.key < b.key ? -1 : 1)
        const page = runs.slice(0, limit)
        const first = page.find((run): run is SagaLog.Run => run.state !== "Unreadable")
        const last = page.at(-1)
        const next = runs.length > limit && last !== undefined ? Base64Url.encode(last.key) : null
        if (json) return yield* Console.log(JSON.stringify({ runs: page.map(shown.toListed), next }, null, 2))
        if (page.length === 0) return yield* Console.log("no such runs")
        const now = first === undefined ? 0 : yield* nowOf(log, first)
        const rows = align([shown.header, ...page.map((run) => shown.toRow(run, now))])
        yield* Console.log([...rows, ...next === null ? [] : [`... and more: --after ${next}`]].join("\n"))
      }))
  })
).pipe(
  Command.withDescription("Lists runs of sagas in a stable order"),
  Command.withShortDescription("List runs"),
  Command.withExamples([
    { command: "payctl saga list --waiting", description: "What waits for somebody, where DATABASE_URL is set" },
    {
      command: "payctl saga list --sqlite payments.db --saga checkout --stuck-since 15m --json",
      description: "Runs of one saga that nobody has written to for a quarter of an hour, for a program"
    }
  ])
)

/** The log's time, which the history of a run tells. One that cannot be read keeps nobody from the list. */
const nowOf = (log: SagaLog.SagaLog["Service"], run: SagaLog.Run) =>
  Effect.match(log.read(run), {
    onFailure: () => run.updatedAt,
    onSuccess: (history) => history?.now ?? run.updatedAt
  })

const readAge = Effect.fnUntraced(function*(text: string | undefined) {
  if (text === undefined) return undefined
  const age = duration.parse(text)
  return age === undefined
    ? yield* new BadInput({ what: "--stuck-since: no time such as 15m, 36h or 2 days" })
    : Duration.toMillis(age)
})

// --- show and graph

const show = Command.make(
  "show",
  {
    ...logOptions,
    ...named,
    withResults: Flag.Boolean("results").pipe(
      Flag.withDescription("Print the payload and what each step answered too, without card data"),
      Flag.withDefault(false)
    ),
    json: jsonFlag
  },
  ({ id, json, saga, withResults, ...options }) =>
    withLog(options, "read", (opened) =>
      Effect.flatMap(read(opened, saga, id), (history) =>
        Console.log(
          json
            ? JSON.stringify(shown.toJson(history, withResults), null, 2)
            : shown.toLines(history, withResults).join("\n")
        )))
).pipe(
  Command.withDescription(
    "Shows one run: where it stands, each step with what came of its undo, and all that was written down, in order. Ends "
      + "with 1 when there is none"
  ),
  Command.withShortDescription("Show one run, with its timeline and its undo"),
  Command.withExamples([
    { command: "payctl saga show checkout order-4711", description: "The run of an order" },
    {
      command: "payctl saga show checkout order-4711 --results --json",
      description: "The same with answers, for a program"
    }
  ])
)

const graph = Command.make(
  "graph",
  { ...logOptions, ...named, json: jsonFlag },
  ({ id, json, saga, ...options }) =>
    withLog(options, "read", (opened) =>
      Effect.gen(function*() {
        const drawn = Saga.trace(yield* read(opened, saga, id))
        if (drawn === undefined) return yield* new Declined({ what: "the definition of this run cannot be read" })
        yield* Console.log(json ? JSON.stringify({ saga, id, mermaid: drawn }, null, 2) : drawn)
      }))
).pipe(
  Command.withDescription(
    "Draws one run as a Mermaid flowchart: its steps and their undos, each with a class that says what became of it"
  ),
  Command.withShortDescription("Draw one run"),
  Command.withExamples([
    { command: "payctl saga graph checkout order-4711 > run.mmd", description: "A diagram of the run of an order" }
  ])
)

/** @internal */
export const saga = Command.make("saga").pipe(
  Command.withDescription(
    "Looks into a log of sagas, and settles what nobody else can. Exit code: 0 done, 1 the answer is no, 2 an option is wrong, 70 the log does not answer"
  ),
  Command.withShortDescription("List, show, draw and settle runs of sagas"),
  Command.withSubcommands([list, show, graph, retry, skip, force, pause])
)
