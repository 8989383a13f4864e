/** How a soak ends as a program. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Result } from "effect"
import type { UsageError } from "./flags.ts"

/** `run` answers whether all is as it has to be. */
export const runMain = <F extends { readonly help: boolean }, E>(
  parse: (args: ReadonlyArray<string>) => Result.Result<F, UsageError>,
  usage: string,
  run: (flags: F) => Effect.Effect<boolean, E>
): void =>
  NodeRuntime.runMain(
    Effect.suspend(() => {
      const flags = parse(process.argv.slice(2))
      if (Result.isFailure(flags)) return Effect.as(Console.error(`${flags.failure.message}\n\n${usage}`), 2)
      return flags.success.help
        ? Effect.as(Console.log(usage), 0)
        : Effect.map(run(flags.success), (isAsItHasToBe) => isAsItHasToBe ? 0 : 1)
    }),
    {
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit)) return onExit(exit.value as number)
        if (Cause.hasInterruptsOnly(exit.cause)) return onExit(130)
        console.error(Cause.pretty(exit.cause))
        onExit(1)
      }
    }
  )
