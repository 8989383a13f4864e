/** What every audit log that is chained has to do. */
import { assert, it as test } from "@effect/vitest"
import { Effect, Exit, type Layer, Schema } from "effect"
import { AuditLog, Card } from "effect-payments"

const fact = {
  event: "payment",
  action: "charge",
  resource: "order 1",
  outcome: "succeeded"
} as const satisfies AuditLog.Fact

export const recordAll = (count: number, options?: { readonly concurrency: number }) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => i + 1),
    (i) => AuditLog.record({ ...fact, action: `charge ${i}`, detail: { b: [i, "é"], a: { d: null, c: true } } }),
    { discard: true, concurrency: options?.concurrency ?? 1 }
  )

export const auditContract = (
  name: string,
  make: () => Layer.Layer<AuditLog.AuditLog | AuditLog.AuditChain, unknown>,
  options: { readonly sealed: boolean }
): void => {
  const it = {
    effect: (title: string, body: () => Effect.Effect<unknown, unknown, AuditLog.AuditLog | AuditLog.AuditChain>) =>
      test.live(`${name} ${title}`, () => Effect.provide(body(), make()))
  }

  it.effect("is intact when it is empty", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      assert.deepStrictEqual(yield* chain.verify(), { _tag: "Intact", first: 0, last: 0, sealed: false })
      assert.deepStrictEqual(yield* chain.page({ limit: 10 }), [])
      assert.deepInclude(yield* chain.checkpoint, { seq: 0, hash: "0".repeat(64) })
    }))

  it.effect("keeps entries whole and in order, each bound to the one before", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(5).pipe(AuditLog.withActor({ user: "ada", origin: "10.0.0.1" }))
      const page = yield* chain.page({ limit: 10 })
      assert.deepStrictEqual(page.map(({ entry, seq }) => [seq, entry.action]), [
        [1, "charge 1"],
        [2, "charge 2"],
        [3, "charge 3"],
        [4, "charge 4"],
        [5, "charge 5"]
      ])
      assert.deepInclude(page[0]?.entry, {
        ...fact,
        action: "charge 1",
        user: "ada",
        origin: "10.0.0.1",
        detail: { a: { c: true, d: null }, b: [1, "é"] }
      })
      assert.deepStrictEqual(page.map(({ previous }) => previous), [
        "0".repeat(64),
        ...page.slice(0, -1).map(({ hash }) => hash)
      ])
      for (const { hash } of page) assert.match(hash, /^[0-9a-f]{64}$/)
      assert.deepInclude(yield* chain.checkpoint, { seq: 5, hash: page[4]!.hash })
      assert.deepStrictEqual(yield* chain.verify(), { _tag: "Intact", first: 1, last: 5, sealed: options.sealed })
    }))

  it.effect("reads in pages", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(7)
      const seqs = (options: { readonly after?: number; readonly limit: number }) =>
        Effect.map(chain.page(options), (page) => page.map(({ seq }) => seq))
      assert.deepStrictEqual(yield* seqs({ limit: 3 }), [1, 2, 3])
      assert.deepStrictEqual(yield* seqs({ after: 3, limit: 3 }), [4, 5, 6])
      assert.deepStrictEqual(yield* seqs({ after: 6, limit: 3 }), [7])
      assert.deepStrictEqual(yield* seqs({ after: 7, limit: 3 }), [])
      for (const limit of [0, -1, 1001, 1.5, Number.NaN]) {
        assert.strictEqual((yield* Effect.flip(chain.page({ limit }))).reason._tag, "LogUnreadable")
      }
      for (const after of [-1, 0.5, Number.POSITIVE_INFINITY]) {
        assert.strictEqual((yield* Effect.flip(chain.page({ after, limit: 1 }))).reason._tag, "LogUnreadable")
      }
    }))

  it.effect("verifies more than a page, and only up to where it ended", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(2100, { concurrency: 64 })
      assert.deepInclude(yield* chain.verify(), { _tag: "Intact", first: 1, last: 2100 })
      const [verdict] = yield* Effect.all([chain.verify(), recordAll(50, { concurrency: 8 })], { concurrency: 2 })
      assert.strictEqual(verdict._tag, "Intact")
      assert.deepInclude(yield* chain.verify(), { last: 2150 })
    }))

  it.effect("stays one chain under concurrent writers, some of which are interrupted", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, i) => i),
        (i) => i % 5 === 0 ? Effect.timeoutOption(recordAll(1), "1 millis") : recordAll(1),
        { concurrency: "unbounded", discard: true }
      )
      const verdict = yield* chain.verify()
      assert.strictEqual(verdict._tag, "Intact")
      assert.isTrue(verdict._tag === "Intact" && verdict.last >= 160 && verdict.last <= 200)
    }))

  it.effect("meets a checkpoint of its own, and begins behind one", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(3)
      const checkpoint = Schema.decodeUnknownSync(Schema.fromJsonString(AuditLog.Checkpoint))(
        Schema.encodeSync(Schema.fromJsonString(AuditLog.Checkpoint))(yield* chain.checkpoint)
      )
      assert.deepInclude(yield* chain.verify({ checkpoint }), { _tag: "Intact", last: 3 })
      yield* recordAll(2)
      assert.deepInclude(yield* chain.verify({ checkpoint }), { _tag: "Intact", last: 5 })
      assert.deepInclude(yield* chain.verify({ after: checkpoint }), { _tag: "Intact", first: 4, last: 5 })
    }))

  it.effect("notices a checkpoint that it does not reach or meet", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(3)
      const own = yield* chain.checkpoint
      const ahead = new AuditLog.Checkpoint({ ...own, seq: 5 })
      const other = new AuditLog.Checkpoint({ ...own, hash: "1".repeat(64) })
      const forged = (seq: number) => ({ _tag: "Broken", seq, fault: "CheckpointForged" })
      assert.deepStrictEqual<unknown>(
        yield* chain.verify({ checkpoint: ahead }),
        options.sealed ? forged(5) : { _tag: "Broken", seq: 4, fault: "TailCut" }
      )
      assert.deepStrictEqual<unknown>(
        yield* chain.verify({ checkpoint: other }),
        options.sealed ? forged(3) : { _tag: "Broken", seq: 3, fault: "HeadChanged" }
      )
    }))

  it.effect("does not pass over a checkpoint that is older than where it is to begin", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(2)
      const older = yield* chain.checkpoint
      yield* recordAll(2)
      const after = yield* chain.checkpoint
      yield* recordAll(1)
      const error = yield* Effect.flip(chain.verify({ after, checkpoint: older }))
      assert.deepInclude(error.reason, { _tag: "CheckpointTooEarly", checkpoint: 2, after: 4 })
      assert.deepInclude(yield* chain.verify({ after: older, checkpoint: after }), {
        _tag: "Intact",
        first: 3,
        last: 5
      })
      assert.deepInclude(yield* chain.verify({ after, checkpoint: after }), { _tag: "Intact", first: 5, last: 5 })
      const { seal } = after
      const moved = new AuditLog.Checkpoint({ seq: 4, hash: older.hash, ...seal === undefined ? {} : { seal } })
      assert.deepInclude(yield* chain.verify({ after, checkpoint: moved }), { _tag: "Broken", seq: 4 })
    }))

  it.effect("notices that it ends before what was read earlier", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      yield* recordAll(3)
      const ahead = new AuditLog.Checkpoint({ ...yield* chain.checkpoint, seq: 5 })
      assert.deepStrictEqual<unknown>(yield* chain.verify({ after: ahead }), {
        _tag: "Broken",
        seq: options.sealed ? 5 : 4,
        fault: options.sealed ? "CheckpointForged" : "TailCut"
      })
    }))

  it.effect("records that it was read and verified", () =>
    Effect.gen(function*() {
      yield* recordAll(1)
      yield* AuditLog.read({ limit: 1 })
      yield* AuditLog.verify()
      yield* Effect.exit(AuditLog.read({ limit: 0 }))
      const chain = yield* AuditLog.AuditChain
      const page = yield* chain.page({ after: 1, limit: 10 })
      assert.deepStrictEqual(page.map(({ entry }) => [entry.event, entry.action, entry.outcome]), [
        ["auditLogAccess", "read", "succeeded"],
        ["auditLogAccess", "verify", "succeeded"],
        ["auditLogAccess", "read", "notExecuted"]
      ])
    }))

  it.effect("takes any text and detail, and no card data", () =>
    Effect.gen(function*() {
      const chain = yield* AuditLog.AuditChain
      const odd = ["\ud800", "\u0000", "'\"\\", "\u2028", "😀", "{}", "4111111111111111"]
      for (const text of odd) {
        yield* AuditLog.record({ ...fact, action: text, detail: { [text]: text, __proto__: { text } } })
      }
      const page = yield* chain.page({ limit: 10 })
      assert.lengthOf(page, odd.length)
      assert.isFalse(Card.containsPan(JSON.stringify(page)))
      assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: odd.length })
    }))

  it.effect("keeps no card data of an entry that was made by hand", () =>
    Effect.gen(function*() {
      const log = yield* AuditLog.AuditLog
      const chain = yield* AuditLog.AuditChain
      const made = yield* AuditLog.entryOf(fact)
      const detail = {
        note: "paid with 4111 1111 1111 1111",
        cvv: "123",
        nested: { pan: 4111111111111111 },
        cents: 500
      }
      yield* log.append(new AuditLog.Entry({ ...made, detail }))
      const [kept] = yield* chain.page({ limit: 1 })
      assert.deepStrictEqual(kept?.entry.detail, {
        note: "paid with [PAN ****1111]",
        cvv: "[CVV]",
        nested: { pan: "[PAN ****1111]" },
        cents: 500
      })
      assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: 1 })
    }))

  it.effect("refuses an entry that is too large, and goes on", () =>
    Effect.gen(function*() {
      const log = yield* AuditLog.AuditLog
      const chain = yield* AuditLog.AuditChain
      const entry = yield* AuditLog.entryOf(fact)
      let deep: Schema.Json = 1
      for (let i = 0; i < 100; i++) deep = [deep]
      for (const detail of [{ text: "x".repeat(1_000_001) }, { deep }]) {
        const error = yield* Effect.flip(log.append(new AuditLog.Entry({ ...entry, detail })))
        assert.include(error.message, "EntryTooLarge")
      }
      yield* log.append(entry)
      assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: 1 })
    }))

  it.effect("answers every writer", () =>
    Effect.gen(function*() {
      const exits = yield* Effect.forEach(Array.from({ length: 600 }), () => Effect.exit(recordAll(1)), {
        concurrency: "unbounded"
      })
      assert.isTrue(exits.every(Exit.isSuccess))
    }))
}
