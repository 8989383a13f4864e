/**
 * A chain of texts, each bound to its number and to the one before by a hash, and a head that says how long the chain is.
 *
 * The hash is SHA-256 over the name of the chain, the number, the hash before and the text, each on a line of its own (none
 * but the text, which comes last, can hold a line break), behind a line that is used for nothing else. So no entry can be
 * changed, moved, taken out or brought in from another chain without the next one showing it. What a chain cannot show is
 * that its end is gone: that shows by the head, and where the head may be rewritten too, by a key or a checkpoint kept
 * elsewhere.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { Digest } from "../effect/crypto.ts"
import type { Sealer } from "./headSeal.ts"

/** @internal */
export interface Link {
  readonly seq: number
  readonly previous: string
  readonly hash: string
  readonly text: string
}

/** @internal How far the chain goes: the number and the hash of the last link, 0 and {@link genesis} of an empty one. */
export interface Head {
  readonly seq: number
  readonly hash: string
  readonly seal: string | undefined
}

/** @internal Keys that seal heads, by their ids. */
export interface KeyRing {
  readonly current: string
  readonly keys: { readonly [id: string]: Redacted.Redacted<Uint8Array> }
}

/** @internal Before the first link. */
export const genesis = "0".repeat(64)

const encoder = new TextEncoder()

/** @internal */
export type Hash = (seq: number, previous: string, text: string) => Effect.Effect<string>

/** @internal */
export const makeHash = (digest: Digest.Digest["Service"], name: string): Hash => (seq, previous, text) =>
  digest.digestHex(Digest.sha256, encoder.encode(`effect-payments/AuditLog/1\n${name}\n${seq}\n${previous}\n${text}`))

/** @internal The links that follow a head. */
export const extend = (
  hash: Hash,
  head: { readonly seq: number; readonly hash: string },
  texts: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Link>> => {
  let previous = head.hash
  return Effect.forEach(texts, (text, index) => {
    const seq = head.seq + index + 1
    return Effect.map(hash(seq, previous, text), (hash): Link => {
      const link = { seq, previous, hash, text }
      previous = hash
      return link
    })
  })
}

/** @internal What is wrong with a chain. */
export type Fault =
  | "EntryChanged"
  | "EntryMissing"
  | "EntryAdded"
  | "TailCut"
  | "HeadChanged"
  | "HeadForged"
  | "CheckpointForged"

/** @internal */
export type Verdict =
  | { readonly _tag: "Intact"; readonly first: number; readonly last: number; readonly sealed: boolean }
  | { readonly _tag: "Broken"; readonly seq: number; readonly fault: Fault }

const broken = (seq: number, fault: Fault): Verdict => ({ _tag: "Broken", seq, fault })

/** @internal */
export interface Checkpoint {
  readonly seq: number
  readonly hash: string
  readonly seal?: string | undefined
}

/** @internal Where a chain is read from. */
export interface Reader<E> {
  readonly head: Effect.Effect<Head, E>
  /** At most `limit` links after a number, in order. */
  readonly page: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Link>, E>
  /** What was there before the first link that is kept. */
  readonly base: Effect.Effect<{ readonly seq: number; readonly hash: string }, E>
}

/** @internal */
export interface VerifyOptions {
  readonly after?: Checkpoint | undefined
  readonly checkpoint?: Checkpoint | undefined
}

const pageSize = 1000

/** @internal Reads the chain from its start, or from a checkpoint, to the head that it has now, a page at a time. */
export const verify = Effect.fnUntraced(function*<E>(
  reader: Reader<E>,
  hash: Hash,
  sealer: Sealer | undefined,
  { after, checkpoint }: VerifyOptions
) {
  const head = yield* reader.head
  for (const given of [after, checkpoint]) {
    if (given !== undefined && sealer !== undefined && !(yield* sealer.verify(given))) {
      return broken(given.seq, "CheckpointForged")
    }
  }
  if (sealer !== undefined && head.seq > 0 && !(yield* sealer.verify(head))) return broken(head.seq, "HeadForged")
  // Read before, and gone since.
  if (after !== undefined && after.seq > head.seq) return broken(head.seq + 1, "TailCut")
  const base = after ?? (yield* reader.base)
  const expected = [head, ...checkpoint === undefined ? [] : [checkpoint]].sort((a, b) => a.seq - b.seq)
  const walked = yield* walk(reader, hash, base, expected)
  if (walked !== undefined) return walked
  // Links behind the head are those of another writer meanwhile, which moves the head too.
  const [next] = yield* reader.page(head.seq, 1)
  if (next !== undefined && (yield* reader.head).seq === head.seq) return broken(next.seq, "EntryAdded")
  const first = head.seq > base.seq ? base.seq + 1 : 0
  return { _tag: "Intact", first, last: head.seq, sealed: sealer !== undefined && head.seq > 0 } satisfies Verdict
})

/** From a place that is trusted on to the last of those that have to be met. */
const walk = Effect.fnUntraced(function*<E>(
  reader: Reader<E>,
  hash: Hash,
  base: { readonly seq: number; readonly hash: string },
  expected: ReadonlyArray<{ readonly seq: number; readonly hash: string }>
) {
  let at = { seq: base.seq, hash: base.hash }
  const last = expected.at(-1)?.seq ?? 0
  const misses = () => expected.some(({ hash, seq }) => seq === at.seq && hash !== at.hash)
  if (misses()) return broken(at.seq, "HeadChanged")
  while (at.seq < last) {
    const links = yield* reader.page(at.seq, Math.min(pageSize, last - at.seq))
    if (links.length === 0) return broken(at.seq + 1, "TailCut")
    for (const { hash: stated, previous, seq, text } of links) {
      if (seq !== at.seq + 1) return broken(at.seq + 1, "EntryMissing")
      const actual = yield* hash(seq, at.hash, text)
      if (actual !== stated || previous !== at.hash) return broken(seq, "EntryChanged")
      at = { seq, hash: actual }
      if (misses()) return broken(seq, "HeadChanged")
    }
  }
  return undefined
})
