import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type Fault, limits, makeReader, text } from "../src/csv.ts"

type Rows = ReadonlyArray<ReadonlyArray<string | undefined>>

/** Reads a file that comes in pieces of so many bytes. */
const read = (file: string | Uint8Array, size = Number.POSITIVE_INFINITY): Rows | Fault => {
  const bytes = typeof file === "string" ? new TextEncoder().encode(file) : file
  const rows: Array<ReadonlyArray<string | undefined>> = []
  const reader = makeReader((row) => {
    rows.push(Array.from({ length: row.columns }, (_, column) => text(row, column)))
    return undefined
  })
  for (let at = 0; at < bytes.length; at += size) {
    const fault = reader.push(bytes.subarray(at, at + size))
    if (fault !== undefined) return fault
  }
  return reader.end() ?? rows
}

const place = (found: Rows | Fault) => {
  assert.isTrue("what" in found, JSON.stringify(found))
  return "what" in found ? [found.row, found.line, found.column, found.what] : []
}

describe("the CSV reader", () => {
  it("reads RFC 4180", () => {
    assert.deepStrictEqual(read(`a,b\r\n1,"x, ""y"""\r\n"two\r\nlines",\r\n`), [
      ["a", "b"],
      ["1", `x, "y"`],
      ["two\r\nlines", ""]
    ])
  })

  it("reads rows that end in LF, and a last row that does not end", () => {
    for (const file of ["a,b\n1,2\n", "a,b\n1,2", "a,b\r\n1,2", `a,b\n1,"2"`, `"a","b"\r\n"1","2"\r\n`]) {
      assert.deepStrictEqual(read(file), [["a", "b"], ["1", "2"]], JSON.stringify(file))
    }
    assert.deepStrictEqual(read("a,b\n1,"), [["a", "b"], ["1", ""]])
  })

  it("skips a byte order mark and empty lines, and counts the lines", () => {
    assert.deepStrictEqual(read("\ufeffa,b\r\n\r\n1,2\n\n\n"), [["a", "b"], ["1", "2"]])
    assert.deepStrictEqual(place(read(`\ufeffa\n\n\nb"`)).slice(0, 3), [4, 4, 1])
    assert.deepStrictEqual(read(""), [])
    assert.deepStrictEqual(read("\ufeff"), [])
  })

  it("reads UTF-8, and says where there is none", () => {
    assert.deepStrictEqual(read(`\u00e9,"\u{1f600}""",\u4e2d`), [["\u00e9", `\u{1f600}"`, "\u4e2d"]])
    assert.deepStrictEqual(read(new Uint8Array([0x61, 0x2c, 0xe9, 0x0a])), [["a", undefined]])
    assert.deepStrictEqual(read(new Uint8Array([0x22, 0xc3, 0x22, 0x22, 0x22])), [[undefined]])
  })

  it("keeps a byte order mark that is not at the start", () => {
    assert.deepStrictEqual(read("a,\ufeffb\n"), [["a", "\ufeffb"]])
  })

  describe("says the row, the line and the column of", () => {
    const faults: ReadonlyArray<readonly [string, string, ReadonlyArray<unknown>]> = [
      ["a quote inside of a plain field", `a,b\n1,2"`, [
        2,
        2,
        2,
        "a quote inside of a field that does not begin with one"
      ]],
      ["text after a closing quote", `a,b\n"1"x,2`, [2, 2, 1, "text after the closing quote"]],
      ["a quote that is never closed", `a,b\n"1\n2\n3`, [2, 2, 1, "a quote that is opened and never closed"]],
      ["a lone carriage return", "a,b\r1,2", [1, 1, 2, "a carriage return that no line feed follows"]],
      ["a carriage return at the end", "a,b\r", [1, 1, 2, "a carriage return that no line feed follows"]],
      ["a fault after a field of several lines", `a,b\n"1\n1",2\n3"`, [
        3,
        4,
        1,
        "a quote inside of a field that does not begin with one"
      ]]
    ]
    for (const [name, file, expected] of faults) {
      it(`${name}`, () => {
        for (const size of [1, 2, 3, 7, Number.POSITIVE_INFINITY]) {
          assert.deepStrictEqual(place(read(file, size)), expected)
        }
      })
    }

    it("UTF-16", () => {
      for (const bytes of [[0xff, 0xfe, 0x61, 0], [0xfe, 0xff, 0, 0x61]]) {
        assert.deepStrictEqual(place(read(new Uint8Array(bytes))), [1, 1, 1, "the file is in UTF-16; save it as UTF-8"])
      }
    })
  })

  describe("is bounded", () => {
    it("in the length of a field", () => {
      const fits = "x".repeat(limits.fieldBytes)
      assert.deepStrictEqual(read(`a,${fits}\n`), [["a", fits]])
      assert.deepStrictEqual(read(`a,"${fits}"\n`), [["a", fits]])
      for (const field of [`${fits}x`, `"${fits}x"`]) {
        assert.deepStrictEqual(place(read(`a,b\n1,${field}\n`)), [2, 2, 2, "a field of more than 16384 bytes"])
      }
    })

    it("in the length of a row, before it has ended", () => {
      const row = Array.from({ length: 5 }, () => "x".repeat(16_000)).join(",")
      assert.deepStrictEqual(place(read(`a\n${row}\n`)), [2, 2, 5, "a row of more than 65536 bytes"])
      for (const opening of [`"`, ""]) {
        const reader = makeReader(() => undefined)
        let pushed = 0
        let fault: Fault | undefined
        while (fault === undefined && pushed < 1_000_000) {
          fault = reader.push(new TextEncoder().encode((pushed === 0 ? opening : "") + "x".repeat(10_000)))
          pushed += 10_000
        }
        assert.isAtMost(pushed, 80_000)
        assert.deepStrictEqual(fault === undefined ? [] : place(fault), [1, 1, 1, "a row of more than 65536 bytes"])
      }
    })

    it("in the number of columns", () => {
      assert.strictEqual((read(",".repeat(limits.columns - 1)) as Rows)[0]?.length, limits.columns)
      assert.deepStrictEqual(place(read(",".repeat(limits.columns))), [1, 1, 256, "more than 256 columns"])
    })
  })

  const Cell = Schema.Array(Schema.Literals(["a", "1", ",", `"`, "\n", "\r", "\r\n", " ", "\u00e9", "\u{1f600}"])).pipe(
    Schema.check(Schema.isMaxLength(5))
  )
  const Table = Schema.Array(Schema.Array(Cell).check(Schema.isBetweenLength(2, 4))).check(Schema.isMaxLength(5))
  const Options = Schema.Struct({
    end: Schema.Literals(["\n", "\r\n"]),
    quoteAll: Schema.Boolean,
    closed: Schema.Boolean,
    mark: Schema.Boolean,
    size: Schema.Literals([1, 2, 3, 5, 17, 1000])
  })

  it.effect.prop(
    "reads what was written, in whatever pieces it comes",
    [Table, Options],
    ([table, options]) =>
      Effect.sync(() => {
        const rows = table.map((row) => row.map((cell) => cell.join("")))
        const write = (cell: string) =>
          options.quoteAll || /[",\r\n]/.test(cell) ? `"${cell.replaceAll(`"`, `""`)}"` : cell
        const lines = rows.map((row) => row.map(write).join(","))
        const file = (options.mark ? "\ufeff" : "") + lines.join(options.end) + (options.closed ? options.end : "")
        assert.deepStrictEqual(read(file, options.size), rows)
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect.prop(
    "finds the same fault, or none, in whatever pieces it comes",
    [Schema.Array(Schema.Literals(["a", ",", `"`, "\n", "\r", "\u00e9"])), Schema.Literals([1, 2, 3, 5])],
    ([pieces, size]) =>
      Effect.sync(() => {
        const file = pieces.join("")
        assert.deepStrictEqual(read(file, size), read(file))
      }),
    { arbitrary: { runs: 500 } }
  )
})
