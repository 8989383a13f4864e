/**
 * `payctl decline`: what a processor's code means, for the merchant and for the payer.
 *
 * @internal
 */
import * as Decline from "effect-payments/Decline"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class CodeUnknown extends Schema.TaggedError<CodeUnknown>()("CodeUnknown", {
  processor: Schema.String,
  code: Schema.String
}) {
  override get [CliError.userMessage](): string {
    const { advice, nextKey, publicCode } = Decline.generic
    return `the table holds no code ${JSON.stringify(this.code)} of ${this.processor}. `
      + `The toolkit takes such a code for a plain refusal: ${publicCode}, advice ${advice}, next key ${nextKey}`
  }
}

const toJson = ({ delay, ...row }: Decline.Decline) => ({
  ...row,
  ...(delay === undefined ? {} : { delayMillis: Duration.toMillis(delay) }),
  payerText: Decline.payerText(row.advice)
})

const toText = (row: Decline.Decline): string => {
  const lines: ReadonlyArray<readonly [label: string, value: string]> = [
    ["code", `${row.code} (${row.processor})`],
    ["kind", row.masked ? `${row.kind}: never tell the payer` : row.kind],
    ["reason", `${row.reason}, ${row.disposition}`],
    ["new attempt", `${row.reattempt}, key: ${row.nextKey}`],
    ...(row.delay === undefined ? [] : [["not before", Duration.format(row.delay)] as const]),
    ["the payer sees", `${row.publicCode}, ${row.advice}`],
    ["", Decline.payerText(row.advice)],
    ["source", row.source]
  ]
  const width = Math.max(...lines.map(([label]) => label.length))
  return lines.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join("\n")
}

/** @internal */
export const decline = Command.make(
  "decline",
  {
    processor: Argument.Literals("processor", Decline.processors).pipe(
      Argument.withDescription(`Whose code: ${Decline.processors.join(", ")}`)
    ),
    code: Argument.String("code").pipe(Argument.withDescription("The code as the processor spells it")),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function*({ code, json, processor }) {
    const row = yield* Effect.mapError(
      Effect.fromOption(Decline.lookup(processor, code)),
      () => new CodeUnknown({ processor, code })
    )
    yield* Console.log(json ? JSON.stringify(toJson(row), null, 2) : toText(row))
  })
).pipe(
  Command.withDescription("What a decline code means for the program, the merchant and the payer"),
  Command.withShortDescription("What a decline code means"),
  Command.withExamples([
    { command: "payctl decline stripe:decline_code stolen_card", description: "What a stolen card looks like" }
  ])
)
