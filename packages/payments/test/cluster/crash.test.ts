/** A runner over SQLite that is killed, and the next one. */
import { join } from "node:path"
import { deaths } from "./deaths.ts"

deaths(
  "SQLite",
  {
    forward: [
      "reserve:after",
      "authorize:before",
      "authorize:after",
      "capture:after",
      "ship:before",
      "receipt:after"
    ],
    unwinding: ["refund:after", "release:before"]
  },
  (id, directory) => ({ _tag: "Sqlite", filename: join(directory, `${id}.db`) })
)
