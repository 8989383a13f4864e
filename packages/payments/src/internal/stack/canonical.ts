/**
 * Canonical JSON (RFC 8785) of an encoded payload, and the text form in which results are stored.
 *
 * What an encoded payload holds besides JSON (a bigint, a Date, bytes, a Map) is written as the schema's JSON codec does,
 * with the name of its kind before it, and its members in their own kinds, so that it is never taken for the same text.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { unstorable } from "./storable.ts"

/** @internal Why a value has no canonical form. */
export type Fault = "not encodable" | "not a finite number" | "a lone surrogate" | "nested too deep" | "too large"

const depthMax = 64

/** @internal Turns values of one schema into canonical text, and back from stored text. Made once per schema. */
export interface Codec {
  readonly canonical: (value: unknown, limitBytes: number) => Result.Result<string, Fault>
  readonly store: (value: unknown, limitBytes: number) => Result.Result<string, Fault>
  readonly restore: (text: string) => Result.Result<unknown, Fault>
  /** What of the schema cannot be stored, if anything. */
  readonly unstorable: string | undefined
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
  let encodeParts: typeof encode | undefined
  const partsOf = (encoded: unknown) => {
    encodeParts ??= Schema.encodeUnknownResult(Schema.toCodecIso(Schema.toEncoded(schema)))
    return encodeParts(encoded)
  }
  // A cycle overflows the stack inside the encoder: a defect there is a fault here.
  const attempt = <B>(f: () => Result.Result<B, unknown>): Result.Result<B, Fault> => {
    const tried = Result.try(f)
    return Result.isSuccess(tried) && Result.isSuccess(tried.success)
      ? Result.succeed(tried.success.success)
      : Result.fail("not encodable")
  }
  return {
    canonical: (value, limitBytes) =>
      Result.flatMap(attempt(() => encode(value)), (encoded) => {
        const state = new WriteState(limitBytes)
        const text = tryWrite(encoded, undefined, state)
        if (state.fault !== undefined) return Result.fail(state.fault)
        if (state.isJson) return bounded(text, limitBytes)
        return Result.flatMap(
          attempt(() => encodeJson(value)),
          (json) =>
            Result.flatMap(
              attempt(() => partsOf(encoded)),
              (parts) => canonicalize(encoded, { json, parts }, limitBytes)
            )
        )
      }),
    store: (value, limitBytes) =>
      Result.flatMap(
        attempt(() => Result.map(encodeJson(value), (encoded) => JSON.stringify(encoded) ?? "null")),
        (text) => bounded(text, limitBytes)
      ),
    restore: (text) => attempt(() => decodeJson(JSON.parse(text))),
    unstorable: unstorable(schema)
  }
}

/** What the schema makes of a value that is not JSON. */
interface Forms {
  /** Its JSON. */
  readonly json: unknown
  /** Its members, each still of its own kind; a value that has none is left as it is. */
  readonly parts: unknown
}

const canonicalize = (value: unknown, forms: Forms, limitBytes: number): Result.Result<string, Fault> => {
  const state = new WriteState(limitBytes)
  const text = tryWrite(value, forms, state)
  if (state.fault !== undefined) return Result.fail(state.fault)
  return state.isJson ? bounded(text, limitBytes) : Result.fail("not encodable")
}

// A getter or a proxy may throw.
const tryWrite = (value: unknown, forms: Forms | undefined, state: WriteState): string => {
  try {
    return write(value, forms, 0, state)
  } catch {
    state.fault = "not encodable"
    return ""
  }
}

class WriteState {
  fault: Fault | undefined = undefined
  /** False once a bigint, Date, bytes or the like was met, which only the schema's JSON codec turns into JSON. */
  isJson = true
  /** Of the bound, counted roughly: what is far too large is not written out first. */
  left: number
  constructor(limitBytes: number) {
    this.left = limitBytes
  }
}

/** `undefined` members are left out, -0 is 0. The `forms` are there in a second run, when the first met more than JSON. */
const write = (value: unknown, forms: Forms | undefined, depth: number, state: WriteState): string => {
  if (--state.left < 0) state.fault = "too large"
  if (state.fault !== undefined) return ""
  switch (typeof value) {
    case "string":
      return quote(value, state)
    case "number":
      // No JSON form, and no codec gives it one that differs from a string's.
      if (!Number.isFinite(value)) state.fault = "not a finite number"
      return value === 0 ? "0" : String(value)
    case "boolean":
      return value ? "true" : "false"
    case "undefined":
      // Of an array: no JSON, but then it is not taken for null.
      return "undefined"
    case "object":
      if (value === null) return "null"
      if (depth === depthMax) {
        state.fault = "nested too deep"
        return ""
      }
      if (Array.isArray(value)) return writeArray(value, forms, depth, state)
      if (isPlain(value)) return writeObject(value as Readonly<Record<string, unknown>>, forms, depth, state)
  }
  if (forms !== undefined) return writeOther(value, forms, depth, state)
  state.isJson = false
  return ""
}

