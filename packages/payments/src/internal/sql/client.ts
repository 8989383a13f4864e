/**
 * Effect's SQL modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Migrator from "effect/sql/Migrator"
export * as SqlClient from "effect/sql/SqlClient"
export * as SqlError from "effect/sql/SqlError"
