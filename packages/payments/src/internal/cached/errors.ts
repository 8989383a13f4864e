/**
 * The one error of a cache.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * The shared store did not take it. What this process kept is dropped; other processes may answer with the old value
 * until its lifetime is over.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CachedStoreUnavailable extends Schema.TaggedError<CachedStoreUnavailable>()("CachedStoreUnavailable", {
  operation: Schema.String
}) {
  override get message(): string {
    return `the store of the cache failed to ${this.operation}`
  }
}

/**
 * Why a value could not be dropped. Asking for one never fails with it.
 *
 * @category errors
 * @since 0.1.0
 */
export class CachedError extends Schema.TaggedError<CachedError>()("CachedError", {
  reason: CachedStoreUnavailable
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return this.reason.message
  }
}
