/** What a cache does over every store. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit, type Layer, Schema, type Scope } from "effect"
import { Cached } from "effect-payments"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Int }) {}
const Item = Schema.Struct({ id: Schema.Int, at: Schema.Int, since: Schema.DateFromString })
const since = new Date(0)

/** A cache of its own; what it asks for is numbered. Ids below 0 are not found, 13 is a defect. */
export const makeItems = Effect.fnUntraced(function*(
  options: Partial<Cached.Options<number, typeof Item.Type, NotFound>> & {
    readonly name: string
    readonly id?: (key: number) => string
  }
) {
  const asked: Array<number> = []
  const cached = yield* Cached.make(
    (id: number): Effect.Effect<typeof Item.Type, NotFound> =>
      Effect.suspend(() => {
        asked.push(id)
        if (id === 13) return Effect.die("bug")
        return id < 0 ? Effect.fail(new NotFound({ id })) : Effect.succeed({ id, at: asked.length, since })
      }),
    { success: Item, error: NotFound, ttl: "5 minutes", ...options, id: options.id ?? String }
  )
  return { asked, cached }
})

let names = 0
const unused = () => `c${names++}`

export const cachedContract = <E>(
  name: string,
  layer: Layer.Layer<Cached.CachedStore, E>,
  options: { readonly live: boolean; readonly advance: (by: Duration.Input) => Effect.Effect<void> }
) =>
  describe(`Cached on ${name}`, () => {
    const test = <E2>(title: string, self: () => Effect.Effect<void, E2, Cached.CachedStore | Scope.Scope>) =>
      (options.live ? it.live : it.effect)(
        title,
        () => Effect.scoped(Effect.suspend(self)).pipe(Effect.provide(layer))
      )

    test("answers from memory until the lifetime is over", () =>
      Effect.gen(function*() {
        const { asked, cached } = yield* makeItems({ name: unused(), local: 0, ttl: "1 second" })
        const first = yield* cached.get(1)
        assert.deepStrictEqual(yield* cached.get(1), first)
        assert.deepStrictEqual(first, { id: 1, at: 1, since })
        yield* cached.get(2)
        assert.deepStrictEqual(asked, [1, 2])
        yield* options.advance("1100 millis")
        assert.strictEqual((yield* cached.get(1)).at, 3)
      }))

    test("shares one look-up between callers who come at once", () =>
      Effect.gen(function*() {
        const { asked, cached } = yield* makeItems({ name: unused() })
        const all = yield* Effect.forEach(Array.from({ length: 50 }, () => 1), cached.get, { concurrency: "unbounded" })
        assert.isTrue(all.every(({ at }) => at === 1))
        assert.deepStrictEqual(asked, [1])
      }))

    test("keeps no failure, unless it is told to, and then with its type", () =>
      Effect.gen(function*() {
        const plain = yield* makeItems({ name: unused() })
        yield* Effect.flip(plain.cached.get(-1))
        yield* Effect.flip(plain.cached.get(-1))
        assert.deepStrictEqual(plain.asked, [-1, -1])
        const kept = yield* makeItems({
          name: unused(),
          ttl: (exit, id) => Exit.isSuccess(exit) ? "1 hour" : id === -1 ? "1 minute" : 0
        })
        yield* Effect.flip(kept.cached.get(-1))
        const error = yield* Effect.flip(kept.cached.get(-1))
        assert.instanceOf(error, NotFound)
        yield* Effect.flip(kept.cached.get(-2))
        yield* Effect.flip(kept.cached.get(-2))
        assert.deepStrictEqual(kept.asked, [-1, -2, -2])
      }))

    test("never keeps a defect", () =>
      Effect.gen(function*() {
        const { asked, cached } = yield* makeItems({ name: unused(), ttl: () => "1 hour" })
        for (let i = 0; i < 2; i++) {
          const exit = yield* Effect.exit(cached.get(13))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        }
        assert.deepStrictEqual(asked, [13, 13])
      }))

    test("asks again after it was told to forget", () =>
      Effect.gen(function*() {
        const { cached } = yield* makeItems({ name: unused() })
        yield* cached.get(1)
        yield* cached.get(2)
        yield* cached.invalidate(1)
        yield* cached.invalidate(7)
        assert.strictEqual((yield* cached.get(1)).at, 3)
        assert.strictEqual((yield* cached.get(2)).at, 2)
      }))

    test("does not mix caches of other names", () =>
      Effect.gen(function*() {
        const [a, b] = [yield* makeItems({ name: unused() }), yield* makeItems({ name: unused() })]
        yield* a.cached.get(1)
        yield* b.cached.get(1)
        assert.deepStrictEqual([a.asked, b.asked], [[1], [1]])
      }))
  })

/** What processes that share a store see of each other; each cache stands for a process. */
export const sharedContract = <E>(name: string, layer: Layer.Layer<Cached.CachedStore, E>) =>
  describe(`Cached shared on ${name}`, () => {
    const test = <E2>(title: string, self: () => Effect.Effect<void, E2, Cached.CachedStore | Scope.Scope>) =>
      it.live(title, () => Effect.scoped(Effect.suspend(self)).pipe(Effect.provide(layer)))

    test("answers with what another process has asked for", () =>
      Effect.gen(function*() {
        const name = unused()
        const [a, b] = [yield* makeItems({ name }), yield* makeItems({ name })]
        assert.deepStrictEqual(yield* a.cached.get(1), { id: 1, at: 1, since })
        assert.deepStrictEqual(yield* b.cached.get(1), { id: 1, at: 1, since })
        assert.deepStrictEqual(b.asked, [])
        assert.deepStrictEqual(yield* b.cached.stats, {
          requests: 1,
          lookups: 0,
          bypassed: 0,
          storeFailures: 0,
          size: 1
        })
      }))

    test("forgets for all of them", () =>
      Effect.gen(function*() {
        const name = unused()
        const [a, b] = [yield* makeItems({ name }), yield* makeItems({ name })]
        yield* a.cached.get(1)
        yield* a.cached.invalidate(1)
        yield* b.cached.get(1)
        assert.deepStrictEqual(b.asked, [1])
      }))

    test("asks again when what is stored does not fit the schema any more", () =>
      Effect.gen(function*() {
        const name = unused()
        const old = yield* Cached.make((id: string) => Effect.succeed(`old ${id}`), {
          name,
          success: Schema.String,
          error: Schema.Never,
          ttl: "1 hour"
        })
        yield* old.get("1")
        const { asked, cached } = yield* makeItems({ name })
        assert.strictEqual((yield* cached.get(1)).id, 1)
        assert.deepStrictEqual(asked, [1])
      }))
  })
