/**
 * Memory for the bytes that are signed: allocating that much for each request would cost more than hashing it.
 *
 * @internal
 */

/** @internal One verification at a time has it; another one meanwhile gets memory of its own. */
export class Scratch {
  private free: Uint8Array | undefined

  /** So many bytes, holding anything. */
  take(length: number): Uint8Array {
    const { free } = this
    if (free === undefined || free.length < length) return new Uint8Array(length)
    this.free = undefined
    return free.subarray(0, length)
  }

  /** Nobody reads them any more. Bytes that are never given back are collected as others are. */
  give(bytes: Uint8Array): void {
    if (this.free === undefined || this.free.length < bytes.buffer.byteLength) {
      this.free = new Uint8Array(bytes.buffer)
    }
  }
}
