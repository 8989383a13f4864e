/**
 * What an operator gives with a command: words, and answers from a file.
 *
 * @internal
 */
import * as Redaction from "effect-payments/Redaction"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { BadInput } from "./failure.ts"

const bad = (what: string) => Effect.fail(new BadInput({ what }))

const textMax = 500

/** @internal Why it is done, or by whom, in the operator's words, without card data. */
export const readReason = (flag: string, text: string): Effect.Effect<string, BadInput> => {
  const reason = Redaction.scrub(text.trim())
  return reason.length >= 1 && reason.length <= textMax
    ? Effect.succeed(reason)
    : bad(`${flag} must have 1 to ${textMax} characters`)
}

const standardInput = "-"

/** @internal A small text from a file or from stdin. */
export const readText = Effect.fnUntraced(function*(flag: string, path: string, limitBytes: number) {
  const bytes: Stream.Stream<Uint8Array, PlatformError.PlatformError, FileSystem.FileSystem | Stdio.Stdio> =
    path === standardInput
      ? Stream.unwrap(Effect.map(Stdio.Stdio, ({ stdin }) => stdin))
      : Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream(path)))
  let length = 0
  const text = yield* bytes.pipe(
    Stream.takeUntil((chunk) => (length += chunk.length) > limitBytes),
    Stream.decodeText,
    Stream.mkString,
    Effect.mapError(({ reason }) =>
      new BadInput({ what: `${flag}: ${path === standardInput ? "stdin" : path} cannot be read (${reason._tag})` })
    )
  )
  return length > limitBytes ? yield* bad(`${flag}: more than ${limitBytes} bytes`) : text
})

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** @internal An answer that is to be stored: JSON, and without card data. */
export const parseJson = Effect.fnUntraced(function*(flag: string, text: string) {
  const value = decodeJson(text)
  if (Option.isNone(value)) return yield* bad(`${flag}: no JSON`)
  const json = JSON.stringify(value.value)
  return Redaction.scrub(json) === json ? value.value : yield* bad(`${flag}: it holds card data, which is never stored`)
})
