import { type ClaimRequest, Key, recordId, Scope } from "../../src/internal/idempotency/record.ts"

const lease = 30_000
let counter = 0
const fresh = (prefix: string) => `${prefix}${(counter++).toString(36)}`

export const requestOf = (
  options?: Partial<ClaimRequest> & {
    readonly tenant?: string
    readonly operation?: string
    readonly version?: number
    readonly name?: string
  }
): ClaimRequest => {
  const { name, operation = "charge", tenant = "shop", version = 1, ...rest } = options ?? {}
  const scope = Scope.make({ tenant, operation, version })
  return {
    ...recordId(scope, Key.make(name ?? fresh("key-"))),
    fingerprint: "v1:a",
    owner: fresh("owner-"),
    leaseMillis: lease,
    canResolve: false,
    attemptsMax: 3,
    ...rest
  }
}

/** The same record for another owner. */
export const rival = (request: ClaimRequest, options?: Partial<ClaimRequest>): ClaimRequest => ({
  ...request,
  owner: fresh("owner-"),
  ...options
})
