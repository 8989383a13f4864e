/**
 * Sagas on `effect/workflow` and `effect/cluster`: `effect-payments/cluster`.
 *
 * @since 0.1.0
 */
export * as ClusterSaga from "./ClusterSaga.ts"
