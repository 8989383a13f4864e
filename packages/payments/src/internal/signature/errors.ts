/**
 * Why a request is not taken for genuine. No message holds a secret, a signature or a part of the body.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/** @internal */
export class MissingHeader extends Schema.TaggedError<MissingHeader>()("MissingHeader", { header: Schema.String }) {
  override get message(): string {
    return `the header ${this.header} is missing or empty`
  }
}

/** @internal */
export class HeaderTooLarge extends Schema.TaggedError<HeaderTooLarge>()("HeaderTooLarge", {
  header: Schema.String,
  limitBytes: Schema.Number
}) {
  override get message(): string {
    return `the header ${this.header} is larger than ${this.limitBytes} bytes`
  }
}

/** @internal */
export class HeaderMalformed extends Schema.TaggedError<HeaderMalformed>()("HeaderMalformed", {
  header: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the header ${this.header} is not in the format of the scheme: ${this.detail}`
  }
}

/** @internal */
export class TooManySignatures extends Schema.TaggedError<TooManySignatures>()("TooManySignatures", {
  limit: Schema.Number
}) {
  override get message(): string {
    return `the signature header has more than ${this.limit} entries`
  }
}

/** @internal */
export class NoSupportedScheme extends Schema.TaggedError<NoSupportedScheme>()("NoSupportedScheme", {
  expected: Schema.String
}) {
  override get message(): string {
    return `the signature header has no signature marked ${this.expected}`
  }
}

/** @internal */
export class SignatureMalformed extends Schema.TaggedError<SignatureMalformed>()("SignatureMalformed", {
  encoding: Schema.String,
  bytes: Schema.Number
}) {
  override get message(): string {
    return `no signature is ${this.bytes} bytes in strict ${this.encoding}`
  }
}

/** @internal */
export const Hint = Schema.Literals(["BodyEmpty", "BodyNotBytes", "BodyDecoded", "BodyReserialized"])

const hints: { readonly [hint in typeof Hint.Type]: string } = {
  BodyEmpty: "the body is empty: something has read it before",
  BodyNotBytes: "the body is not the bytes that came in but an object made of them",
  BodyDecoded: "the body was decoded to a text with replacement characters: pass the bytes that came in",
  BodyReserialized:
    "the body looks parsed and written again, since this provider does not write it so densely: pass the bytes that came in"
}

/** @internal */
export class SignatureMismatch extends Schema.TaggedError<SignatureMismatch>()("SignatureMismatch", {
  hint: Schema.optionalKey(Hint)
}) {
  override get message(): string {
    return `no signature fits: another secret, another endpoint, or a body that was changed on the way${
      this.hint === undefined ? "" : ` (${hints[this.hint]})`
    }`
  }
}

/** @internal */
export class TimestampMalformed extends Schema.TaggedError<TimestampMalformed>()("TimestampMalformed", {}) {
  override get message(): string {
    return "the timestamp is not a whole number of seconds without sign, leading zeros or fraction"
  }
}

/** @internal */
export class TimestampTooOld extends Schema.TaggedError<TimestampTooOld>()("TimestampTooOld", {
  ageSeconds: Schema.Number,
  toleranceSeconds: Schema.Number
}) {
  override get message(): string {
    return `the timestamp is ${this.ageSeconds} seconds old, and ${this.toleranceSeconds} are tolerated`
  }
}

/** @internal */
export class TimestampInFuture extends Schema.TaggedError<TimestampInFuture>()("TimestampInFuture", {
  aheadSeconds: Schema.Number,
  toleranceSeconds: Schema.Number
}) {
  override get message(): string {
    return `the timestamp is ${this.aheadSeconds} seconds ahead, and ${this.toleranceSeconds} are tolerated: check the clock`
  }
}

/** @internal */
export class IdMalformed extends Schema.TaggedError<IdMalformed>()("IdMalformed", { detail: Schema.String }) {
  override get message(): string {
    return `the id of the event is none: ${this.detail}`
  }
}

/** @internal */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", { limitBytes: Schema.Number }) {
  override get message(): string {
    return `the body is larger than ${this.limitBytes} bytes`
  }
}

/** @internal */
export class SecretMalformed extends Schema.TaggedError<SecretMalformed>()("SecretMalformed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `a secret cannot be used: ${this.detail}`
  }
}

/** @internal */
export class SchemeMalformed extends Schema.TaggedError<SchemeMalformed>()("SchemeMalformed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the scheme contradicts itself or leaves the bounds: ${this.detail}`
  }
}

/** @internal */
export const Reason = Schema.Union([
  MissingHeader,
  HeaderTooLarge,
  HeaderMalformed,
  TooManySignatures,
  NoSupportedScheme,
  SignatureMalformed,
  SignatureMismatch,
  TimestampMalformed,
  TimestampTooOld,
  TimestampInFuture,
  IdMalformed,
  BodyTooLarge,
  SecretMalformed,
  SchemeMalformed
])

/** @internal */
export type Reason = typeof Reason.Type

/** @internal */
export class SignatureError extends Schema.TaggedError<SignatureError>()("SignatureError", {
  scheme: Schema.String,
  reason: Reason
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `${this.scheme}: ${this.reason.message}`
  }
}
