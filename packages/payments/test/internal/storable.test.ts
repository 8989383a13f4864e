import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { PaymentError, PaymentGateway } from "effect-payments"
import { unstorable } from "../../src/internal/stack/storable.ts"

class Handle {
  readonly descriptor = 1
}

interface Node {
  readonly name: string
  readonly children: ReadonlyArray<Node>
}
const Node: Schema.Codec<Node> = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Node> => Node))
})

class Receipt extends Schema.Class<Receipt>("Receipt")({ id: Schema.String, at: Schema.DateTimeUtc }) {}

const handle = "a declared schema has no JSON codec"
const unknown = "Unknown takes what has no stored form"

describe("unstorable", () => {
  it("names the part that has no stored form, and where it is", () => {
    const rows: ReadonlyArray<readonly [Schema.Constraint, string]> = [
      [Schema.Unknown, unknown],
      [Schema.Any, "Any takes what has no stored form"],
      [Schema.ObjectKeyword, "ObjectKeyword takes what has no stored form"],
      [Schema.instanceOf(Handle), handle],
      [Schema.declare((value): value is Handle => value instanceof Handle), handle],
      [Schema.Struct({ order: Schema.Struct({ handle: Schema.instanceOf(Handle) }) }), `${handle}, at order.handle`],
      [Schema.Record(Schema.String, Schema.Any), "Any takes what has no stored form, at [key]"],
      [Schema.Array(Schema.Unknown), `${unknown}, at []`],
      [Schema.Tuple([Schema.String, Schema.Unknown]), `${unknown}, at []`],
      [Schema.Union([Schema.String, Schema.Unknown]), unknown],
      [Schema.Option(Schema.Unknown), `${unknown}, at value`],
      [Schema.suspend(() => Schema.Unknown), unknown],
      [Schema.Cause(Schema.String, Schema.instanceOf(Handle)), `${handle}, at [].defect`]
    ]
    for (const [schema, fault] of rows) assert.strictEqual(unstorable(schema), fault)
  })

  it("finds nothing in what has", () => {
    const schemas: ReadonlyArray<Schema.Constraint> = [
      Schema.Json,
      Schema.Void,
      Schema.BigDecimal,
      Schema.Date,
      Schema.URL,
      Schema.Uint8Array,
      Schema.Option(Schema.Date),
      Schema.HashMap(Schema.String, Schema.Date),
      Schema.Cause(Schema.String, Schema.Defect()),
      Node,
      Receipt,
      PaymentError.PaymentError,
      PaymentGateway.Transaction
    ]
    for (const schema of schemas) assert.isUndefined(unstorable(schema))
  })
})
