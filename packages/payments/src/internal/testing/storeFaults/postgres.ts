/**
 * The protocol of Postgres, version 3: what is sent up to a Sync is a request, and what comes up to ReadyForQuery its
 * reply. The start of a connection is passed on; encryption is answered with no.
 *
 * @internal
 */
import { type Message, type Protocol, type Splitter, textOf } from "./protocol.ts"

/** @internal */
export const postgres: Protocol = { name: "postgres", connect: () => ({ requests: requests(), replies: replies() }) }

const code = (character: string): number => character.charCodeAt(0)
const codes = (characters: string): ReadonlySet<number> => new Set(Array.from(characters, code))

const encryptionRequests: ReadonlySet<number> = new Set([80_877_103, 80_877_104])
const no = new Uint8Array([code("N")])

// Query, Sync and FunctionCall end a request.
const requestEnds = codes("QSF")
// Terminate, Password, Flush and what is copied stand for themselves.
const asides = codes("XpHdcf")
const readyForQuery = code("Z")
// Notifications, and the turns of a COPY, on which the other side waits.
const interjections = codes("AGHW")

const int32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset + at, 4).getInt32(0)

/** The type of the message that begins here, and where it ends; undefined when it is not complete. */
const messageAt = (bytes: Uint8Array, at: number): { readonly type: number; readonly end: number } | undefined => {
  if (bytes.length < at + 5) return undefined
  const end = at + 1 + int32(bytes, at + 1)
  return bytes.length < end ? undefined : { type: bytes[at] ?? 0, end }
}

const requests = (): Splitter => {
  let hasStarted = false
  let before = ""
  return (bytes) => {
    if (!hasStarted) {
      const start = startOf(bytes)
      hasStarted = start !== undefined && start.answer === undefined
      return start
    }
    for (let at = 0;;) {
      const message = messageAt(bytes, at)
      if (message === undefined) return undefined
      const isAside = asides.has(message.type)
      if (isAside || requestEnds.has(message.type)) {
        const text = before + textOf(bytes, 0, message.end)
        before = isAside ? text : ""
        return { length: message.end, counts: !isAside, text }
      }
      at = message.end
    }
  }
}

const startOf = (bytes: Uint8Array): Message | undefined => {
  if (bytes.length < 8 || bytes.length < int32(bytes, 0)) return undefined
  const start = { length: int32(bytes, 0), counts: false, text: "" }
  return encryptionRequests.has(int32(bytes, 4)) ? { ...start, answer: no } : start
}

const replies = (): Splitter => {
  let isReady = false
  return (bytes) => {
    for (let at = 0;;) {
      const message = messageAt(bytes, at)
      if (message === undefined) return undefined
      const isLast = message.type === readyForQuery
      if (!isReady || isLast || interjections.has(message.type)) {
        const counts = isReady && isLast
        isReady ||= isLast
        return { length: message.end, counts, text: textOf(bytes, 0, message.end) }
      }
      at = message.end
    }
  }
}
