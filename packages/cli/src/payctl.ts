/**
 * The root command, apart from the process that it runs in.
 *
 * @internal
 */
import type * as NodeServices from "@effect/platform-node/NodeServices"
import * as Redaction from "effect-payments/Redaction"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { decline } from "./decline.ts"
import { idempotency } from "./idempotency.ts"
import { reconcile } from "./reconcile.ts"
import { redact } from "./redact.ts"
import { saga } from "./saga.ts"
import { webhook } from "./webhook.ts"

// Without a subcommand it shows its help.
const root = Command.make("payctl").pipe(
  Command.withDescription("Looks into what effect-payments knows and stores"),
  Command.withSubcommands([decline, idempotency, reconcile, redact, saga, webhook])
)

/** The help and what is wrong were shown. */
class BadUsage extends Schema.TaggedError<BadUsage>()("BadUsage", {}) {
  override readonly [Runtime.errorExitCode] = 2
  override readonly [Runtime.errorReported] = false
}

// Wrong arguments end with 2: 1 is the answer of a command, such as "they differ" or "there is card data".
const exitCodes = <E>(error: E): E | BadUsage =>
  CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0 ? new BadUsage() : error

/** What is wrong with an argument is told with the argument, which may be a URL with a password, or a card number. */
const careful = (text: string): string => Redaction.scrub(text.replace(/([a-z][a-z0-9+.-]{0,30}:\/\/)\S*@/gi, "$1***@"))

const layerCareful = Layer.effect(
  CliOutput.Formatter,
  Effect.map(TerminalCapabilities.TerminalCapabilities, ({ canColor }) => {
    const formatter = CliOutput.defaultFormatter({ colors: canColor })
    return {
      ...formatter,
      formatCliError: (error) => careful(formatter.formatCliError(error)),
      formatError: (error) => careful(formatter.formatError(error)),
      formatErrors: (errors) => careful(formatter.formatErrors(errors))
    }
  })
)

/**
 * Runs it on these arguments.
 *
 * @internal
 */
export const payctl = (
  version: string
): (args: ReadonlyArray<string>) => Effect.Effect<void, unknown, NodeServices.NodeServices> => {
  const run = Command.runWith(root, { version })
  return (args: ReadonlyArray<string>) => run(args).pipe(Effect.mapError(exitCodes), Effect.provide(layerCareful))
}
