import { pipe } from "effect"
import { Money } from "effect-payments"

declare const usd: Money.Money<"USD">
declare const eur: Money.Money<"EUR">
declare const either: Money.Money<"USD" | "EUR">

// @refuse Argument of type 'Money<"EUR">' is not assignable to parameter of type 'Money<"USD">'
Money.add(usd, eur)

// @refuse Argument of type 'Money<"USD">' is not assignable to parameter of type 'Money<"EUR">'
pipe(usd, Money.subtract(eur))

// @refuse the currency is known only at run time: use addChecked, or narrow it by hasCurrency
Money.add(either, either)

// @refuse the currency is known only at run time: use addChecked, or narrow it by hasCurrency
Money.compare(either, either)

// @refuse Argument of type '"XAU"' is not assignable to parameter of type
Money.makeUnsafe("XAU", "1")
