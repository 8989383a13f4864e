/**
 * Keys from a configuration: `ID:BASE64,ID:BASE64`, the first of which is the current one.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { KeyRing } from "../seal/seal.ts"

const keysMax = 16

/** @internal */
export const config = (name: string): Config.Config<KeyRing> =>
  Config.Redacted(name).pipe(Config.mapEffect((text) => {
    const ring = parse(Redacted.value(text))
    return ring === undefined
      ? Effect.fail(new Config.ConfigError(new ConfigProvider.SourceError({ message: expected(name) })))
      : Effect.succeed(ring)
  }))

// Nothing of the value.
const expected = (name: string) =>
  `${name} must be 1 to ${keysMax} keys as ID:BASE64, separated by commas, each id once`

const parse = (text: string): KeyRing | undefined => {
  const entries = text.split(",").map((part) => parseOne(part.trim()))
  const current = entries[0]
  if (current === undefined || entries.length > keysMax) return undefined
  const keys = Object.fromEntries(entries.flatMap((entry) => entry === undefined ? [] : [entry]))
  return Object.keys(keys).length === entries.length ? { current: current[0], keys } : undefined
}

const parseOne = (text: string): readonly [id: string, key: Redacted.Redacted<Uint8Array>] | undefined => {
  const [, id, data] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{1,1024}={0,2})$/.exec(text) ?? []
  if (id === undefined || data === undefined) return undefined
  const bytes = Base64.decode(data)
  return Result.isFailure(bytes) ? undefined : [id, Redacted.make(bytes.success)]
}
