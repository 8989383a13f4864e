import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { Money } from "effect-payments"
import * as instant from "../src/instant.ts"
import { makeTransactions, type Problem } from "../src/transactions.ts"

const header = "transaction_id,amount,currency,status,occurred_at"
const row = "tx_1,10.00,USD,captured,2026-01-31T12:00:00Z"

const read = (file: string, rowsMax = 1000) => {
  const transactions = makeTransactions(rowsMax)
  const problem = transactions.push(new TextEncoder().encode(file)) ?? transactions.end()
  return { problem, transactions }
}

const records = (file: string) => {
  const { problem, transactions } = read(file)
  assert.isUndefined(problem, JSON.stringify(problem))
  return transactions.records
}

const shown = (problem: Problem | undefined) =>
  problem && `${problem.row} ${problem.name ?? problem.column}: ${problem.what}`

describe("reading transactions", () => {
  it("takes the columns by name, in any order, and ignores others", () => {
    const file = `note,status,occurred_at,currency,transaction_id,amount\n"hello, you",captured,2026-01-31,EUR,tx_1,5\n`
    const [record] = records(file)
    assert.deepStrictEqual(
      record && { ...record, money: Money.format(record.money), occurredAt: DateTime.formatIso(record.occurredAt) },
      {
        transactionId: "tx_1",
        money: "EUR 5.00",
        status: "captured",
        occurredAt: "2026-01-31T00:00:00.000Z"
      }
    )
  })

  it("takes fee, kind and parent where they are there", () => {
    const [full, none] = records(`${header},parent,fee,kind\n${row},tx_0,0.30,refund\n${row},,,\n`)
    assert.deepStrictEqual(
      full && [full.parent, full.fee && Money.format(full.fee), full.kind],
      ["tx_0", "USD 0.30", "refund"]
    )
    assert.deepStrictEqual(none && Object.keys(none), ["transactionId", "money", "status", "occurredAt"])
    const { transactions } = read(`${header},parent\n`)
    assert.deepStrictEqual([transactions.has("parent"), transactions.has("fee")], [true, false])
  })

  it("takes negative amounts, and texts beyond ASCII", () => {
    const [record] = records(`${header}\ntx \u00e9,-10.00,USD,payment re\u00e7u,2026-01-31T12:00:00Z\n`)
    assert.deepStrictEqual(
      record && [record.transactionId, Money.format(record.money), record.status],
      ["tx \u00e9", "USD -10.00", "payment re\u00e7u"]
    )
  })

  it("takes a file with a header alone", () => {
    assert.deepStrictEqual(records(header), [])
  })

  const problems: ReadonlyArray<readonly [string, string, string]> = [
    [
      "no header",
      "",
      "1 1: there is no header; the first row must be transaction_id,amount,currency,status,occurred_at"
    ],
    [
      "no header but empty lines",
      "\n\n",
      "1 1: there is no header; the first row must be transaction_id,amount,currency,status,occurred_at"
    ],
    ["a column that is missing", "transaction_id,amount,status,occurred_at", "1 currency: missing in the header"],
    [
      "several columns that are missing",
      "amount,currency,status",
      "1 transaction_id, occurred_at: missing in the header"
    ],
    [
      "a column in other letters",
      header.replace("amount", "Amount"),
      `1 amount: missing in the header: "Amount" is not written like it`
    ],
    [
      "a column with a space",
      header.replace("amount", " amount"),
      `1 amount: missing in the header: " amount" is not written like it`
    ],
    [
      "semicolons",
      header.replaceAll(",", ";"),
      "1 transaction_id, amount, currency, status, occurred_at: missing in the header: the columns must be separated by commas"
    ],
    [
      "a line for a spreadsheet before the header",
      `sep=,\n${header}\n`,
      "1 transaction_id, amount, currency, status, occurred_at: missing in the header: "
      + "the first row must be the header; take out the one that begins with sep="
    ],
    [
      "rows without a header",
      row,
      "1 transaction_id, amount, currency, status, occurred_at: missing in the header: the first row must name the columns"
    ],
    [
      "a currency in small letters",
      `${header}\n${row.replace("USD", "usd")}`,
      "2 currency: usd is not a currency in use by ISO 4217; write it in capitals"
    ],
    ["a column twice", `${header},amount`, "1 amount: the header has it twice"],
    ["an optional column twice", `${header},fee,fee`, "1 fee: the header has it twice"],
    ["a row that is too short", `${header}\ntx_1,10.00,USD\n`, "2 status: the row has 3 fields and the header 5"],
    ["a row that is too long", `${header}\n${row}\n${row},\n`, "3 6: the row has 6 fields and the header 5"],
    ["an empty id", `${header}\n${row.replace("tx_1", "")}`, "2 transaction_id: empty; each row needs one"],
    [
      "an id that is too long",
      `${header}\n${row.replace("tx_1", "x".repeat(256))}`,
      "2 transaction_id: longer than 255 characters"
    ],
    ["a space before an id", `${header}\n ${row}`, "2 transaction_id: whitespace at its start or end; take it out"],
    [
      "a no-break space after an id",
      `${header}\n${row.replace("tx_1", "tx_1\u00a0")}`,
      "2 transaction_id: whitespace at its start or end; take it out"
    ],
    [
      "a line break in an id",
      `${header}\n${row.replace("tx_1", `"tx\n1"`)}`,
      "2 transaction_id: a character that cannot be seen; take it out"
    ],
    [
      "a zero-width space in an id",
      `${header}\n${row.replace("tx_1", "tx\u200b1")}`,
      "2 transaction_id: a character that cannot be seen; take it out"
    ],
    ["an empty amount", `${header}\n${row.replace("10.00", "")}`, "2 amount: not a plain decimal number: it is empty"],
    [
      "grouping",
      `${header}\n${row.replace("10.00", `"1,000.00"`)}`,
      "2 amount: not a plain decimal number: it has grouping characters"
    ],
    [
      "a currency sign",
      `${header}\n${row.replace("10.00", "$10.00")}`,
      "2 amount: not a plain decimal number: it has an unexpected character"
    ],
    [
      "an exponent",
      `${header}\n${row.replace("10.00", "1e3")}`,
      "2 amount: not a plain decimal number: it has an exponent"
    ],
    [
      "too many digits",
      `${header}\n${row.replace("10.00", "10.001")}`,
      "2 amount: more than the 2 fraction digits of USD"
    ],
    [
      "an unknown currency",
      `${header}\n${row}\n${row.replace("USD", "XYZ")}`,
      "3 currency: XYZ is not a currency in use by ISO 4217"
    ],
    ["gold", `${header}\n${row.replace("USD", "XAU")}`, "2 currency: XAU has no minor unit: nothing can be paid in it"],
    ["an empty currency", `${header}\n${row.replace("USD", "")}`, "2 currency: not a currency code"],
    [
      "a currency that Object has",
      `${header}\n${row.replace("USD", "constructor")}`,
      "2 currency: not a currency code"
    ],
    ["an empty status", `${header}\n${row.replace("captured", "")}`, "2 status: empty; each row needs one"],
    [
      "a status that is too long",
      `${header}\n${row.replace("captured", "x".repeat(65))}`,
      "2 status: longer than 64 characters"
    ],
    [
      "a day that is none",
      `${header}\n${row.replace("01-31", "02-29")}`,
      "2 occurred_at: not a date such as 2026-01-31 or 2026-01-31T12:00:00Z"
    ],
    [
      "a time without a zone",
      `${header}\n${row.replace("Z", "")}`,
      "2 occurred_at: no time zone: end it with Z or an offset such as +02:00"
    ],
    [
      "a fee that is none",
      `${header},fee\n${row},free`,
      "2 fee: not a plain decimal number: it has an unexpected character"
    ],
    ["a kind that is none", `${header},kind\n${row},payout`, "2 kind: neither charge nor refund nor empty"],
    ["a parent with a space", `${header},parent\n${row},tx `, "2 parent: whitespace at its start or end; take it out"],
    [
      "a fault of the format",
      `${header}\n${row.replace("USD", `U"D`)}`,
      "2 currency: a quote inside of a field that does not begin with one"
    ]
  ]
  for (const [name, file, expected] of problems) {
    it(`finds ${name}`, () => assert.strictEqual(shown(read(file).problem), expected))
  }

  it("finds bytes that are no UTF-8 in the columns that it reads", () => {
    const bytes = (cells: string) =>
      Uint8Array.from(`${header},note,fee,kind,parent\n${cells}\n`, (char) => char.charCodeAt(0))
    const cells = ["tx_1", "10.00", "USD", "captured", "2026-01-31", "note", "", "", ""]
    const names = ["transaction_id", "amount", "currency", "status", undefined, undefined, "fee", undefined, "parent"]
    for (const [index, name] of names.entries()) {
      if (name === undefined) continue
      const transactions = makeTransactions(10)
      const problem = transactions.push(bytes(cells.map((cell, i) => i === index ? "\xe9" : cell).join(",")))
      assert.strictEqual(shown(problem), `2 ${name}: not UTF-8; save the file as UTF-8`)
    }
    assert.isUndefined(makeTransactions(10).push(bytes(cells.map((cell) => cell === "note" ? "\xe9" : cell).join(","))))
    assert.strictEqual(
      shown(makeTransactions(10).push(new Uint8Array([0x61, 0x2c, 0xe9, 0x0a]))),
      "1 2: not UTF-8; save the file as UTF-8"
    )
  })

  it("never repeats what stands in a cell that is wrong", () => {
    const secret = "4111111111111111"
    for (const column of [0, 1, 2, 3, 4]) {
      const cells = row.split(",").map((cell, i) => i === column ? ` ${secret}` : cell)
      const { problem } = read(`${header}\n${cells.join(",")}`)
      assert.isDefined(problem)
      assert.notInclude(JSON.stringify(problem), secret)
    }
  })

  it("takes no more rows than it may", () => {
    const file = `${header}\n${row}\n${row}\n${row}\n`
    assert.strictEqual(read(file, 3).problem, undefined)
    assert.strictEqual(shown(read(file, 2).problem), "4 transaction_id: more than 2 rows; --max-rows allows more")
  })
})

