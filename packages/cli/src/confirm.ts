/**
 * Nothing is changed unless somebody says so: `--yes`, or an answer at the terminal.
 *
 * @internal
 */
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import { BadInput } from "./failure.ts"

/** @internal */
export const yesFlag = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do it without asking; needed where there is no terminal"),
  Flag.withDefault(false)
)

/** @internal */
export const confirm = Effect.fnUntraced(function*(isYes: boolean, what: string) {
  if (isYes) return
  const { stdinIsTerminal, stdoutIsTerminal } = yield* Stdio.Stdio
  if (!(yield* stdinIsTerminal) || !(yield* stdoutIsTerminal)) {
    return yield* new BadInput({ what: `nothing was changed. This would ${what}. Say --yes to do it` })
  }
  const isConfirmed = yield* Effect.orElseSucceed(
    Prompt.run(Prompt.Confirm({ message: `This will ${what}. Do it?` })),
    () => false
  )
  if (!isConfirmed) return yield* new BadInput({ what: "nothing was changed" })
})
