/** The command line of the soak. */
import { Data, Result } from "effect"
import { parseArgs } from "node:util"
import { Broken, type StoreAt } from "./wire.ts"

export const usage = `Kills and freezes processes while they charge, and shows that nobody pays twice.

Usage: npm run soak:idempotency -- [--store sqlite|postgres|redis|all] [--kills N] [--stops N] [--keys N] [--seed S] [--json]
       npm run soak:idempotency -- --broken NAME|all [--seed S] [--json]

  --store    which store (default all)
  --kills    processes ended by SIGKILL, for each store (default 200)
  --stops    processes frozen past their leases by SIGSTOP and woken, for each store (default 100)
  --keys     keys at the least, for each store (default 2000)
  --seed     of all that is left to chance; printed (default: a new one)
  --broken   run with a store that is wrong in this way, which has to be seen: ${Broken.literals.join(", ")}
  --json     print the reports as JSON and nothing else
  --help     print this

Each store is then met by a gateway that does not de-duplicate too, with a tenth of all: killed processes are harmless
there, and frozen ones are not. Postgres is at TEST_POSTGRES_URL and Redis at TEST_REDIS_URL; npm run starts both, unless
they are set.

Exit code: 0 when all is as it has to be, 1 on a violation, or with --broken when there is none, 2 when the command line is wrong.`

export interface Flags {
  readonly help: boolean
  readonly json: boolean
  readonly broken: ReadonlyArray<Broken>
  readonly stores: ReadonlyArray<StoreAt["kind"]>
  readonly kills: number
  readonly stops: number
  readonly keys: number
  readonly seed: number | undefined
}

export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

const all = ["sqlite", "postgres", "redis"] as const
const countMax = 1_000_000

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
            kills: { type: "string", default: "200" },
            stops: { type: "string", default: "100" },
            keys: { type: "string", default: "2000" },
            seed: { type: "string" }
          }
        }).values,
      catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
    })
    const stores = yield* storesOf(values.store)
    const broken = yield* brokenOf(Broken.literals, values.broken)
    return {
      help: values.help,
      json: values.json,
      broken,
      stores,
      kills: yield* countOf("kills", values.kills),
      stops: yield* countOf("stops", values.stops),
      keys: yield* countOf("keys", values.keys),
      seed: values.seed === undefined ? undefined : yield* countOf("seed", values.seed, 2 ** 31 - 1)
    }
  })

export const storesOf = (name: string): Result.Result<ReadonlyArray<StoreAt["kind"]>, UsageError> => {
  const stores = name === "all" ? all : all.filter((store) => store === name)
  return stores.length > 0
    ? Result.succeed(stores)
    : Result.fail(new UsageError({ message: `--store takes sqlite, postgres, redis or all, not '${name}'` }))
}

/** None without a name. */
export const brokenOf = <A extends string>(
  known: ReadonlyArray<A>,
  name: string | undefined
): Result.Result<ReadonlyArray<A>, UsageError> => {
  const broken = name === "all" ? known : known.filter((each) => each === name)
  return name === undefined || broken.length > 0
    ? Result.succeed(broken)
    : Result.fail(new UsageError({ message: `--broken takes ${known.join(", ")} or all, not '${name}'` }))
}

export const countOf = (name: string, text: string, max = countMax): Result.Result<number, UsageError> =>
  /^[0-9]{1,10}$/.test(text) && Number(text) <= max
    ? Result.succeed(Number(text))
    : Result.fail(new UsageError({ message: `--${name} takes a whole number up to ${max}, not '${text}'` }))
