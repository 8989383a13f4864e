import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Layer, Logger, References, Schema } from "effect"
import { AuditLog, Card, PaymentError } from "effect-payments"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { auditContract, recordAll } from "./auditLog/contract.ts"
import { auditSqlContract, keys } from "./auditLog/sqlContract.ts"

const memory = (limit?: number) => AuditLog.layerMemory({ limit }).pipe(Layer.provide(NodeCrypto.layer))

const fact = {
  event: "payment",
  action: "charge",
  resource: "order 1",
  outcome: "succeeded"
} as const satisfies AuditLog.Fact

const recorded = (...facts: ReadonlyArray<AuditLog.Fact>) =>
  Effect.gen(function*() {
    const trail = yield* AuditLog.AuditTrail
    yield* Effect.forEach(facts, AuditLog.record)
    return yield* trail.entries
  })

describe("an entry", () => {
  const complete = {
    at: "2026-11-24T00:00:00.000Z",
    event: "payment",
    action: "charge",
    user: "ada",
    origin: "10.0.0.1",
    resource: "order 1",
    outcome: "succeeded"
  } as const
  const decode = Schema.decodeUnknownExit(AuditLog.Entry)

  it("has the six facts of PCI DSS 10.2.2, all of them required", () => {
    assert.isTrue(Exit.isSuccess(decode(complete)))
    for (const field of Object.keys(complete) as ReadonlyArray<keyof typeof complete>) {
      const { [field]: _, ...rest } = complete
      assert.isTrue(Exit.isFailure(decode(rest)), field)
    }
  })

  it("survives encoding", () => {
    const entry = Schema.decodeUnknownSync(AuditLog.Entry)({
      ...complete,
      durationMillis: 1.5,
      detail: { a: [1, null] }
    })
    assert.deepStrictEqual(Schema.encodeSync(AuditLog.Entry)(entry), {
      ...complete,
      durationMillis: 1.5,
      detail: { a: [1, null] }
    })
  })

  it("refuses card numbers, empty and overlong texts, and events and outcomes that there are not", () => {
    for (const field of ["action", "user", "origin", "resource"]) {
      for (const text of ["", "x".repeat(256), "card 4111 1111 1111 1111"]) {
        assert.isTrue(Exit.isFailure(decode({ ...complete, [field]: text })), `${field} ${text}`)
      }
    }
    for (const wrong of [{ event: "login" }, { outcome: "ok" }, { durationMillis: -1 }, { at: "yesterday" }]) {
      assert.isTrue(Exit.isFailure(decode({ ...complete, ...wrong })))
    }
  })

  it("says whether it was a success", () => {
    const success = (outcome: AuditLog.Outcome) =>
      Schema.decodeUnknownSync(AuditLog.Entry)({ ...complete, outcome }).success
    assert.deepStrictEqual(AuditLog.Outcome.literals.map(success), [true, false, false, false, false])
  })
})

describe("record", () => {
  it.effect("fills in time and actor", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000)
      const [entry] = yield* recorded(fact).pipe(AuditLog.withActor({ user: "ada", origin: "backoffice" }))
      assert.deepInclude(entry, { ...fact, user: "ada", origin: "backoffice" })
      assert.strictEqual(entry && DateTime.toEpochMillis(entry.at), 1000)
    }).pipe(Effect.provide(memory())))

  it.effect("says so when nobody said who acts", () =>
    Effect.gen(function*() {
      const [entry] = yield* recorded(fact)
      assert.deepInclude(entry, { user: "unidentified", origin: "unidentified" })
    }).pipe(Effect.provide(memory())))

  it.effect("stores no card data in any field", () =>
    Effect.gen(function*() {
      const pan = "4111-1111-1111-1111"
      const dirty: AuditLog.Fact = { ...fact, action: pan, resource: `x ${pan}`, detail: { [pan]: pan, cvv: "123" } }
      const [entry] = yield* recorded(dirty).pipe(AuditLog.withActor({ user: pan, origin: `${pan} cvv=123` }))
      const stored = JSON.stringify(entry && Schema.encodeSync(AuditLog.Entry)(entry))
      assert.isFalse(Card.containsPan(stored))
      assert.notInclude(stored, "123")
      assert.include(stored, "[PAN ****1111]")
    }).pipe(Effect.provide(memory())))

  it.effect.prop(
    "takes any text and any detail",
    [Schema.String, Schema.String, Schema.Json],
    ([action, user, detail]) =>
      Effect.gen(function*() {
        const resource = action.repeat(300)
        const entries = yield* recorded({ ...fact, action, resource, detail: { detail } }).pipe(
          AuditLog.withActor({ user, origin: user })
        )
        assert.strictEqual(entries.length, 1)
        assert.isTrue(Exit.isSuccess(Schema.encodeExit(AuditLog.Entry)(entries[0]!)))
      }).pipe(Effect.provide(memory()))
  )

  it.effect("writes an entry whatever is cut off, and whatever a clock says", () =>
    Effect.gen(function*() {
      // Too long for a card, until it is cut.
      for (const pan of ["4111111111111111", "4222222222222", "675900001238"]) {
        const user = `${"a".repeat(255 - pan.length)}${pan}11111111`
        const durations = [Number.NaN, Number.POSITIVE_INFINITY, -1, 1.5]
        const entries = yield* recorded(...durations.map((durationMillis) => ({ ...fact, durationMillis }))).pipe(
          AuditLog.withActor({ user, origin: user })
        )
        assert.deepStrictEqual(
          entries.slice(-4).map(({ durationMillis }) => durationMillis),
          [undefined, undefined, 0, 1.5]
        )
        for (const { origin } of entries) assert.isFalse(Card.containsPan(origin))
      }
    }).pipe(Effect.provide(memory())))

  it.effect("fails with a typed error that knows nothing for sure", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(AuditLog.record(fact))
      assert.strictEqual(error.reason._tag, "LogUnavailable")
      assert.strictEqual(PaymentError.dispositionOf(error), "Unknown")
      assert.include(error.message, "disk full")
    }).pipe(Effect.provideService(AuditLog.AuditLog, {
      append: () =>
        Effect.fail(new AuditLog.AuditLogError({ reason: new AuditLog.LogUnavailable({ detail: "disk full" }) }))
    })))
})

