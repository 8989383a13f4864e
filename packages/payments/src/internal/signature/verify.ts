/**
 * Verifying and signing: one HMAC for each secret, whatever the number of signatures.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Mac } from "../effect/mac.ts"
import { encode, type Encoding, patternOf } from "./encoding.ts"
import {
  BodyTooLarge,
  IdMalformed,
  type Reason,
  SchemeMalformed,
  SecretMalformed,
  SignatureError,
  SignatureMismatch,
  TimestampInFuture,
  TimestampMalformed,
  TimestampTooOld
} from "./errors.ts"
import { hintOf } from "./hint.ts"
import * as hmacs from "./hmac.ts"
import { type Claimed, flawOfId, type Headers, parse } from "./parse.ts"
import { Scheme } from "./scheme.ts"
import { Scratch } from "./scratch.ts"
import { toKey } from "./secret.ts"

/** @internal */
export interface Request {
  readonly headers: Headers
  readonly body: Uint8Array
}

/** @internal */
export interface Verified {
  readonly id: string | undefined
  readonly timestampSeconds: number | undefined
  readonly secretIndex: number
}

/** @internal */
export interface Verifier {
  readonly scheme: Scheme
  readonly bodyLimitBytes: number
  readonly verify: (request: Request) => Effect.Effect<Verified, SignatureError>
}

/** @internal */
export interface Options {
  readonly scheme: Scheme
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly tolerance?: Duration.Input | undefined
  readonly bodyLimitBytes?: number | undefined
}

/** @internal */
const secretsMax = 16

const fail = (scheme: { readonly name: string }, reason: Reason) =>
  Effect.fail(new SignatureError({ scheme: scheme.name, reason }))

const checkScheme = Schema.decodeUnknownResult(Scheme)

/** A scheme is a value that anybody can write: it is looked at before it is used. */
const validScheme = (scheme: Scheme): Effect.Effect<Scheme, SignatureError> => {
  const checked = checkScheme(scheme)
  if (Result.isSuccess(checked)) return Effect.succeed(checked.success)
  const name = typeof scheme?.name === "string" ? scheme.name.slice(0, 64) : "unknown"
  return fail({ name }, new SchemeMalformed({ detail: checked.failure.message.slice(0, 500) }))
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Verifier, SignatureError, Mac.Mac> {
  const scheme = yield* validScheme(options.scheme)
  const { bodyLimitBytes = scheme.bodyLimitBytes, secrets } = options
  if (!Number.isSafeInteger(bodyLimitBytes) || bodyLimitBytes < 1) {
    return yield* fail(scheme, new SchemeMalformed({ detail: "bodyLimitBytes is a whole number from 1" }))
  }
  const hmac = yield* hmacs.make(scheme.algorithm, yield* keysOf(scheme, secrets))
  const toleranceSeconds = options.tolerance === undefined
    ? scheme.toleranceSeconds
    : Duration.toSeconds(Duration.fromInputUnsafe(options.tolerance))
  const scratch = new Scratch()
  const bytes = Mac[scheme.algorithm].hash.outputLength
  const tag = { bytes, pattern: patternOf(scheme.signature.encoding, bytes) }
  return {
    scheme,
    bodyLimitBytes,
    verify: (request) =>
      Effect.withFiber((fiber) => {
        const { body } = request
        const read = readBody(body, bodyLimitBytes) ?? parse(scheme, request.headers, tag)
        if (Result.isFailure(read)) return fail(scheme, read.failure)
        const claimed = read.success
        const stale = staleness(claimed.seconds, nowSeconds(fiber), toleranceSeconds)
        if (stale !== undefined) return fail(scheme, stale)
        const signatures = { encoding: scheme.signature.encoding, texts: claimed.signatures }
        const data = signedBytes(scheme, claimed, body, scratch, hmac.room)
        return match(hmac, data, signatures, (secretIndex) => {
          if (data !== body) scratch.give(data)
          return secretIndex === undefined
            ? fail(scheme, mismatch(scheme, body))
            : Effect.succeed({ id: claimed.id, timestampSeconds: claimed.seconds, secretIndex })
        })
      })
  }
})

const keysOf = (
  scheme: Scheme,
  secrets: ReadonlyArray<Redacted.Redacted<string>>
): Effect.Effect<ReadonlyArray<Uint8Array>, SignatureError> =>
  secrets.length < 1 || secrets.length > secretsMax
    ? fail(scheme, new SecretMalformed({ detail: `there are ${secrets.length} instead of 1 to ${secretsMax}` }))
    : Effect.forEach(secrets, (secret) => {
      const key = toKey(scheme, Redacted.value(secret))
      return Result.isFailure(key) ? fail(scheme, key.failure) : Effect.succeed(key.success)
    })

// What JavaScript passes without a type: a framework has parsed it.
const readBody = (body: unknown, limitBytes: number): Result.Result<never, Reason> | undefined =>
  !(body instanceof Uint8Array)
    ? Result.fail(new SignatureMismatch({ hint: "BodyNotBytes" }))
    : body.length > limitBytes
    ? Result.fail(new BodyTooLarge({ limitBytes }))
    : undefined

