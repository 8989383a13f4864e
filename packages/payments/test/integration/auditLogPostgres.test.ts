import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { AuditLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { auditContract } from "../auditLog/contract.ts"
import { auditSqlContract, keys } from "../auditLog/sqlContract.ts"

const client = (schema: string) =>
  PgClient.layer({
    url: Redacted.make(inject("postgres")),
    maxConnections: 4,
    startupParameters: { search_path: schema }
  })

let schemas = 0
/** A schema of its own, gone with the scope. */
const database = Effect.gen(function*() {
  const schema = `audit_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return () => client(schema)
})

const clientOnSchema = Layer.unwrap(Effect.map(database, (client) => client()))

const layer = (options?: Parameters<typeof AuditLog.layerSql>[0]) => () =>
  AuditLog.layerSql(options).pipe(Layer.provide([Layer.fresh(clientOnSchema), NodeCrypto.layer]))

auditContract("postgres", layer(), { sealed: false })
auditContract("postgres with keys", layer({ keys: keys() }), { sealed: true })
auditSqlContract("postgres", {
  database,
  unguard: ["DROP TRIGGER effect_payments_audit_no_change ON effect_payments_audit"],
  writesBesideTransaction: true
})
