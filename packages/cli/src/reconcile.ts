/**
 * `payctl reconcile`: two CSV files, what does not agree between them, and an exit code for a scheduler.
 *
 * @internal
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Currency from "effect-payments/Currency"
import * as Money from "effect-payments/Money"
import * as Reconciliation from "effect-payments/Reconciliation"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import * as duration from "./duration.ts"
import { makeProgress, type Progress } from "./progress.ts"
import { toJsonLines, toLines } from "./reconciliationText.ts"
import { makeTransactions, type Problem, type Transactions } from "./transactions.ts"

/** Exit code 1: the files were read, and they do not agree. What was found is on stdout. */
class DiscrepanciesFound extends Schema.TaggedError<DiscrepanciesFound>()("DiscrepanciesFound", {}) {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

/** Exit code 2: a file or an option that cannot be used. */
class BadInput extends Schema.TaggedError<BadInput>()("BadInput", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2
  override get [CliError.userMessage](): string {
    return this.what
  }
}

/** Exit code 70: neither agreement nor disagreement was established. */
class NotReconciled extends Schema.TaggedError<NotReconciled>()("NotReconciled", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 70
  override get [CliError.userMessage](): string {
    return this.what
  }
}

interface Options {
  readonly internal: string
  readonly gateway: string
  readonly json: boolean
  readonly tolerance: Readonly<Record<string, string>>
  readonly feeTolerance: Readonly<Record<string, string>>
  readonly window: string
  readonly statusAlias: Readonly<Record<string, string>>
  readonly orphanRefunds: boolean
  readonly limit: number
  readonly maxRows: number
}

const run = Effect.fnUntraced(function*(options: Options) {
  const policy = yield* readPolicy(options)
  const progress = yield* makeProgress
  yield* compareSources(options)
  const internal = yield* readFile(options.internal, options.maxRows, progress)
  const gateway = yield* readFile(options.gateway, options.maxRows, progress)
  yield* progress.clear
  const report = Reconciliation.reconcile(internal.records, gateway.records, {
    ...policy,
    orphanRefunds: options.orphanRefunds && (internal.has("parent") || gateway.has("parent"))
  })
  if (!Reconciliation.isConserved(report)) {
    return yield* new NotReconciled({ what: "matched and reported do not add up to what was read: trust no result" })
  }
  yield* print(options.json ? toJsonLines(report) : toLines(report, options.limit))
  if (report.discrepancies.length > 0) return yield* new DiscrepanciesFound()
})

const standardInput = "-"

const nameOf = (path: string): string => path === standardInput ? "stdin" : path

/** Stdin is there once. And a file agrees with itself: whoever compares the two has mistaken one of them. */
const compareSources = Effect.fnUntraced(function*({ gateway, internal }: Options) {
  if (internal === standardInput && gateway === standardInput) {
    return yield* new BadInput({ what: "--internal and --gateway are both -: stdin can be one of them only" })
  }
  const [ours, theirs] = [yield* identityOf(internal), yield* identityOf(gateway)]
  if (ours === undefined || ours !== theirs) return
  const { stderr } = yield* Stdio.Stdio
  const warning =
    `warning: --internal ${internal} and --gateway ${gateway} are the same file, which agrees with itself\n`
  // What cannot be said is no reason to stop.
  yield* Effect.ignore(Stream.run(Stream.make(warning), stderr({ endOnDone: false })))
})

/** The same for all paths to one file. */
const identityOf = (path: string): Effect.Effect<string | undefined, never, FileSystem.FileSystem> =>
  path === standardInput ?
    Effect.succeed(undefined) :
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(path)).pipe(
      Effect.map(({ dev, ino }) => Option.isSome(ino) ? `${dev} ${ino.value}` : undefined),
      Effect.orElseSucceed(() => undefined)
    )

const chunkBytes = 262_144

const readFile = Effect.fnUntraced(function*(path: string, maxRows: number, progress: Progress) {
  const size = yield* sizeOf(path)
  const transactions = makeTransactions(maxRows)
  let bytes = 0
  yield* bytesOf(path).pipe(Stream.runForEach((chunk) => {
    const problem = transactions.push(chunk)
    if (problem !== undefined) return Effect.fail(badFile(path, problem))
    bytes += chunk.length
    return progress.show(() => readSoFar(path, transactions, size === 0 ? undefined : bytes / size))
  }))
  const problem = transactions.end()
  if (problem !== undefined) return yield* badFile(path, problem)
  return transactions
})

const bytesOf = (path: string): Stream.Stream<Uint8Array, BadInput, Stdio.Stdio> => {
  const unreadable = (error: unknown) => new BadInput({ what: `${nameOf(path)}: cannot be read (${codeOf(error)})` })
  return path === standardInput
    ? Stream.unwrap(Effect.map(Stdio.Stdio, ({ stdin }) => stdin)).pipe(
      Stream.mapError((error) => unreadable(error.reason.cause))
    )
    : NodeStream.fromReadable<Uint8Array, BadInput>({
      evaluate: () => createReadStream(path, { highWaterMark: chunkBytes }),
      onError: unreadable
    })
}

/** Zero where it is not known, as for a pipe. */
const sizeOf = (path: string): Effect.Effect<number, never, FileSystem.FileSystem> =>
  path === standardInput ? Effect.succeed(0) : Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(path)).pipe(
    Effect.map(({ size }) => Number(size)),
    Effect.orElseSucceed(() => 0)
  )

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown error"

const badFile = (path: string, { column, line, name, row, what }: Problem): BadInput => {
  const place = row === line ? `row ${row}` : `row ${row} (line ${line})`
  return new BadInput({ what: `${nameOf(path)}: ${place}, column ${name ?? column}: ${what}` })
}

