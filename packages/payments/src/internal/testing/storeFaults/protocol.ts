/**
 * How the bytes of a connection are cut into requests and replies.
 *
 * @internal
 */

/** @internal */
export interface Message {
  /** How many bytes it has. */
  readonly length: number
  /** Whether it is a request that exactly one reply answers, or such a reply. All else is passed on as it comes. */
  readonly counts: boolean
  /** What a rule may look at. */
  readonly text: string
  /** What the proxy answers in place of the server, which does not get it. */
  readonly answer?: Uint8Array | undefined
}

/** @internal The first message of these bytes; undefined while it is not complete. */
export type Splitter = (bytes: Uint8Array) => Message | undefined

/** @internal */
export interface Protocol {
  readonly name: string
  /** For each connection: what a splitter remembers is of one. */
  readonly connect: () => { readonly requests: Splitter; readonly replies: Splitter }
}

const decoder = new TextDecoder()
const textMaxBytes = 65_536

/** @internal */
export const textOf = (bytes: Uint8Array, from: number, until: number): string =>
  decoder.decode(bytes.subarray(from, Math.min(until, from + textMaxBytes)))
