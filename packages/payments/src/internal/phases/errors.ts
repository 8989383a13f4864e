/**
 * What the journal of an operation fails with.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * @internal The journal did not answer. Nothing of the operation has been started by this call.
 */
export class JournalUnavailable extends Schema.TaggedError<JournalUnavailable>()("JournalUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly disposition = "NotExecuted" as const
}
