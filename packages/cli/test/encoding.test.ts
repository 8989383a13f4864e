import { Buffer } from "node:buffer"
import { assert, describe, it } from "vitest"
import { make } from "../src/encoding.ts"

const bytesOf = (text: string, encoding: BufferEncoding = "utf8"): Uint8Array =>
  new Uint8Array(Buffer.from(text, encoding))
const mixed = "a\r\n\ufeff\u0000é€😀\u{10ffff}\u0800"

/** In pieces of a size, and each piece of the text encoded as it comes. */
const through = (bytes: Uint8Array, size: number): { readonly text: string; readonly bytes: Buffer } => {
  const { decode, encode, end } = make()
  let text = ""
  const out: Array<Uint8Array> = []
  const take = (piece: string) => {
    text += piece
    // As a scrubber may cut it: within a character.
    out.push(encode(piece.slice(0, 1)), encode(piece.slice(1)))
  }
  for (let at = 0; at < bytes.length; at += size) take(decode(bytes.slice(at, at + size)))
  take(end())
  return { text, bytes: Buffer.concat(out) }
}

describe("what is read and written", () => {
  const samples: { readonly [name: string]: Uint8Array } = {
    "nothing": new Uint8Array(),
    "a byte": new Uint8Array([0x41]),
    "UTF-8": bytesOf(mixed),
    "UTF-8 with its mark": bytesOf(`\ufeff${mixed}`),
    "Latin-1": bytesOf("caf\u00e9 \u00ff\u0080", "latin1"),
    "all bytes": Uint8Array.from({ length: 512 }, (_, i) => (i * 7) & 0xff),
    "characters that are cut": new Uint8Array([
      0xe2,
      0x82,
      0x41,
      0xf0,
      0x9f,
      0x98,
      0xc3,
      0xed,
      0xa0,
      0x80,
      0xc0,
      0x80,
      0xe2,
      0x82
    ]),
    "UTF-16": new Uint8Array([0xff, 0xfe, ...bytesOf(mixed, "utf16le")]),
    "UTF-16, the other way round": new Uint8Array([0xfe, 0xff, ...Buffer.from(bytesOf(mixed, "utf16le")).swap16()]),
    "UTF-16 that is cut": new Uint8Array([0xff, 0xfe, 0x41, 0x00, 0x42])
  }

  for (const [name, bytes] of Object.entries(samples)) {
    it(`is the same, in pieces of any size: ${name}`, () => {
      for (let size = 1; size <= Math.max(1, bytes.length); size++) {
        assert.deepStrictEqual([...through(bytes, size).bytes], [...bytes], String(size))
      }
    })
  }

  it("is the text that it says", () => {
    for (let size = 1; size < 9; size++) {
      assert.strictEqual(through(bytesOf(mixed), size).text, mixed)
      assert.strictEqual(through(samples["UTF-16"] ?? new Uint8Array(), size).text, `\ufeff${mixed}`)
      assert.strictEqual(
        through(samples["UTF-16, the other way round"] ?? new Uint8Array(), size).text,
        `\ufeff${mixed}`
      )
      assert.strictEqual(through(samples["Latin-1"] ?? new Uint8Array(), size).text, "caf\udce9 \udcff\udc80")
    }
  })
})
