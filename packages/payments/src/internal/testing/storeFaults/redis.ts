/**
 * RESP, version 2 and 3: a command is a request, and each has one reply.
 *
 * @internal
 */
import { type Protocol, type Splitter, textOf } from "./protocol.ts"

/** @internal */
export const redis: Protocol = { name: "redis", connect: () => ({ requests: request, replies: reply }) }

const request: Splitter = (bytes) => {
  const words: Array<string> = []
  const length = bytes[0] === array ? skip(bytes, 0, words) : endOfLine(bytes, 0)
  return length === undefined
    ? undefined
    : { length, counts: true, text: words.length > 0 ? words.join(" ") : textOf(bytes, 0, length).trim() }
}

const reply: Splitter = (bytes) => {
  const length = skip(bytes, 0)
  return length === undefined ? undefined : { length, counts: bytes[0] !== push, text: textOf(bytes, 0, length) }
}

const code = (character: string): number => character.charCodeAt(0)
const array = code("*")
const push = code(">")
const lengthPrefixed = new Set(["$", "!", "="].map(code))
const lists = new Set(["*", "~", ">"].map(code))
const pairs = new Set(["%", "|"].map(code))
const attribute = code("|")

/** Where the value that begins here ends; undefined when it is not complete. */
const skip = (bytes: Uint8Array, from: number, words?: Array<string>): number | undefined => {
  const type = bytes[from]
  const end = type === undefined ? undefined : endOfLine(bytes, from)
  if (type === undefined || end === undefined) return undefined
  const size = () => Number(textOf(bytes, from + 1, end - 2))
  if (lengthPrefixed.has(type)) {
    const length = size()
    // -1 is null.
    if (length < 0) return end
    if (bytes.length < end + length + 2) return undefined
    words?.push(textOf(bytes, end, end + length))
    return end + length + 2
  }
  if (!lists.has(type) && !pairs.has(type)) return end
  const behind = skipMany(bytes, end, Math.max(0, size()) * (pairs.has(type) ? 2 : 1), words)
  // An attribute stands before the value that it is about.
  return behind !== undefined && type === attribute ? skip(bytes, behind, words) : behind
}

const skipMany = (bytes: Uint8Array, from: number, count: number, words?: Array<string>): number | undefined => {
  let position: number | undefined = from
  for (let i = 0; i < count && position !== undefined; i++) position = skip(bytes, position, words)
  return position
}

const endOfLine = (bytes: Uint8Array, from: number): number | undefined => {
  const end = bytes.indexOf(code("\n"), from)
  return end === -1 ? undefined : end + 1
}
