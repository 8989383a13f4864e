// A gateway with a ledger of its own that executes all it gets, as often as it gets it, and can be asked what it has done.
import { createClient } from "redis"
import type { Charge } from "./contender.ts"

export interface Gateway {
  readonly charge: (operation: string, key: string, by: string) => Promise<Charge>
  /** The first charge of this key. */
  readonly find: (operation: string, key: string) => Promise<Charge | undefined>
  readonly charges: (operation: string, key: string) => Promise<number>
  readonly close: () => Promise<void>
}

const amount = 1000

/** Gateways of the same name share a ledger. */
export const connect = async (url: string, name: string): Promise<Gateway> => {
  const client = await createClient({ url }).connect()
  const ledgerOf = (operation: string, key: string) => `ledger:${name}:${operation}:${key}`
  return {
    charge: async (operation, key, by) => {
      const at = new Date()
      const count = await client.rPush(ledgerOf(operation, key), at.toISOString())
      return { id: `${operation}-${count}`, amount, at, by }
    },
    find: async (operation, key) => {
      const at = await client.lIndex(ledgerOf(operation, key), 0)
      return at === null ? undefined : { id: `${operation}-1`, amount, at: new Date(at), by: "a look-up" }
    },
    charges: (operation, key) => client.lLen(ledgerOf(operation, key)),
    close: () => client.close()
  }
}
