/**
 * Lists of e-mail addresses, networks, tokens and the like, whose entries may expire.
 *
 * @internal
 */
import type * as DateTime from "effect/DateTime"
import type { FraudContext, ListEntry, Lists } from "../../Fraud.ts"
import { parseHost, parseNetwork } from "./ip.ts"
import { CannotJudge, type Fault } from "./rule.ts"

// Of all lists of a rule together.
const entriesMax = 1_000_000

interface Compiled {
  readonly faults: ReadonlyArray<Fault>
  /** In which list the payment is found; undefined when in none. Fails when that hangs on an address that is none. */
  readonly find: (context: FraudContext, nowMillis: number) => string | CannotJudge | undefined
}

// When an entry expires, in milliseconds; Infinity for one that does not.
type Expiries = Map<string, number>

/** @internal */
export const compile = (rule: string, lists: Lists): Compiled => {
  const given = {
    emails: entriesOf(lists.emails),
    ips: entriesOf(lists.ips),
    tokens: entriesOf(lists.tokens),
    userIds: entriesOf(lists.userIds),
    devices: entriesOf(lists.devices)
  }
  const size = Object.values(given).reduce((sum, list) => sum + list.length, 0)
  if (size > entriesMax) {
    return { faults: [{ rule, option: "lists", expected: `at most ${entriesMax} entries` }], find: () => undefined }
  }
  const emails = exact(given.emails, normalizeEmail)
  const tokens = exact(given.tokens)
  const userIds = exact(given.userIds)
  const devices = exact(given.devices)
  const ips = networks(given.ips)
  return {
    faults: [
      ...faultsOf(
        rule,
        "emails",
        given.emails,
        ({ value }) => value.includes("@") && value.length <= 320,
        emailExpected
      ),
      ...faultsOf(rule, "ips", given.ips, ({ value }) => parseNetwork(value) !== undefined, ipExpected)
    ],
    find: (context, now) => {
      if (hasEmail(emails, context.email, now)) return "e-mail address"
      const byAddress = hasAddress(ips, context.ip, now)
      if (byAddress === true) return "IP address"
      if (has(tokens, context.cardToken, now)) return "card token"
      if (has(userIds, context.userId, now)) return "user"
      if (has(devices, context.deviceFingerprint, now)) return "device"
      return byAddress === undefined ? new CannotJudge("AddressInvalid") : undefined
    }
  }
}

interface Entry {
  readonly value: string
  readonly expiresAt?: DateTime.Utc | undefined
}

const entriesOf = (list: Iterable<ListEntry> | undefined): ReadonlyArray<Entry> =>
  Array.from(list ?? [], (entry) => typeof entry === "string" ? { value: entry } : entry)

const expiryOf = ({ expiresAt }: Entry): number => expiresAt?.epochMilliseconds ?? Number.POSITIVE_INFINITY

// An entry that is given twice holds for as long as the longer one.
const put = <Key>(expiries: Map<Key, number>, key: Key, entry: Entry): void => {
  expiries.set(key, Math.max(expiries.get(key) ?? Number.NEGATIVE_INFINITY, expiryOf(entry)))
}

const exact = (entries: ReadonlyArray<Entry>, normalize = (value: string) => value): Expiries => {
  const expiries: Expiries = new Map()
  for (const entry of entries) put(expiries, normalize(entry.value), entry)
  return expiries
}

const has = (expiries: Expiries, value: string | undefined, now: number): boolean =>
  value !== undefined && now < (expiries.get(value) ?? Number.NEGATIVE_INFINITY)

// --- e-mail

// A domain may end in a dot, and is the same one.
const normalizeEmail = (email: string): string => email.normalize("NFKC").trim().toLowerCase().replace(/\.$/, "")

const hasEmail = (emails: Expiries, email: string | undefined, now: number): boolean => {
  if (emails.size === 0 || email === undefined) return false
  const address = normalizeEmail(email)
  return has(emails, address, now) || has(emails, address.slice(address.lastIndexOf("@")), now)
}

// --- networks, by how many bits they fix

type Networks = ReadonlyMap<number, Map<bigint, number>>

const networks = (entries: ReadonlyArray<Entry>): Networks => {
  const byLength = new Map<number, Map<bigint, number>>()
  for (const entry of entries) {
    const network = parseNetwork(entry.value)
    if (network === undefined) continue
    const expiries = byLength.get(network.length) ?? new Map<bigint, number>()
    put(expiries, network.bits, entry)
    byLength.set(network.length, expiries)
  }
  return byLength
}

/** Undefined: the address cannot be read. */
const hasAddress = (networks: Networks, ip: string | undefined, now: number): boolean | undefined => {
  if (networks.size === 0 || ip === undefined) return false
  const address = parseHost(ip.trim())
  if (address === undefined) return undefined
  for (const [length, expiries] of networks) {
    if (now < (expiries.get(address >> BigInt(128 - length)) ?? Number.NEGATIVE_INFINITY)) return true
  }
  return false
}

// --- faults

const emailExpected = "an address or @domain, at most 320 characters"
const ipExpected = "an IPv4 or IPv6 address or a network in CIDR notation"

// One is named: a file of the wrong kind would name a million.
const faultsOf = (
  rule: string,
  option: string,
  entries: ReadonlyArray<Entry>,
  isValid: (entry: Entry) => boolean,
  expected: string
): ReadonlyArray<Fault> => {
  const at = entries.findIndex((entry) => !isValid(entry))
  return at === -1 ? [] : [{ rule, option: `${option}[${at}]`, expected }]
}