const writeArray = (
  items: ReadonlyArray<unknown>,
  forms: Forms | undefined,
  depth: number,
  state: WriteState
): string => {
  let text = "["
  for (let i = 0; i < items.length; i++) {
    if (i > 0) text += ","
    text += write(items[i], formsOf(forms, i), depth + 1, state)
  }
  return `${text}]`
}

const writeOther = (value: unknown, forms: Forms, depth: number, state: WriteState): string => {
  const { json, parts } = forms
  if (value instanceof Map || value instanceof Set) {
    return kindOf(value) + writeArray(Array.from(value), forms, depth, state)
  }
  if (Option.isOption(value)) {
    return kindOf(value) +
      (Option.isSome(value) ? write(value.value, formsOf(forms, "value"), depth + 1, state) : "none")
  }
  if (parts !== undefined && parts !== value) return kindOf(value) + write(parts, forms, depth, state)
  if (json !== undefined) return kindOf(value) + write(json, undefined, depth, state)
  state.isJson = false
  return ""
}

// Classes of Effect all are "[object Object]" and give their name in `toJSON`.
const kindOf = (value: unknown): string => {
  const kind = Object.prototype.toString.call(value)
  if (kind !== "[object Object]") return kind
  const { toJSON } = value as { readonly toJSON?: unknown }
  const json: unknown = typeof toJSON === "function" ? toJSON.call(value) : undefined
  const name = memberOf(json, "_id")
  return typeof name === "string" ? `[object ${name}]` : kind
}

const formsOf = (forms: Forms | undefined, key: string | number): Forms | undefined =>
  forms === undefined ? undefined : { json: memberOf(forms.json, key), parts: memberOf(forms.parts, key) }

const memberOf = (value: unknown, key: string | number): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value) as unknown
  return prototype === Object.prototype || prototype === null
}

// Sorted by UTF-16 code units (RFC 8785, section 3.2.3), which is what sort() does.
const writeObject = (
  value: Readonly<Record<string, unknown>>,
  forms: Forms | undefined,
  depth: number,
  state: WriteState
): string => {
  let text = "{"
  for (const member of membersOf(value, state)) {
    const item = value[member.key]
    if (item === undefined) continue
    text += text.length === 1 ? member.quoted : `,${member.quoted}`
    text += write(item, formsOf(forms, member.key), depth + 1, state)
  }
  return `${text}}`
}

interface Member {
  readonly key: string
  /** With the colon. */
  readonly quoted: string
}

// Payloads come in a few shapes, over and over: the order of their members is found out once.
const shapesMax = 1000
const shapeKeysMax = 64
const shapeKeyLengthMax = 100
const shapes = new Map<string, { readonly keys: ReadonlyArray<string>; readonly members: ReadonlyArray<Member> }>()

const membersOf = (value: object, state: WriteState): ReadonlyArray<Member> => {
  const keys = Object.keys(value)
  const first = keys[0] ?? ""
  const known = shapes.get(first)
  if (known !== undefined && isSame(known.keys, keys)) {
    for (const key of keys) state.left -= key.length
    return known.members
  }
  const members = keys.toSorted().map((key) => ({ key, quoted: `${quote(key, state)}:` }))
  if (state.fault === undefined && isSmall(keys) && (known !== undefined || shapes.size < shapesMax)) {
    shapes.set(first, { keys, members })
  }
  return members
}

const isSmall = (keys: ReadonlyArray<string>): boolean =>
  keys.length <= shapeKeysMax && keys.every((key) => key.length <= shapeKeyLengthMax)

const isSame = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false
  }
  return true
}

// Most strings need no escape, and then the quotes are all.
// oxlint-disable-next-line no-control-regex
const escaped = /[\u0000-\u001f"\\\ud800-\udfff]/

const quote = (text: string, state: WriteState): string => {
  state.left -= text.length
  if (!escaped.test(text)) return `"${text}"`
  if (!text.isWellFormed()) state.fault = "a lone surrogate"
  return JSON.stringify(text)
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
