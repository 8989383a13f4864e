/**
 * The headers of a request, read strictly. Sizes and counts are looked at first.
 *
 * @internal
 */
import * as Result from "effect/Result"
import {
  HeaderMalformed,
  HeaderTooLarge,
  IdMalformed,
  MissingHeader,
  NoSupportedScheme,
  type Reason,
  SignatureMalformed,
  TimestampMalformed,
  TooManySignatures
} from "./errors.ts"
import type { Scheme } from "./scheme.ts"

/** @internal */
export interface Headers {
  readonly [name: string]: string | ReadonlyArray<string> | undefined
}

/** @internal */
const headerLimitBytes = 8192

/** @internal */
const signaturesMax = 32

// A header up to here is still counted, so that a flood of signatures is called one; a larger one is not looked at.
const countedBytes = 131_072

/** @internal */
export interface Claimed {
  readonly id: string | undefined
  /** As it was sent, which is how it was signed. */
  readonly timestamp: string | undefined
  readonly seconds: number | undefined
  /** Each is the one spelling of as many bytes as a tag has. */
  readonly signatures: ReadonlyArray<string>
}

/** @internal What a signature looks like. */
export interface Tag {
  readonly bytes: number
  readonly pattern: RegExp
}

type Parsed<A> = Result.Result<A, Reason>

/** @internal What the headers claim. */
export const parse = (scheme: Scheme, headers: Headers, tag: Tag): Parsed<Claimed> => {
  const id = scheme.idHeader === undefined ? none : readId(headers, scheme.idHeader, scheme)
  if (Result.isFailure(id)) return Result.fail(id.failure)
  const sent = scheme.timestampHeader === undefined ? none : read(headers, scheme.timestampHeader)
  if (Result.isFailure(sent)) return Result.fail(sent.failure)
  const entries = readEntries(scheme, headers)
  if (Result.isFailure(entries)) return Result.fail(entries.failure)
  const timestamp = entries.success.timestamp ?? sent.success
  const seconds = timestamp === undefined ? undefined : secondsOf(timestamp)
  if (seconds === null) return Result.fail(new TimestampMalformed({}))
  const signatures = readSignatures(scheme, entries.success.signatures, tag)
  return Result.map(signatures, (signatures) => ({ id: id.success, timestamp, seconds, signatures }))
}

const none: Parsed<undefined> = Result.succeed(undefined)

// --- headers

/** @internal A header that is there once, is not empty and is not too large. */
export const read = (headers: Headers, header: string): Parsed<string> =>
  Result.flatMap(readOne(headers, header), (text) => withinLimit(header, text))

const readOne = (headers: Headers, header: string): Parsed<string> => {
  const [value, ...more] = find(headers, header)
  if (more.length > 0) return malformed(header, "it is there more than once")
  return value === undefined || value === "" ? Result.fail(new MissingHeader({ header })) : Result.succeed(value)
}

const withinLimit = (header: string, text: string): Parsed<string> =>
  text.length <= headerLimitBytes
    ? Result.succeed(text)
    : Result.fail(new HeaderTooLarge({ header, limitBytes: headerLimitBytes }))

const namesMax = 512

/** All values of a header, whatever the case of its name. */
const find = (headers: Headers, header: string): ReadonlyArray<string> => {
  const names = Object.keys(headers)
  if (names.length > namesMax) return []
  const found: Array<string> = []
  for (const name of names) {
    if (name.length !== header.length || name.toLowerCase() !== header) continue
    const value = headers[name]
    if (typeof value === "string") found.push(value)
    else if (value !== undefined) found.push(...value.slice(0, 2))
  }
  return found
}

interface Entries {
  readonly timestamp: string | undefined
  readonly signatures: ReadonlyArray<string>
}

const readEntries = (scheme: Scheme, headers: Headers): Parsed<Entries> => {
  const { header, layout } = scheme.signature
  const text = Result.flatMap(
    Result.flatMap(readOne(headers, header), (text) => withinCount(layout, text)),
    (text) => withinLimit(header, text)
  )
  if (Result.isFailure(text)) return Result.fail(text.failure)
  switch (layout._tag) {
    case "Single":
      return readSingle(header, layout.prefix ?? "", text.success)
    case "Pairs":
      return readPairs(header, layout, text.success.split(layout.separator))
    case "List":
      return readList(header, layout.version, text.success.split(" "))
  }
}

