/** The process of the saga kill test as one file. */
import { fileURLToPath } from "node:url"
import { programOf } from "../soak/program.ts"

export const program = programOf(fileURLToPath(new URL("worker.main.ts", import.meta.url)))
