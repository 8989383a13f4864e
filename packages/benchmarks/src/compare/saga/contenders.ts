// A process loads what it needs of them: that takes longer than a saga.
import manifest from "../../../package.json" with { type: "json" }
import type { Contender } from "./contender.ts"

const { "@dbos-inc/dbos-sdk": dbos, effect } = manifest.dependencies

export const contenders: ReadonlyArray<Contender> = [
  {
    name: `withCompensation, effect ${effect} in memory`,
    open: async (place) => (await import("./effectWorkflow.ts")).openInMemory(place)
  },
  {
    name: `withCompensation, effect ${effect} on a cluster, SQLite`,
    open: async (place) => (await import("./effectWorkflow.ts")).openOnCluster(place)
  },
  { name: `by hand, DBOS ${dbos}, Postgres`, open: async (place) => (await import("./dbosSaga.ts")).open(place) },
  { name: "effect-payments, SQLite", open: async (place) => (await import("./ours.ts")).open(place) }
]
