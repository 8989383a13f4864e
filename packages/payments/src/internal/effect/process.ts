/**
 * Effect's modules for child processes and their standard streams, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as ChildProcess from "effect/process/ChildProcess"
export * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
export * as Stdio from "effect/Stdio"
