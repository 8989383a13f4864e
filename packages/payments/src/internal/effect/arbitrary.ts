/**
 * Effect's arbitraries, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Arbitrary from "effect/Arbitrary"
