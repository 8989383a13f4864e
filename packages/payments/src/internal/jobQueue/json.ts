/**
 * Text of a store, which may hold anything.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** @internal The text itself when it is no JSON, which then fits no schema of a job but that of a string. */
export const fromJson = (text: string): unknown => Option.getOrElse(decode(text), () => text)
