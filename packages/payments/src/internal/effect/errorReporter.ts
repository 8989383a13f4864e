/**
 * Effect's error reporters, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as ErrorReporter from "effect/ErrorReporter"
