/**
 * What keeps a chain: in memory and over SQL.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Hash, Head, Link, Reader } from "./chain.ts"
import { extend, genesis } from "./chain.ts"

/** @internal */
export interface Store<E> extends Reader<E> {
  readonly append: (text: string) => Effect.Effect<void, E>
}

/** @internal Keeps the newest links. */
export const makeMemory = (
  limit: number,
  hash: Hash
): Store<never> & { readonly links: Effect.Effect<ReadonlyArray<Link>> } => {
  const kept: Array<Link> = []
  let base = { seq: 0, hash: genesis }
  let head: Head = { ...base, seal: undefined }
  const one = Semaphore.makeUnsafe(1)
  const append = Effect.fnUntraced(function*(text: string) {
    const links = yield* extend(hash, head, [text])
    const link = links[0]!
    const slot = (link.seq - 1) % limit
    const dropped = kept[slot]
    if (dropped !== undefined) base = { seq: dropped.seq, hash: dropped.hash }
    kept[slot] = link
    head = { seq: link.seq, hash: link.hash, seal: undefined }
  })
  const links = Effect.sync(() => {
    const oldest = head.seq > limit ? head.seq % limit : 0
    return [...kept.slice(oldest), ...kept.slice(0, oldest)]
  })
  return {
    // As a whole or not at all, also when the caller is interrupted between.
    append: (text) => Effect.uninterruptible(one.withPermits(1)(append(text))),
    head: Effect.sync(() => head),
    base: Effect.sync(() => base),
    page: (after, limit) =>
      Effect.map(links, (all) => {
        const from = Math.max(0, after - (all[0]?.seq ?? 1) + 1)
        return all.slice(from, from + limit)
      }),
    links
  }
}
