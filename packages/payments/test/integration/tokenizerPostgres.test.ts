import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Effect, Layer } from "effect"
import { Tokenizer } from "effect-payments"
import { client, makeSchema } from "../support/postgres.ts"
import { audited, tokenizerContract, unauditedContract } from "../tokenizer/contract.ts"
import { keys, tokenizerSqlContract } from "../tokenizer/sqlContract.ts"

const database = Effect.map(makeSchema("vault"), (schema) => () => client(schema))

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
