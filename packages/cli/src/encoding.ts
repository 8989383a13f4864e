/**
 * Text whose bytes come out as they came in: UTF-8, or UTF-16 behind its byte order mark, and bytes that are neither.
 *
 * A byte that is no UTF-8 is a lone surrogate in the text, U+DC80 to U+DCFF (as Python's `surrogateescape` has it), which
 * no UTF-8 decodes to.
 *
 * @internal
 */

/** @internal The two sides of one text, each of which takes it in pieces, in order. */
export interface Transcoder {
  readonly decode: (bytes: Uint8Array) => string
  /** What is left when no more bytes come. */
  readonly end: () => string
  readonly encode: (text: string) => Uint8Array
}

/** @internal */
export const make = (): Transcoder => {
  let chosen: Transcoder | undefined
  let head = new Uint8Array()
  const choose = (): Transcoder => {
    const [first, second] = head
    if (first === 0xff && second === 0xfe) return makeUtf16(true)
    return first === 0xfe && second === 0xff ? makeUtf16(false) : makeUtf8()
  }
  return {
    decode: (bytes) => {
      if (chosen !== undefined) return chosen.decode(bytes)
      head = joined(head, bytes)
      if (head.length < 2) return ""
      chosen = choose()
      return chosen.decode(head)
    },
    end: () => {
      if (chosen !== undefined) return chosen.end()
      chosen = choose()
      return chosen.decode(head) + chosen.end()
    },
    encode: (text) => (chosen ?? makeUtf8()).encode(text)
  }
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}

// --- UTF-16

const makeUtf16 = (isLittleEndian: boolean): Transcoder => {
  // The last byte of an odd number of them, which is none of the text.
  let rest = new Uint8Array()
  let last = new Uint8Array()
  return {
    decode: (bytes) => {
      const all = joined(rest, bytes)
      const even = all.length - all.length % 2
      const view = new DataView(all.buffer)
      let text = ""
      for (let at = 0; at < even; at += 2) text += String.fromCharCode(view.getUint16(at, isLittleEndian))
      rest = all.slice(even)
      return text
    },
    end: () => {
      last = rest
      return last.length === 0 ? "" : "\0"
    },
    encode: (text) => {
      const isLast = last.length > 0 && text.endsWith("\0")
      const units = isLast ? text.length - 1 : text.length
      const bytes = new Uint8Array(units * 2)
      const view = new DataView(bytes.buffer)
      for (let at = 0; at < units; at++) view.setUint16(at * 2, text.charCodeAt(at), isLittleEndian)
      return isLast ? joined(bytes, last) : bytes
    }
  }
}

// --- UTF-8

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const makeUtf8 = (): Transcoder => {
  let rest = new Uint8Array()
  let half = ""
  return {
    decode: (bytes) => {
      const all = joined(rest, bytes)
      const whole = all.length - unfinished(all)
      rest = all.slice(whole)
      return decodeUtf8(all.subarray(0, whole))
    },
    end: () => {
      const text = decodeUtf8(rest)
      rest = new Uint8Array()
      return text
    },
    encode: (text) => {
      const all = half + text
      // The first half of a character whose second comes next.
      const isHalf = isHigh(all.charCodeAt(all.length - 1))
      half = isHalf ? all.slice(-1) : ""
      return encodeUtf8(isHalf ? all.slice(0, -1) : all)
    }
  }
}

/** How many bytes at the end begin a character that goes on. */
const unfinished = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte >> 6 === 2) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? back : 0
  }
  return 0
}

const decodeUtf8 = (bytes: Uint8Array): string => {
  let text = ""
  for (let start = 0, at = 0; at <= bytes.length;) {
    const length = at === bytes.length ? 0 : lengthAt(bytes, at)
    if (length > 0) {
      at += length
      continue
    }
    text += strict.decode(bytes.subarray(start, at))
    if (at < bytes.length) text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0))
    at++
    start = at
  }
  return text
}

/** How many bytes the character that begins here has; 0 if none does (RFC 3629, section 4). */
const lengthAt = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at] ?? 0
  if (first < 0x80) return 1
  const length = first < 0xc2 || first > 0xf4 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  const second = bytes[at + 1] ?? 0
  // Neither longer than need be, nor a surrogate, nor beyond the last character.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (length === 0 || second < low || second > high) return 0
  for (let next = 2; next < length; next++) if ((bytes[at + next] ?? 0) >> 6 !== 2) return 0
  return length
}

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff

const escaped = /(?<![\ud800-\udbff])[\udc80-\udcff]/

const encodeUtf8 = (text: string): Uint8Array => {
  if (!escaped.test(text)) return encoder.encode(text)
  const parts: Array<Uint8Array> = []
  for (const part of text.split(/((?<![\ud800-\udbff])[\udc80-\udcff]+)/)) {
    parts.push(escaped.test(part) ? Uint8Array.from(part, (unit) => unit.charCodeAt(0) - 0xdc00) : encoder.encode(part))
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
