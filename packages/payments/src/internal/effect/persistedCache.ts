/**
 * Effect's persisted results, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Persistable from "effect/persistence/Persistable"
export * as PersistedCache from "effect/persistence/PersistedCache"
export * as Persistence from "effect/persistence/Persistence"
