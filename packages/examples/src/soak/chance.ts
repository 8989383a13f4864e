/** Numbers from one seed: the same ones for the same seed (mulberry32). */
export interface Chance {
  /** A whole number from 0 and below `max`. */
  (max: number): number
}

export const chanceOf = (seed: number): Chance => {
  let state = seed
  return (max) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(Math.floor(max), 1)
  }
}

/** One of these. */
export const pick = <A>(chance: Chance, from: readonly [A, ...ReadonlyArray<A>]): A =>
  from[chance(from.length)] ?? from[0]
