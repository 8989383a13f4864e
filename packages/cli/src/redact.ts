/**
 * `payctl redact`: takes card data out of text on its way, or says where there is some.
 *
 * @internal
 */
import * as Redaction from "effect-payments/Redaction"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as encoding from "./encoding.ts"

/** Exit code 1: there is card data. Where is on stdout. */
class CardDataFound extends Schema.TaggedError<CardDataFound>()("CardDataFound", { count: Schema.Number }) {
  override readonly [Runtime.errorExitCode] = 1
  override get [CliError.userMessage](): string {
    return this.count === 1 ? "1 place would be redacted" : `${this.count} places would be redacted`
  }
}

/** Exit code 2: something cannot be read. */
class BadInput extends Schema.TaggedError<BadInput>()("BadInput", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2
  override get [CliError.userMessage](): string {
    return this.what
  }
}

const standardInput = "-"

const bytesOf = (
  name: string
): Stream.Stream<Uint8Array, PlatformError.PlatformError, FileSystem.FileSystem | Stdio.Stdio> =>
  name === standardInput
    ? Stream.unwrap(Effect.map(Stdio.Stdio, ({ stdin }) => stdin))
    : Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream(name)))

const scrubbed = (name: string) =>
  Stream.suspend(() => {
    const { decode, encode, end } = encoding.make()
    return bytesOf(name).pipe(
      Stream.mapError((error) =>
        new BadInput({ what: `${name === standardInput ? "stdin" : name}: cannot be read (${error.reason._tag})` })
      ),
      Stream.map(decode),
      Stream.concat(Stream.suspend(() => Stream.succeed(end()))),
      Redaction.scrubStream,
      Stream.map(({ findings, text }) => ({ findings, bytes: encode(text) }))
    )
  })

const kinds: { readonly [kind in Redaction.Finding["kind"]]: string } = {
  pan: "card number",
  cvv: "security code",
  track: "magnetic stripe",
  pinBlock: "PIN block"
}

/** A reader that has seen enough is no error. */
const write = <E, R>(text: Stream.Stream<string | Uint8Array, E, R>) =>
  Effect.flatMap(Stdio.Stdio, (stdio) =>
    Stream.run(text, stdio.stdout({ endOnDone: false })).pipe(
      Effect.catchIf(isPlatformError, () => Effect.void)
    ))

const isPlatformError = (error: unknown): error is PlatformError.PlatformError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "PlatformError"

const check = Effect.fnUntraced(function*(names: ReadonlyArray<string>) {
  let count = 0
  const lines = Stream.flatMap(Stream.fromIterable(names), (name) =>
    Stream.map(scrubbed(name), ({ findings }) => {
      count += findings.length
      return findings.map(({ kind, line }) => `${name === standardInput ? "stdin" : name}:${line}: ${kinds[kind]}\n`)
        .join("")
    }))
  yield* write(Stream.filter(lines, (text) => text !== ""))
  if (count > 0) return yield* new CardDataFound({ count })
})

/** @internal */
export const redact = Command.make(
  "redact",
  {
    files: Argument.String("file").pipe(
      Argument.withDescription("What to read, one after the other; stdin without any, or for -"),
      Argument.variadic()
    ),
    check: Flag.Boolean("check").pipe(
      Flag.withDescription("Print where card data stands instead, and end with 1 if there is any"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ check: isCheck, files }) {
    const names = files.length === 0 ? [standardInput] : files
    if (isCheck) return yield* check(names)
    yield* write(
      Stream.flatMap(Stream.fromIterable(names), (name) => Stream.map(scrubbed(name), ({ bytes }) => bytes))
    )
  })
).pipe(
  Command.withDescription(
    "Reads text (UTF-8, or UTF-16 behind its mark; bytes that are neither stay as they are) and prints it without card numbers, security codes, magnetic stripes and PIN blocks, in memory "
      + "that does not grow with the text. A card number keeps its last four digits. Ends with 2 when something cannot "
      + "be read"
  ),
  Command.withShortDescription("Take card data out of text"),
  Command.withExamples([
    { command: "payctl redact app.log > clean.log", description: "A log without card data" },
    { command: "payctl redact --check app.log support.txt", description: "Say where card data stands" }
  ])
)