describe("reading a point in time", () => {
  it("agrees with Date.parse on what both take", () => {
    for (
      const text of [
        "2026-01-31",
        "2024-02-29",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00Z",
        "2026-01-31T23:59:59.999Z",
        "2026-01-31T12:00:00.5Z",
        "2026-01-31T12:00:00.12Z",
        "2026-01-31T12:00:00+02:00",
        "2026-01-31T00:30:00-11:30",
        "2026-01-31T12:00:00+00:00",
        "1969-12-31T23:59:59.999Z",
        "2000-02-29T00:00:00Z",
        "9999-12-31T23:59:59Z"
      ]
    ) assert.strictEqual(instant.parse(text), Date.parse(text), text)
  })

  it("takes a space for T, small letters, and digits below a millisecond", () => {
    const noon = Date.UTC(2026, 0, 31, 12)
    for (const text of ["2026-01-31 12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T12:00:00.000999999Z"]) {
      assert.strictEqual(instant.parse(text), noon, text)
    }
    assert.strictEqual(instant.parse("2026-01-31T12:00:00.0019Z"), noon + 1)
  })

  it("takes offsets and fractions as ISO 8601 has them", () => {
    const noon = Date.UTC(2026, 0, 31, 12)
    for (
      const text of [
        "2026-01-31T14:00:00+0200",
        "2026-01-31 14:00:00+02",
        "2026-01-31T00:30-1130",
        "2026-01-31T12:00:00,000+00"
      ]
    ) assert.strictEqual(instant.parse(text), noon, text)
  })

  it("refuses everything else", () => {
    for (
      const text of [
        "",
        "yesterday",
        "1769860800",
        "2026-1-31",
        "2026-13-01",
        "2026-00-10",
        "2026-01-00",
        "2026-01-32",
        "2026-04-31",
        "2026-02-29",
        "1900-02-29",
        "0026-01-31",
        "31.01.2026",
        "01/31/2026",
        "2026/01/31",
        "2026-01-31T",
        "2026-01-31x12:00:00Z",
        "2026-01-31T12",
        "2026-01-31T12Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:0Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00,Z",
        "20260131T120000Z",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00",
        "2026-01-31T12:00:00ZZ",
        "2026-01-31T12:00:00+2:00",
        "2026-01-31T12:00:00+2",
        "2026-01-31T12:00:00+020",
        "2026-01-31T12:00:00+02:",
        "2026-01-31T12:00:00+02:0",
        "2026-01-31T12:00:00+02-00",
        "2026-01-31T12:00:00+2400",
        "2026-01-31T12:00:00+0260",
        "2026-01-31T12:00:00*02",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+02:60",
        "2026-01-31T12:00:00 UTC",
        "2026-01-31T12:00:00Z\n",
        " 2026-01-31",
        `2026-01-31T12:00:00.${"0".repeat(50)}Z`,
        "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0663\u0661"
      ]
    ) assert.isString(instant.parse(text), text)
  })
})
