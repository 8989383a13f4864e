/**
 * The money of the simulator, in minor units: what is held, taken, released and given back.
 */
import type { Transaction } from "./Wire.ts"

export interface Refusal {
  readonly code: string
  readonly field: string
}

interface Taken {
  readonly id: string
  readonly amount: bigint
  refunded: bigint
}

interface Account {
  readonly id: string
  readonly amount: bigint
  readonly currency: string
  readonly captures: Array<Taken>
  voided: boolean
  /** The issuer lets the hold go before it is captured. */
  readonly lapses: boolean
  /** What has become of the challenge that the payer has to pass before it is captured. */
  challenge: "none" | "open" | Answer
  readonly merchantReference: string | undefined
}

/** How the payer has answered a challenge. */
export type Answer = "passed" | "failed"

/** What an authorization is made of, beside the amount. */
export interface Terms {
  readonly capture?: boolean
  readonly lapses?: boolean
  readonly isChallenged?: boolean
  readonly merchantReference?: string | undefined
}

/** The part of a capture or refund; all that is left without it. */
export interface Part {
  readonly amountMinor?: string
  readonly currency?: string
}

export class Books {
  readonly #accounts = new Map<string, Account>()
  readonly #captures = new Map<string, Account>()
  #count = 0

  authorize(amountMinor: string, currency: string, terms: Terms): Transaction {
    const { isChallenged = false, lapses = false, merchantReference } = terms
    // Nothing is taken before the payer has passed.
    const capture = terms.capture === true && !isChallenged
    const id = this.#nextId("auth")
    const amount = BigInt(amountMinor)
    const captures = capture ? [{ id, amount, refunded: 0n }] : []
    const challenge = isChallenged ? "open" : "none"
    this.#accounts.set(id, { id, amount, currency, captures, voided: false, lapses, challenge, merchantReference })
    return {
      id,
      ...isChallenged
        ? { challenge: { id: `${challengePrefix}${id}`, url: `https://acs.example/challenge/${id}` } }
        : {},
      ...merchantReference === undefined ? {} : { merchantReference },
      kind: "authorize",
      status: capture ? "captured" : "authorized",
      amountMinor,
      currency,
      avs: { street: "match", postal: "match" },
      cvv: "match"
    }
  }

  capture(id: string, part: Part): Transaction | Refusal {
    const account = this.#accounts.get(id)
    if (account === undefined) return unknown
    if (account.voided) return { code: "already_voided", field: "id" }
    if (account.lapses) return { code: "authorization_expired", field: "id" }
    if (account.challenge === "open") return { code: "authentication_pending", field: "id" }
    if (account.challenge === "failed") return { code: "authentication_failed", field: "id" }
    const taken = account.captures.reduce((sum, { amount }) => sum + amount, 0n)
    const amount = partOf(part, account.amount - taken, account.currency, "capture_exceeds_authorized")
    if (typeof amount !== "bigint") return amount
    const capture = { id: this.#nextId("cap"), amount, refunded: 0n }
    account.captures.push(capture)
    this.#captures.set(capture.id, account)
    return done(account, { id: capture.id, kind: "capture", status: "captured", amount })
  }

  /** What the payer has made of a challenge; it is answered once. */
  answer(challengeId: string, answer: Answer): Pick<Account, "id" | "merchantReference"> | Refusal {
    const account = this.#accounts.get(challengeId.replace(challengePrefix, ""))
    if (account === undefined) return unknown
    if (account.voided || account.challenge !== "open") return { code: "no_open_challenge", field: "id" }
    account.challenge = answer
    return account
  }

  void(id: string): Transaction | Refusal {
    const account = this.#accounts.get(id)
    if (account === undefined) return unknown
    if (account.voided) return { code: "already_voided", field: "id" }
    if (account.captures.length > 0) return { code: "already_captured", field: "id" }
    account.voided = true
    return done(account, { id: this.#nextId("void"), kind: "void", status: "voided", amount: account.amount })
  }

  /** The id of a capture, or of an authorization for all that was captured under it. */
  refund(id: string, part: Part): Transaction | Refusal {
    const account = this.#accounts.get(id) ?? this.#captures.get(id)
    if (account === undefined) return unknown
    const named = account.captures.filter((capture) => capture.id === id)
    const targets = named.length > 0 ? named : account.captures
    if (targets.length === 0) return { code: "not_captured", field: "id" }
    const left = targets.reduce((sum, { amount, refunded }) => sum + amount - refunded, 0n)
    const amount = partOf(part, left, account.currency, "refund_exceeds_captured")
    if (typeof amount !== "bigint") return amount
    let rest = amount
    for (const target of targets) {
      const free = target.amount - target.refunded
      const given = rest < free ? rest : free
      target.refunded += given
      rest -= given
    }
    return done(account, { id: this.#nextId("ref"), kind: "refund", status: "refunded", amount })
  }

  #nextId(kind: string): string {
    return `${kind}_${String(++this.#count).padStart(8, "0")}`
  }
}

const challengePrefix = "3ds_"

const unknown: Refusal = { code: "unknown_transaction", field: "id" }

const partOf = (part: Part, left: bigint, currency: string, code: string): bigint | Refusal => {
  if (part.currency !== undefined && part.currency !== currency) return { code: "currency_mismatch", field: "currency" }
  const amount = part.amountMinor === undefined ? left : BigInt(part.amountMinor)
  return amount > left || amount === 0n ? { code, field: "amountMinor" } : amount
}

const done = (
  account: Account,
  { amount, ...rest }: Pick<Transaction, "id" | "kind" | "status"> & { readonly amount: bigint }
): Transaction => ({
  ...rest,
  amountMinor: String(amount),
  currency: account.currency,
  parent: account.id,
  ...account.merchantReference === undefined ? {} : { merchantReference: account.merchantReference }
})
