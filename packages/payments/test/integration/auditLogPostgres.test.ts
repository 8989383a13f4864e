import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Effect, Layer } from "effect"
import { AuditLog } from "effect-payments"
import { auditContract } from "../auditLog/contract.ts"
import { auditSqlContract, keys } from "../auditLog/sqlContract.ts"
import { client, makeSchema } from "../support/postgres.ts"

const database = Effect.map(makeSchema("audit"), (schema) => () => client(schema))

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
