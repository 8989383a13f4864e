/**
 * The mistake of sending two requests under one downstream key.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/** @internal */
export class DownstreamKeyReused extends Schema.TaggedError<DownstreamKeyReused>()("DownstreamKeyReused", {
  phase: Schema.String
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `phase "${this.phase}" was about to carry a second, different request under the same downstream key: wrap the second call in Idempotency.phase("…")`
  }
}
