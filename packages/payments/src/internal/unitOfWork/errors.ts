/**
 * The one error of a unit of work.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * Nothing of it was written: no connection, a lock held too long, a conflict that the database refused at the commit.
 * `detail` is the tag of the database's reason, or `RolledBack` where a statement had failed before.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotCommitted extends Schema.TaggedError<NotCommitted>()("NotCommitted", { detail: Schema.String }) {
  override get message(): string {
    return `nothing was written (${this.detail}): the unit of work may be run again`
  }
}

/**
 * The connection was lost while the database committed: everything was written, or nothing. Read what it was to write
 * before you run it again.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CommitUnknown extends Schema.TaggedError<CommitUnknown>()("CommitUnknown", { detail: Schema.String }) {
  override get message(): string {
    return `all was written or nothing, and nobody knows which (${this.detail}): look before you run it again`
  }
}

/**
 * What {@link atomic} adds to the errors. Its `disposition` is `NotExecuted` or `Unknown`.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnitOfWorkError extends Schema.TaggedError<UnitOfWorkError>()("UnitOfWorkError", {
  reason: Schema.Union([NotCommitted, CommitUnknown])
}) {
  get disposition(): "NotExecuted" | "Unknown" {
    return this.reason._tag === "NotCommitted" ? "NotExecuted" : "Unknown"
  }
  override get message(): string {
    return this.reason.message
  }
}
