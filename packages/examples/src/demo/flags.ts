/**
 * The command line of the demo.
 */
import { Data, Result } from "effect"
import { parseArgs } from "node:util"

export const usage = `Charges cards and takes orders at a gateway that misbehaves, and shows that nobody pays twice.

Usage: ./scripts/demo [--json] [--gateway-dedup on|off]

  --json               print { "scenarios": [{ "name", "ok", "chargesInLedger", "detail", "shown" }] } and nothing else
  --gateway-dedup off  the gateway breaks its promise to know a key again: a payer pays twice, and the demo says so
  --help               print this

The gateway and the services of the shop are processes of their own, which misbehave as they are told.

Records are in a fresh SQLite file; in Postgres where DATABASE_URL is set, circuits and counters in Redis where REDIS_URL is.

Exit code: 0 when all went as it has to, 1 on any surprise, 2 when the command line is wrong.`

export interface Flags {
  readonly help: boolean
  readonly json: boolean
  readonly dedup: "on" | "off"
}

export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export const parse = (args: ReadonlyArray<string>): Result.Result<Flags, UsageError> =>
  Result.flatMap(
    Result.try({
      try: () =>
        parseArgs({
          args: [...args],
          options: {
            help: { type: "boolean", default: false },
            json: { type: "boolean", default: false },
            "gateway-dedup": { type: "string", default: "on" }
          }
        }).values,
      catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
    }),
    ({ "gateway-dedup": dedup, ...flags }) =>
      dedup === "on" || dedup === "off"
        ? Result.succeed({ ...flags, dedup })
        : Result.fail(new UsageError({ message: `--gateway-dedup takes on or off, not '${dedup}'` }))
  )
