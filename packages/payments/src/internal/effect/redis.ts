/**
 * Effect's Redis module, which is unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Redis from "effect/persistence/Redis"
