/**
 * Which event a verified request is, and what its content is known by.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Signature from "../../Signature.ts"
import { Digest } from "../effect/crypto.ts"
import { read } from "../signature/parse.ts"

/** @internal */
export interface Identity {
  readonly id: string
  readonly fingerprint: string
}

type Identified = Result.Result<{ readonly id: string | undefined; readonly content: Uint8Array }, Signature.Reason>

/** @internal Only after the request has been verified: until then nothing in it is an id. */
export const identify = (
  digest: Digest.Digest["Service"],
  scheme: Signature.Scheme,
  request: Signature.Request
): Effect.Effect<Identity, Signature.SignatureError> => {
  const identified = find(scheme, request)
  if (Result.isFailure(identified)) {
    return Effect.fail(new Signature.SignatureError({ scheme: scheme.name, reason: identified.failure }))
  }
  const { content, id } = identified.success
  return Effect.map(digest.digestHex(Digest.sha256, content), (hex) => ({ id: id ?? hex, fingerprint: `v1:${hex}` }))
}

const find = (scheme: Signature.Scheme, { body, headers }: Signature.Request): Identified => {
  const { eventId, volatile = [] } = scheme
  const json = eventId._tag === "Body" || volatile.length > 0 ? parse(body) : undefined
  const content = (volatile.length > 0 && isObject(json) ? without(json, volatile) : undefined) ?? body
  switch (eventId._tag) {
    case "Digest":
      return Result.succeed({ id: undefined, content })
    case "Header":
      return Result.flatMap(read(headers, eventId.header), (id) => named(`the header ${eventId.header}`, id, content))
    case "Body":
      return named(`the field ${eventId.field} of the body`, own(json, eventId.field), content)
  }
}

const visible = /^[\x21-\x7e]{1,255}$/

const named = (where: string, id: unknown, content: Uint8Array): Identified =>
  typeof id === "string" && visible.test(id)
    ? Result.succeed({ id, content })
    : Result.fail(new Signature.IdMalformed({ detail: `${where} is not 1 to 255 visible ASCII characters` }))

const decoder = new TextDecoder("utf-8", { fatal: true })
const encoder = new TextEncoder()

/** @internal Undefined when it is no JSON in UTF-8. */
export const parse = (body: Uint8Array): unknown =>
  Result.getOrElse(Result.try((): unknown => JSON.parse(decoder.decode(body))), () => undefined)

const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const own = (json: unknown, field: string): unknown =>
  isObject(json) && Object.hasOwn(json, field) ? json[field] : undefined

/** Undefined when it is nested deeper than can be written. */
const without = (json: { readonly [key: string]: unknown }, fields: ReadonlyArray<string>): Uint8Array | undefined =>
  Result.getOrElse(
    Result.try(() => encoder.encode(JSON.stringify(Object.entries(json).filter(([field]) => !fields.includes(field))))),
    () => undefined
  )
