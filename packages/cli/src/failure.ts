/**
 * How a command that works on a store ends when it does not end well.
 *
 * @internal
 */
import * as CliError from "effect/cli/CliError"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

/** @internal Exit code 1: the store was asked, and the answer is no. What to do instead stands in the message. */
export class Declined extends Schema.TaggedError<Declined>()("Declined", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 1
  override get [CliError.userMessage](): string {
    return this.what
  }
}

/** @internal Exit code 2: an option or a file that cannot be used. Nothing was changed. */
export class BadInput extends Schema.TaggedError<BadInput>()("BadInput", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2
  override get [CliError.userMessage](): string {
    return this.what
  }
}

/** @internal Exit code 70: the store did not answer, so nothing is known about it. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 70
  override get [CliError.userMessage](): string {
    return this.what
  }
}