describe("layerMemory", () => {
  it.effect("keeps the newest in order and counts what it drops", () =>
    Effect.gen(function*() {
      const trail = yield* AuditLog.AuditTrail
      const seen = Effect.map(trail.entries, (all) => all.map((x) => x.action))
      assert.deepStrictEqual(yield* seen, [])
      for (let i = 1; i <= 3; i++) yield* AuditLog.record({ ...fact, action: `${i}` })
      assert.deepStrictEqual([yield* seen, yield* trail.dropped], [["1", "2", "3"], 0])
      for (let i = 4; i <= 8; i++) yield* AuditLog.record({ ...fact, action: `${i}` })
      assert.deepStrictEqual([yield* seen, yield* trail.dropped], [["6", "7", "8"], 5])
    }).pipe(Effect.provide(memory(3))))

  it.effect("keeps at least one", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* recorded(fact, fact)).length, 1)
    }).pipe(Effect.provide(memory(Number.NaN))))
})

describe("layerLog", () => {
  it.effect("writes one line with all the facts", () => {
    const lines: Array<unknown> = []
    const logger = Logger.make(({ fiber, message }) => {
      lines.push([message, fiber.getRef(References.CurrentLogAnnotations)])
    })
    return Effect.gen(function*() {
      yield* AuditLog.record(fact).pipe(AuditLog.withActor({ user: "ada", origin: "backoffice" }))
      assert.deepStrictEqual(lines, [[["audit"], {
        at: "1970-01-01T00:00:00.000Z",
        ...fact,
        user: "ada",
        origin: "backoffice"
      }]])
    }).pipe(Effect.provide([AuditLog.layerLog, Logger.layer([logger])]))
  })
})

auditContract("memory", memory, { sealed: false })

const sqlite = (filename: string) => SqliteClient.layer({ filename, busyTimeout: "10 seconds" })

auditContract(
  "sqlite",
  () => AuditLog.layerSql().pipe(Layer.provide([sqlite(":memory:"), NodeCrypto.layer])),
  { sealed: false }
)

auditContract(
  "sqlite with keys",
  () => AuditLog.layerSql({ keys: keys() }).pipe(Layer.provide([sqlite(":memory:"), NodeCrypto.layer])),
  { sealed: true }
)

auditSqlContract("sqlite", {
  database: Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "audit-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
    ),
    (directory) => () => sqlite(join(directory, "audit.db"))
  ),
  unguard: ["DROP TRIGGER effect_payments_audit_no_update", "DROP TRIGGER effect_payments_audit_no_delete"],
  writesBesideTransaction: false
})

describe("the memory log that drops", () => {
  it.effect("verifies what it still has", () =>
    Effect.gen(function*() {
      yield* recordAll(8)
      const chain = yield* AuditLog.AuditChain
      assert.deepStrictEqual<unknown>(yield* chain.verify(), { _tag: "Intact", first: 6, last: 8, sealed: false })
      assert.deepStrictEqual((yield* chain.page({ after: 6, limit: 10 })).map(({ seq }) => seq), [7, 8])
      assert.deepStrictEqual((yield* chain.page({ limit: 2 })).map(({ seq }) => seq), [6, 7])
    }).pipe(Effect.provide(memory(3))))
})
