import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { Card, Tokenizer } from "effect-payments"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { audited, pans, tokenizerContract, unauditedContract } from "./tokenizer/contract.ts"
import { keys, tokenizerSqlContract } from "./tokenizer/sqlContract.ts"

const ephemeral = (capacity?: number) =>
  Tokenizer.layerEphemeral({ capacity }).pipe(Layer.provideMerge(audited), Layer.provide(NodeCrypto.layer))

tokenizerContract("memory", ephemeral)

unauditedContract("memory", (log) => Tokenizer.layerEphemeral().pipe(Layer.provide([log, NodeCrypto.layer])))

const sqlite = (filename: string) => SqliteClient.layer({ filename, busyTimeout: "10 seconds" })

tokenizerContract(
  "sqlite",
  () =>
    Tokenizer.layerSql(keys).pipe(Layer.provideMerge(audited), Layer.provide([sqlite(":memory:"), NodeCrypto.layer]))
)

unauditedContract(
  "sqlite",
  (log) => Tokenizer.layerSql(keys).pipe(Layer.provide([log, sqlite(":memory:"), NodeCrypto.layer]))
)

tokenizerSqlContract(
  "sqlite",
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "vault-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
    ),
    (directory) => () => sqlite(join(directory, "vault.db"))
  )
)

describe("the ephemeral vault", () => {
  it.effect("refuses a card more than it has room for, and takes one when another is gone", () =>
    Effect.gen(function*() {
      const [first, second, third] = pans(3)
      const token = yield* Tokenizer.tokenize(first!)
      yield* Tokenizer.tokenize(second!)
      const error = yield* Effect.flip(Tokenizer.tokenize(third!))
      assert.deepStrictEqual(error.reason, new Tokenizer.VaultUnavailable({ operation: "tokenize", detail: "Full" }))
      assert.strictEqual(yield* Tokenizer.tokenize(first!), token)
      yield* Tokenizer.delete(token)
      yield* Tokenizer.tokenize(third!)
    }).pipe(Effect.provide(ephemeral(2))))
})

describe("a card number and a security code", () => {
  const decode = Schema.decodeUnknownExit(Schema.Struct({ pan: Card.Pan, cvv: Card.Cvv }))
  const good = { pan: "4111 1111-1111 1111", cvv: "123" }

  it("are decoded to something redacted", () => {
    const decoded = decode(good)
    assert.isTrue(Exit.isSuccess(decoded))
    if (Exit.isSuccess(decoded)) {
      assert.strictEqual(JSON.stringify(decoded.value), "{\"pan\":\"<redacted:Pan>\",\"cvv\":\"<redacted:Cvv>\"}")
      assert.strictEqual(Redacted.value(decoded.value.pan), "4111111111111111")
      assert.strictEqual(Redacted.value(decoded.value.cvv), "123")
    }
  })

  it("are nothing but that, and what is refused is not shown, not even when the input is reported", () => {
    const pans = [
      "",
      "4111111111111112",
      "x 4111111111111111",
      "41111111111111114111111111111111",
      4111111111111111,
      null
    ]
    for (const pan of pans) assert.isTrue(Exit.isFailure(decode({ ...good, pan })), String(pan))
    for (const cvv of ["", "12", "12345", "12a", " 123", "１２３", 123, null]) {
      assert.isTrue(Exit.isFailure(decode({ ...good, cvv })), String(cvv))
    }
    const exit = Schema.decodeUnknownExit(Card.Pan)("4111111111111112", { reportInput: true })
    assert.notMatch(`${String(exit)} ${JSON.stringify(exit)}`, /4111/)
  })

  it("are encoded by nothing, types cast away or not", () => {
    const schema = Schema.Struct({ pan: Card.Pan, cvv: Card.Cvv })
    const value = Schema.decodeUnknownSync(schema)(good)
    const untyped = schema as Schema.Constraint as Schema.Codec<unknown, unknown>
    for (const codec of [untyped, Schema.toCodecJson(untyped), Schema.toCodecJson(Schema.toType(untyped))]) {
      const exit = Schema.encodeUnknownExit(codec as Schema.Codec<unknown, unknown>)(value)
      assert.isTrue(Exit.isFailure(exit))
      assert.notMatch(String(exit), /4111|123/)
    }
  })
})
