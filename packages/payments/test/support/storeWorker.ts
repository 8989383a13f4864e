// A process of the contract over one store: `storeWorker.ts WHERE`, or `storeWorker.ts FILE MUTANT` over a file.
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Schema } from "effect"
import { StoreContract } from "effect-payments/testing"
import * as stores from "../../../examples/src/soak/stores.ts"
import { StoreAt } from "../../../examples/src/soak/wire.ts"
import { layerFile } from "../idempotency/fileStore.ts"

const [where = "", mutant] = process.argv.slice(2)

const store = mutant === undefined
  ? stores.layer(Schema.decodeSync(Schema.fromJsonString(StoreAt))(where))
  : layerFile(where, mutant)

NodeRuntime.runMain(Effect.provide(StoreContract.worker(store), NodeServices.layer))
