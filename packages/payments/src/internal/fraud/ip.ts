/**
 * Internet addresses as numbers, so that each way to write one is the same one.
 *
 * @internal
 */

/** @internal All addresses that begin with these bits; of 128 bits it is one address. IPv4 stands within IPv6. */
export interface Network {
  readonly bits: bigint
  readonly length: number
}

/** @internal An address, or a network in CIDR notation. Undefined for anything else. */
export const parseNetwork = (text: string): Network | undefined => {
  const [, address = "", length] = /^([^/]{1,45})(?:\/(\d{1,3}))?$/.exec(text.trim()) ?? []
  const bits = parseAddress(address)
  if (bits === undefined) return undefined
  const offset = address.includes(":") ? 0 : 96
  const prefix = length === undefined ? 128 : Number(length) + offset
  // Somebody who writes a part of an IPv4 network as IPv6 does not mean all of IPv4.
  if (prefix > 128 || (prefix < 96 && bits >> 32n === mapped >> 32n)) return undefined
  return { bits: bits >> BigInt(128 - prefix), length: prefix }
}

/**
 * @internal The address of who has connected, as servers and proxies write it: by itself, with a port (`[::1]:443`), with
 * a zone, which says through which interface and not who. Undefined for anything else. A list (`X-Forwarded-For`) is none:
 * whose entry can be trusted depends on the proxies.
 */
export const parseHost = (text: string): bigint | undefined => {
  if (text.length > 64) return undefined
  const [, v4, v4Port] = /^([\d.]+):(\d{1,5})$/.exec(text) ?? []
  const [, v6, v6Port] = /^\[([^[\]]*:[^[\]]*)\](?::(\d{1,5}))?$/.exec(text) ?? []
  if (Number(v4Port ?? v6Port ?? 0) > 65_535) return undefined
  const address = v4 ?? v6 ?? text
  return parseAddress(address.includes(":") ? address.replace(/%[^%\s]+$/, "") : address)
}

const parseAddress = (text: string): bigint | undefined => {
  if (text.length > 45) return undefined
  const v4 = parseV4(text)
  if (v4 !== undefined) return mapped | v4
  return text.includes(":") ? parseV6(text) : undefined
}

// ::ffff:0:0/96, RFC 4291 section 2.5.5.2.
const mapped = 0xffff_0000_0000n

const parseV4 = (text: string): bigint | undefined => {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1)
  // Some read a part that begins with 0 as octal, so it is two addresses.
  if (parts === undefined || parts.some((part) => Number(part) > 255 || /^0\d/.test(part))) return undefined
  return parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)
}

const parseV6 = (text: string): bigint | undefined => {
  const [, head = text, tail] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? []
  const v4 = tail === undefined ? undefined : parseV4(tail)
  if (tail !== undefined && v4 === undefined) return undefined
  const groups = v4 === undefined ? text : `${head}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`
  const halves = groups.split("::")
  const [before = [], after = []] = halves.map((half) => half === "" ? [] : half.split(":"))
  const missing = 8 - before.length - after.length
  if (halves.length > 2 || (halves.length === 2 ? missing < 1 : missing !== 0)) return undefined
  const all = [...before, ...Array.from({ length: missing }, () => "0"), ...after]
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return all.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n)
}
