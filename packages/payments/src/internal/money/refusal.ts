/** Turns what was found into the errors of the public functions. */
import * as Result from "effect/Result"
import {
  AmountMalformed,
  AmountOutOfRange,
  AmountTooLong,
  MoneyError,
  NoMinorUnit,
  type Reason,
  TooManyFractionDigits,
  UnknownCurrency
} from "../../MoneyError.ts"
import { withoutMinorUnit } from "./currencies.ts"
import { digitsMax, type Read, textLengthMax } from "./decimal.ts"

export const fail = (reason: Reason): Result.Result<never, MoneyError> => Result.fail(new MoneyError({ reason }))

/** A text that is no amount. */
export const amount = (read: Exclude<Read, bigint>, currency = "", digits = 0): MoneyError =>
  new MoneyError({ reason: reasonOf(read, currency, digits) })

/** A code that is no currency to pay in. Only what looks like a code is repeated. */
export const currency = (code: string): MoneyError =>
  new MoneyError({
    reason: withoutMinorUnit.has(code)
      ? new NoMinorUnit({ code })
      : new UnknownCurrency(/^[A-Za-z]{3}$/.test(code) ? { code } : {})
  })

const reasonOf = (read: Exclude<Read, bigint>, currency: string, digits: number): Reason => {
  switch (read) {
    case "TooLong":
      return new AmountTooLong({ limit: textLengthMax })
    case "OutOfRange":
      return new AmountOutOfRange({ digitsMax })
    case "TooManyFractionDigits":
      return new TooManyFractionDigits({ currency, digitsMax: digits })
    default:
      return new AmountMalformed({ fault: read })
  }
}
