/**
 * Canonical JSON (RFC 8785) of an encoded payload, and the text form in which results are stored.
 *
 * @internal
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** @internal Why a value has no canonical form. */
export type Fault = "not encodable" | "not a finite number" | "a lone surrogate" | "nested too deep" | "too large"

const depthMax = 64
const nodesMax = 1_000_000

/** @internal Turns values of one schema into canonical text, and back from stored text. Made once per schema. */
export interface Codec {
  readonly canonical: (value: unknown, limitBytes: number) => Result.Result<string, Fault>
  readonly store: (value: unknown, limitBytes: number) => Result.Result<string, Fault>
  readonly restore: (text: string) => Result.Result<unknown, Fault>
}

const codecs = new WeakMap<object, Codec>()

/** @internal */
export const codecOf = (schema: Schema.Codec<unknown, unknown>): Codec => {
  let codec = codecs.get(schema)
  if (codec === undefined) codecs.set(schema, codec = makeCodec(schema))
  return codec
}

const makeCodec = (schema: Schema.Codec<unknown, unknown>): Codec => {
  const encode = Schema.encodeUnknownResult(schema)
  const json = Schema.toCodecJson(schema)
  const encodeJson = Schema.encodeUnknownResult(json)
  const decodeJson = Schema.decodeUnknownResult(json)
  // A cycle overflows the stack inside the encoder: a defect there is a fault here.
  const attempt = <B>(f: () => Result.Result<B, unknown>): Result.Result<B, Fault> => {
    const tried = Result.try(f)
    return Result.isSuccess(tried) && Result.isSuccess(tried.success)
      ? Result.succeed(tried.success.success)
      : Result.fail("not encodable")
  }
  return {
    canonical: (value, limitBytes) => {
      const encoded = attempt(() => encode(value))
      if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
      const kind = inspect(encoded.success)
      if (kind === "json") return canonicalize(encoded.success, limitBytes)
      if (kind !== "other") return Result.fail(kind)
      return Result.flatMap(attempt(() => encodeJson(value)), (value) => canonicalize(value, limitBytes))
    },
    store: (value, limitBytes) =>
      Result.flatMap(
        attempt(() => Result.map(encodeJson(value), (encoded) => JSON.stringify(encoded) ?? "null")),
        (text) => bounded(text, limitBytes)
      ),
    restore: (text) => attempt(() => decodeJson(JSON.parse(text)))
  }
}

// "other": bigint, Date, bytes and the like, which the schema's JSON codec turns into JSON. A number that is not finite
// has no JSON form at all.
const inspect = (value: unknown): "json" | "other" | Fault => {
  const pending: Array<unknown> = [value]
  let kind: "json" | "other" = "json"
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen > nodesMax) return "too large"
    const next = pending.pop()
    switch (typeof next) {
      case "string":
      case "boolean":
      case "undefined":
        break
      case "number":
        if (!Number.isFinite(next)) return "not a finite number"
        break
      case "object":
        if (next === null) break
        if (Array.isArray(next)) {
          for (const item of next) pending.push(item)
        } else if (isPlain(next)) {
          for (const key in next) pending.push((next as Readonly<Record<string, unknown>>)[key])
        } else kind = "other"
        break
      default:
        kind = "other"
    }
  }
  return kind
}

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value) as unknown
  return prototype === Object.prototype || prototype === null
}

/** @internal Canonical JSON of a JSON value: `undefined` members are left out, -0 is 0. */
export const canonicalize = (value: unknown, limitBytes: number): Result.Result<string, Fault> => {
  const state: WriteState = { fault: undefined }
  const text = write(value, 0, state)
  return state.fault === undefined ? bounded(text, limitBytes) : Result.fail(state.fault)
}

interface WriteState {
  fault: Fault | undefined
}

const write = (value: unknown, depth: number, state: WriteState): string => {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) state.fault = "a lone surrogate"
      return JSON.stringify(value)
    case "number":
      if (!Number.isFinite(value)) state.fault = "not a finite number"
      return value === 0 ? "0" : String(value)
    case "boolean":
      return value ? "true" : "false"
    case "object":
      if (value === null) return "null"
      if (depth === depthMax) {
        state.fault = "nested too deep"
        return ""
      }
      return Array.isArray(value)
        ? `[${value.map((item) => item === undefined ? "null" : write(item, depth + 1, state)).join(",")}]`
        : writeObject(value as Readonly<Record<string, unknown>>, depth, state)
    case "undefined":
      return "null"
    default:
      state.fault = "not encodable"
      return ""
  }
}

// Sorted by UTF-16 code units (RFC 8785, section 3.2.3), which is what sort() does.
const writeObject = (value: Readonly<Record<string, unknown>>, depth: number, state: WriteState): string => {
  let text = "{"
  for (const key of Object.keys(value).sort()) {
    const item = value[key]
    if (item === undefined) continue
    if (!key.isWellFormed()) state.fault = "a lone surrogate"
    text += `${text.length === 1 ? "" : ","}${JSON.stringify(key)}:${write(item, depth + 1, state)}`
  }
  return `${text}}`
}

// A UTF-16 unit is at most three bytes of UTF-8: counted exactly only near the bound.
const bounded = (text: string, limitBytes: number): Result.Result<string, Fault> =>
  text.length > limitBytes || (text.length * 3 > limitBytes && utf8Length(text) > limitBytes)
    ? Result.fail("too large")
    : Result.succeed(text)

const utf8Length = (text: string): number => {
  let length = 0
  for (const point of text) {
    const code = point.codePointAt(0) ?? 0
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return length
}
