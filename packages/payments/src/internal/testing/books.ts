/**
 * What a gateway may do with money: the rules that `TestGateway` keeps.
 *
 * @internal
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Result from "effect/Result"
import * as Money from "../../Money.ts"
import { InvalidRequest, type Reason } from "../../PaymentError.ts"
import {
  type AuthorizeRequest,
  type CaptureRequest,
  type RefundRequest,
  Transaction,
  type TransactionId,
  type VoidRequest
} from "../../PaymentGateway.ts"

/** @internal */
export type Answer = Result.Result<Transaction, Reason>

interface Taken {
  readonly id: TransactionId
  readonly amount: BigDecimal.BigDecimal
  refunded: BigDecimal.BigDecimal
}

interface Authorization {
  readonly id: TransactionId
  readonly money: Money.Money
  readonly captures: Array<Taken>
  voided: boolean
}

/** @internal */
export interface Books {
  readonly authorize: (request: AuthorizeRequest) => Answer
  readonly capture: (request: CaptureRequest) => Answer
  readonly void: (request: VoidRequest) => Answer
  readonly refund: (request: RefundRequest) => Answer
}

/** @internal Ids are numbered under a prefix, so that a run repeats exactly. */
export const make = (prefix: string): Books => {
  const authorizations = new Map<string, Authorization>()
  const byCapture = new Map<string, Authorization>()
  let count = 0
  const nextId = (kind: string) => `${prefix}_${kind}_${++count}` as TransactionId
  const find = (...found: ReadonlyArray<Authorization | undefined>): Result.Result<Authorization, Reason> => {
    const authorization = found.find((candidate) => candidate !== undefined)
    return authorization === undefined ? refuse("unknown_transaction", "transactionId") : Result.succeed(authorization)
  }
  return {
    authorize: ({ capture, money }) =>
      Result.map(positive(money), () => {
        const id = nextId("auth")
        const captures = capture === true ? [{ id, amount: money.amount, refunded: zero }] : []
        authorizations.set(id, { id, money, captures, voided: false })
        return new Transaction({ id, kind: "authorize", status: capture === true ? "captured" : "authorized", money })
      }),
    capture: ({ money, transactionId }) =>
      Result.gen(function*() {
        const authorization = yield* find(authorizations.get(transactionId))
        if (authorization.voided) return yield* refuse("already_voided", "transactionId")
        const left = BigDecimal.subtract(authorization.money.amount, takenOf(authorization))
        const amount = yield* part(money, left, authorization.money.currency, "capture_exceeds_authorized")
        const id = nextId("cap")
        authorization.captures.push({ id, amount, refunded: zero })
        byCapture.set(id, authorization)
        return yield* done(id, "capture", "captured", amount, authorization)
      }),
    void: ({ transactionId }) =>
      Result.gen(function*() {
        const authorization = yield* find(authorizations.get(transactionId))
        if (authorization.voided) return yield* refuse("already_voided", "transactionId")
        if (authorization.captures.length > 0) return yield* refuse("already_captured", "transactionId")
        authorization.voided = true
        return yield* done(nextId("void"), "void", "voided", authorization.money.amount, authorization)
      }),
    refund: ({ money, transactionId }) =>
      Result.gen(function*() {
        const authorization = yield* find(authorizations.get(transactionId), byCapture.get(transactionId))
        // The id of an authorization stands for all that was captured under it.
        const captures = authorization.captures.filter(({ id }) => id === transactionId)
        const targets = captures.length > 0 ? captures : authorization.captures
        if (targets.length === 0) return yield* refuse("not_captured", "transactionId")
        const left = BigDecimal.sumAll(targets.map(({ amount, refunded }) => BigDecimal.subtract(amount, refunded)))
        const amount = yield* part(money, left, authorization.money.currency, "refund_exceeds_captured")
        giveBack(targets, amount)
        return yield* done(nextId("ref"), "refund", "refunded", amount, authorization)
      })
  }
}

const zero = BigDecimal.fromBigInt(0n)

const refuse = (code: string, field: string): Result.Result<never, Reason> =>
  Result.fail(new InvalidRequest({ code, field }))

const positive = (money: Money.Money): Result.Result<void, Reason> =>
  BigDecimal.isPositive(money.amount) ? Result.void : refuse("amount_not_positive", "money")

const takenOf = (authorization: Authorization) => BigDecimal.sumAll(authorization.captures.map(({ amount }) => amount))

/** The amount asked for, or all that is left. */
const part = (
  money: Money.Money | undefined,
  left: BigDecimal.BigDecimal,
  currency: Money.Currency,
  code: string
): Result.Result<BigDecimal.BigDecimal, Reason> => {
  if (money === undefined) return BigDecimal.isPositive(left) ? Result.succeed(left) : refuse(code, "transactionId")
  if (money.currency !== currency) return refuse("currency_mismatch", "money")
  if (!BigDecimal.isPositive(money.amount)) return refuse("amount_not_positive", "money")
  return BigDecimal.isGreaterThan(money.amount, left) ? refuse(code, "money") : Result.succeed(money.amount)
}

const giveBack = (targets: ReadonlyArray<Taken>, amount: BigDecimal.BigDecimal): void => {
  let rest = amount
  for (const target of targets) {
    const given = BigDecimal.min(rest, BigDecimal.subtract(target.amount, target.refunded))
    target.refunded = BigDecimal.sum(target.refunded, given)
    rest = BigDecimal.subtract(rest, given)
  }
}

const done = (
  id: TransactionId,
  kind: Transaction["kind"],
  status: Transaction["status"],
  amount: BigDecimal.BigDecimal,
  { id: parent, money: { currency } }: Authorization
): Answer =>
  Result.mapBoth(Money.fromBigDecimal(currency, amount), {
    onFailure: () => new InvalidRequest({ code: "amount_invalid", field: "money" }),
    onSuccess: (money) => new Transaction({ id, kind, status, money, parent })
  })