const mismatch = (scheme: Scheme, body: Uint8Array): SignatureMismatch => {
  const hint = hintOf(scheme, body)
  return new SignatureMismatch(hint === undefined ? {} : { hint })
}

const nowSeconds = (fiber: Fiber.Fiber<unknown, unknown>): number =>
  Math.floor(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() / 1000)

// In whole seconds, as the providers send them; both edges are tolerated.
const staleness = (
  seconds: number | undefined,
  now: number,
  toleranceSeconds: number
): TimestampTooOld | TimestampInFuture | undefined => {
  if (seconds === undefined) return undefined
  if (now - seconds > toleranceSeconds) return new TimestampTooOld({ ageSeconds: now - seconds, toleranceSeconds })
  return seconds - now > toleranceSeconds
    ? new TimestampInFuture({ aheadSeconds: seconds - now, toleranceSeconds })
    : undefined
}

const encoder = new TextEncoder()

/**
 * Bytes, never text: a body need not be UTF-8. Before them is room for as many bytes; without any, a body that is signed
 * alone is not copied.
 */
const signedBytes = (
  { signed }: Scheme,
  { id, timestamp }: Pick<Claimed, "id" | "timestamp">,
  body: Uint8Array,
  scratch: Scratch,
  room: number
): Uint8Array => {
  if (signed.length === 1 && room === 0) return body
  const texts = { id: id ?? "", timestamp: timestamp ?? "" }
  let before = ""
  let after = ""
  let isBehind = false
  for (const part of signed) {
    if (part === "body") isBehind = true
    else {
      const text = typeof part === "object" ? part.text : texts[part]
      if (isBehind) after += text
      else before += text
    }
  }
  const start = room + before.length
  const bytes = scratch.take(start + body.length + after.length)
  // Ids, timestamps and texts are ASCII.
  if (before !== "") encoder.encodeInto(before, bytes.subarray(room))
  bytes.set(body, start)
  if (after !== "") bytes.set(encoder.encode(after), start + body.length)
  return bytes
}

/** One HMAC for each secret until one fits; all signatures are compared with it, in constant time. */
const match = <A, E>(
  hmac: hmacs.Hmac,
  data: Uint8Array,
  signatures: { readonly encoding: Encoding; readonly texts: ReadonlyArray<string> },
  then: (secretIndex: number | undefined) => Effect.Effect<A, E>,
  index = 0
): Effect.Effect<A, E> => {
  if (index === hmac.count) return then(undefined)
  return Effect.flatMap(hmac.tag(index, data), (tag) => {
    // There is one spelling of a tag, so the texts are compared, as bytes of the same length.
    const expected = encoder.encode(encode(signatures.encoding, tag))
    let fits = false
    for (const text of signatures.texts) fits = Mac.timingSafeEqual(expected, encoder.encode(text)) || fits
    return fits ? then(index) : match(hmac, data, signatures, then, index + 1)
  })
}

/** @internal */
export interface SignOptions {
  readonly scheme: Scheme
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly body: Uint8Array
  readonly id?: string | undefined
  readonly timestampSeconds?: number | undefined
}

/** @internal The headers that a provider would send. */
export const sign = Effect.fnUntraced(function*(
  options: SignOptions
): Effect.fn.Return<{ readonly [header: string]: string }, SignatureError, Mac.Mac> {
  const mac = yield* Mac.Mac
  const scheme = yield* validScheme(options.scheme)
  const seconds = options.timestampSeconds ?? Math.floor((yield* Clock.currentTimeMillis) / 1000)
  if (!Number.isSafeInteger(seconds) || seconds < 0) return yield* fail(scheme, new TimestampMalformed({}))
  const timestamp = String(seconds)
  const id = options.id ?? ""
  const flaw = scheme.idHeader === undefined ? undefined : flawOfId(scheme, id)
  if (flaw !== undefined) return yield* fail(scheme, new IdMalformed({ detail: flaw }))
  const data = signedBytes(scheme, { id, timestamp }, options.body, new Scratch(), 0)
  const signatures = yield* Effect.forEach(
    yield* keysOf(scheme, options.secrets),
    (bytes) =>
      // A key is refused only when it is empty.
      Effect.orDie(Effect.flatMap(Mac.key(Mac[scheme.algorithm], bytes), (key) => mac.sign(key, data))).pipe(
        Effect.map((tag) => encode(scheme.signature.encoding, tag))
      )
  )
  return {
    ...(scheme.idHeader === undefined ? {} : { [scheme.idHeader]: id }),
    ...(scheme.timestampHeader === undefined ? {} : { [scheme.timestampHeader]: timestamp }),
    [scheme.signature.header]: written(scheme, timestamp, signatures)
  }
})

const written = ({ signature: { layout } }: Scheme, timestamp: string, signatures: ReadonlyArray<string>): string => {
  switch (layout._tag) {
    case "Single":
      return `${layout.prefix ?? ""}${signatures[0] ?? ""}`
    case "Pairs":
      return [
        ...(layout.timestamp === undefined ? [] : [`${layout.timestamp}=${timestamp}`]),
        ...signatures.map((signature) => `${layout.signature}=${signature}`)
      ].join(layout.separator)
    case "List":
      return signatures.map((signature) => `${layout.version},${signature}`).join(" ")
  }
}
