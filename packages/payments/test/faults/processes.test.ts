import { checkTable } from "../support/faultTable.ts"
import { processes } from "./processes.ts"

processes("sqlite", "")

checkTable(({ stores, where }) => where === "processes.ts" && stores.includes("SQLite"))
