import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Tokenizer } from "effect-payments"
import { SqlClient } from "effect/sql"
import { audited, tokenizerContract, unauditedContract } from "../tokenizer/contract.ts"
import { keys, tokenizerSqlContract } from "../tokenizer/sqlContract.ts"

const client = (schema: string) =>
  PgClient.layer({
    url: Redacted.make(inject("postgres")),
    maxConnections: 4,
    startupParameters: { search_path: schema }
  })

let schemas = 0
/** A schema of its own, gone with the scope. */
const database = Effect.gen(function*() {
  const schema = `vault_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return () => client(schema)
})

const clientOnSchema = Layer.fresh(Layer.unwrap(Effect.map(database, (client) => client())))

tokenizerContract(
  "postgres",
  () => Tokenizer.layerSql(keys).pipe(Layer.provideMerge(audited), Layer.provide([clientOnSchema, NodeCrypto.layer]))
)

unauditedContract(
  "postgres",
  (log) => Tokenizer.layerSql(keys).pipe(Layer.provide([log, clientOnSchema, NodeCrypto.layer]))
)

tokenizerSqlContract("postgres", database)