const readSoFar = (path: string, { records }: Transactions, part: number | undefined): string => {
  const percent = part === undefined ? "" : `, ${Math.floor(Math.min(1, part) * 100)} %`
  return `${nameOf(path)}: ${records.length.toLocaleString("en")} rows${percent}`
}

const linesAtATime = 1000

/** Waits for whoever reads, and holds no more than some lines. A reader that went away is no error. */
const print = (lines: Iterable<string>): Effect.Effect<void, NotReconciled, Stdio.Stdio> =>
  Effect.flatMap(Stdio.Stdio, (stdio) =>
    Stream.fromIterable(lines).pipe(
      Stream.grouped(linesAtATime),
      Stream.map((some) => `${some.join("\n")}\n`),
      Stream.run(stdio.stdout())
    )).pipe(
      Effect.catch((error) =>
        codeOf(error.reason.cause) === "EPIPE"
          ? Effect.void
          : Effect.fail(new NotReconciled({ what: `the report cannot be written: ${error.message}` }))
      )
    )

const readPolicy = (options: Options): Effect.Effect<Reconciliation.Policy, BadInput> =>
  Effect.gen(function*() {
    return {
      tolerance: yield* readTolerance("--tolerance", options.tolerance),
      feeTolerance: yield* readTolerance("--fee-tolerance", options.feeTolerance),
      window: yield* readWindow(options.window),
      statusAliases: options.statusAlias
    }
  })

const readTolerance = Effect.fnUntraced(function*(flag: string, pairs: Readonly<Record<string, string>>) {
  const tolerance: Record<string, Money.Money> = {}
  for (const [code, amount] of Object.entries(pairs)) {
    const money = Result.flatMap(Currency.fromCode(code), (currency) => Money.parse(currency, amount))
    if (Result.isFailure(money)) return yield* new BadInput({ what: `${flag} ${code}: ${money.failure.message}` })
    if (Money.isNegative(money.success)) return yield* new BadInput({ what: `${flag} ${code}: it is negative` })
    tolerance[code] = money.success
  }
  // Each amount is in the currency that it stands under.
  return tolerance as NonNullable<Reconciliation.Policy["tolerance"]>
})

const readWindow = (text: string): Effect.Effect<Duration.Duration, BadInput> => {
  const window = text === "off" ? Duration.infinity : duration.parse(text)
  return window === undefined
    ? Effect.fail(new BadInput({ what: `--window: neither "off" nor a time such as "24 hours" or 36h` }))
    : Effect.succeed(window)
}

const pairs = (name: string) => Flag.KeyValuePair(name).pipe(Flag.withDefault({} as Record<string, string>))

const limitDefault = 50
const maxRowsDefault = 2_000_000
/** Two files of so many rows with no id in common are as many as can be told apart. */
const maxRowsLimit = 8_000_000

const flags = {
  internal: Flag.String("internal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("CSV of our own books; - is stdin")
  ),
  gateway: Flag.String("gateway").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("CSV of the gateway's report; - is stdin")
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
  tolerance: pairs("tolerance").pipe(
    Flag.withDescription("By how much amounts may differ, such as USD=0.01; once for each currency (default: nothing)")
  ),
  feeTolerance: pairs("fee-tolerance").pipe(Flag.withDescription("The same for fees")),
  window: Flag.String("window").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription(`How far the times may be apart: "36 hours", 2d, off (default: 24 hours)`),
    Flag.withDefault("24 hours")
  ),
  statusAlias: pairs("status-alias").pipe(
    Flag.withDescription("Another word for a status, such as settled=captured; once for each")
  ),
  orphanRefunds: Flag.Boolean("orphan-refunds").pipe(
    Flag.withDescription("Trace refunds to their charge where a file has a parent column (default: yes)"),
    Flag.withDefault(true)
  ),
  limit: Flag.Int("limit").pipe(
    Flag.filter((n) => n >= 0, () => "at least 0"),
    Flag.withDescription(`How many discrepancies are shown without --json (default: ${limitDefault})`),
    Flag.withDefault(limitDefault)
  ),
  maxRows: Flag.Int("max-rows").pipe(
    Flag.filter((n) => n >= 1 && n <= maxRowsLimit, () => `from 1 to ${maxRowsLimit}`),
    Flag.withDescription(`How many rows a file may have (default: ${maxRowsDefault})`),
    Flag.withDefault(maxRowsDefault)
  )
}

/** @internal */
export const reconcile = Command.make("reconcile", flags, (options) =>
  run(options).pipe(
    Effect.catchDefect((defect) =>
      Effect.andThen(
        Effect.logError(Cause.die(defect)),
        Effect.fail(new NotReconciled({ what: "stopped by a fault of payctl itself" }))
      )
    )
  )).pipe(
    Command.withDescription(
      "Compares the ledger with the gateway's report. Both are CSV files with a header that has transaction_id, amount, "
        + "currency, status and occurred_at, and perhaps fee, kind (charge or refund) and parent, in any order; other "
        + "columns are ignored. Exit code: 0 they agree, 1 they do not, 2 a file or an option is wrong"
    ),
    Command.withShortDescription("Compare the ledger with the gateway's report"),
    Command.withExamples([
      {
        command: "payctl reconcile --internal ledger.csv --gateway report.csv",
        description: "What does not agree between yesterday's ledger and report"
      },
      {
        command: "payctl reconcile --internal ledger.csv --gateway report.csv --tolerance USD=0.01 --window 2d --json",
        description: "The same for another program, with some allowance"
      },
      {
        command: "zcat report.csv.gz | payctl reconcile --internal ledger.csv --gateway -",
        description: "A report that comes from another program"
      }
    ])
  )
