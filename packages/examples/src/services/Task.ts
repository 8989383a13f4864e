/** What the process of a service is told. */
import { Schema } from "effect"

export const Task = Schema.Struct({
  name: Schema.Literals(["inventory", "shipping", "accounting", "receipts"]),
  /** Of its database. */
  filename: Schema.String,
  /** On 127.0.0.1; 0 takes a free one. */
  port: Schema.Int
})

export type Name = (typeof Task.Type)["name"]