const withinCount = (layout: Scheme["signature"]["layout"], text: string): Parsed<string> => {
  if (layout._tag === "Single" || text.length > countedBytes) return Result.succeed(text)
  const separator = layout._tag === "List" ? " " : layout.separator
  return countUpTo(text, separator, signaturesMax + 1) > signaturesMax
    ? Result.fail(new TooManySignatures({ limit: signaturesMax }))
    : Result.succeed(text)
}

const countUpTo = (text: string, separator: string, max: number): number => {
  let count = 1
  for (let at = text.indexOf(separator); at !== -1 && count < max; at = text.indexOf(separator, at + 1)) count++
  return count
}

const malformed = (header: string, detail: string) => Result.fail(new HeaderMalformed({ header, detail }))

const labelled = /^[A-Za-z0-9_-]{1,32}=/

const readSingle = (header: string, prefix: string, text: string): Parsed<Entries> => {
  if (text.startsWith(prefix)) return Result.succeed({ timestamp: undefined, signatures: [text.slice(prefix.length)] })
  return labelled.test(text)
    ? Result.fail(new NoSupportedScheme({ expected: prefix }))
    : malformed(header, `it does not begin with ${prefix}`)
}

const readPairs = (
  header: string,
  { signature, timestamp }: { readonly signature: string; readonly timestamp?: string },
  entries: ReadonlyArray<string>
): Parsed<Entries> => {
  const signatures: Array<string> = []
  const timestamps: Array<string> = []
  for (const entry of entries) {
    if (!labelled.test(entry)) return malformed(header, "an entry is not label=value")
    const at = entry.indexOf("=")
    const label = entry.slice(0, at)
    if (label === signature) signatures.push(entry.slice(at + 1))
    else if (label === timestamp) timestamps.push(entry.slice(at + 1))
  }
  if (timestamp !== undefined && timestamps.length !== 1) {
    return malformed(header, `it has ${timestamps.length} timestamps instead of one`)
  }
  return signatures.length === 0
    ? Result.fail(new NoSupportedScheme({ expected: signature }))
    : Result.succeed({ timestamp: timestamps[0], signatures })
}

const readList = (header: string, version: string, entries: ReadonlyArray<string>): Parsed<Entries> => {
  const signatures: Array<string> = []
  for (const entry of entries) {
    const at = entry.indexOf(",")
    if (at < 1) return malformed(header, "an entry is not version,signature")
    if (entry.slice(0, at) === version) signatures.push(entry.slice(at + 1))
  }
  return signatures.length === 0
    ? Result.fail(new NoSupportedScheme({ expected: version }))
    : Result.succeed({ timestamp: undefined, signatures })
}

// One that is not even a signature does no harm beside one that is: it is left out.
const readSignatures = (
  { signature: { encoding } }: Scheme,
  texts: ReadonlyArray<string>,
  { bytes, pattern }: Tag
): Parsed<ReadonlyArray<string>> => {
  const signatures = texts.filter((text) => pattern.test(text))
  return signatures.length === 0
    ? Result.fail(new SignatureMalformed({ encoding, bytes }))
    : Result.succeed(signatures)
}

// --- id and timestamp

const visible = /^[\x21-\x7e]{1,255}$/

const readId = (headers: Headers, header: string, scheme: Scheme): Parsed<string> =>
  Result.flatMap(read(headers, header), (id) => {
    const detail = flawOfId(scheme, id)
    return detail === undefined ? Result.succeed(id) : Result.fail(new IdMalformed({ detail }))
  })

/**
 * @internal An id with the delimiter in it could be read as a part of what follows: (a, 1000, "NOW.{}") and
 * (a.1000, NOW, "{}") have the same signature.
 */
export const flawOfId = (scheme: Scheme, id: string): string | undefined => {
  if (!visible.test(id)) return "it is not 1 to 255 visible ASCII characters"
  const next = scheme.signed[scheme.signed.indexOf("id") + 1]
  return typeof next === "object" && scheme.signed.includes("id") && id.includes(next.text)
    ? `it holds ${next.text}, which stands behind it in what is signed`
    : undefined
}

/** Null when it is none: 0 or digits without a leading zero, up to 2^53 - 1. */
const secondsOf = (text: string): number | null => {
  if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) return null
  const seconds = Number(text)
  return Number.isSafeInteger(seconds) ? seconds : null
}
