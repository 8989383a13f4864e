/** The command line of the saga soak. */
import { Result } from "effect"
import { parseArgs } from "node:util"
import { brokenOf, countOf, storesOf, UsageError } from "../soak/flags.ts"
import type { StoreAt } from "../soak/wire.ts"
import { Broken } from "./wire.ts"

export const usage =
  `Kills processes while they run sagas, stops their database and cuts their connections, and shows that no undo is lost and
nobody pays twice.

Usage: npm run soak:saga -- [--store sqlite|postgres|redis|all] [--kills N] [--stops N] [--restarts N] [--cuts N] [--sagas N]
                            [--workers N] [--seed S] [--json]
       npm run soak:saga -- --broken NAME|all [--seed S] [--json]

  --store     which log (default all)
  --kills     processes ended by SIGKILL, at random and at named commit points, for each log (default 1000)
  --stops     processes frozen past their leases by SIGSTOP and woken, for each log (default 100)
  --restarts  Postgres stopped by pg_ctl -m immediate and started again (default 20)
  --cuts      connections to Postgres or Redis closed, reset or left half-open under a request (default 100)
  --sagas     sagas at the least, for each log (default 20000)
  --workers   processes (default 3)
  --seed      of all that is left to chance; printed (default: a new one)
  --broken    run with a log, engine or adapter that is wrong in this way, which has to be seen:
              ${Broken.literals.join(", ")}
  --json      print the reports as JSON and nothing else
  --help      print this

By what shorter runs took, the defaults take half an hour for each log on two idle cores. Postgres is one of its own; Redis is at TEST_REDIS_URL, which npm
run starts unless it is set.

Exit code: 0 when all is as it has to be, 1 on a violation, or with --broken when there is none, 2 when the command line is wrong.`

export interface Flags {
  readonly help: boolean
  readonly json: boolean
  readonly broken: ReadonlyArray<Broken>
  readonly stores: ReadonlyArray<StoreAt["kind"]>
  readonly kills: number
  readonly stops: number
  readonly restarts: number
  readonly cuts: number
  readonly sagas: number
  readonly workers: number
  readonly seed: number | undefined
}

const workersMax = 32

export const parse = (args: ReadonlyArray<string>): Result.Result<Flags, UsageError> =>
  Result.gen(function*() {
    const values = yield* Result.try({
      try: () =>
        parseArgs({
          args: [...args],
          options: {
            help: { type: "boolean", default: false },
            json: { type: "boolean", default: false },
            broken: { type: "string" },
            store: { type: "string", default: "all" },
            kills: { type: "string", default: "1000" },
            stops: { type: "string", default: "100" },
            restarts: { type: "string", default: "20" },
            cuts: { type: "string", default: "100" },
            sagas: { type: "string", default: "20000" },
            workers: { type: "string", default: "3" },
            seed: { type: "string" }
          }
        }).values,
      catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
    })
    return {
      help: values.help,
      json: values.json,
      broken: yield* brokenOf(Broken.literals, values.broken),
      stores: yield* storesOf(values.store),
      kills: yield* countOf("kills", values.kills),
      stops: yield* countOf("stops", values.stops),
      restarts: yield* countOf("restarts", values.restarts),
      cuts: yield* countOf("cuts", values.cuts),
      sagas: yield* countOf("sagas", values.sagas),
      workers: Math.max(1, yield* countOf("workers", values.workers, workersMax)),
      seed: values.seed === undefined ? undefined : yield* countOf("seed", values.seed, 2 ** 31 - 1)
    }
  })
