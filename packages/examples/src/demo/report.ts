/**
 * How the outcomes are shown: a line each as they come, and the sum at the end.
 */
import type { Outcome } from "./Scenario.ts"

export const heading = (
  gateway: { readonly pid: number; readonly baseUrl: string },
  services: ReadonlyArray<string>,
  stores: string
): string =>
  `One purchase, one charge, whatever goes wrong.

gateway   simulator, process ${gateway.pid} at ${gateway.baseUrl}
services  ${services.join(", ")}
records   ${stores}; SQLite of its own for each service
charges   counted by the gateway, since the purchase began

         ${"what goes wrong".padEnd(nameWidth)}  charges  what happened: why it matters`

const nameWidth = 31

export const line = ({ chargesInLedger, detail, name, ok, shown }: Outcome, index: number): string =>
  [headOf({ chargesInLedger, detail, name, ok }, index), ...shown.map((line) => `${" ".repeat(11)}${line}`)].join("\n")

const headOf = ({ chargesInLedger, detail, name, ok }: Omit<Outcome, "shown">, index: number): string =>
  `${ok ? "ok  " : "FAIL"}${String(index + 1).padStart(3)}  ${name.padEnd(nameWidth)}  ${
    String(chargesInLedger).padStart(7)
  }  ${detail}`

export const summary = (outcomes: ReadonlyArray<Outcome>, charges: number, millis: number): string => {
  const expected = outcomes.filter(({ ok }) => ok).length
  return `
${expected} of ${outcomes.length} as expected, in ${
    (millis / 1000).toFixed(1)
  } s. The gateway charged ${charges} times in all.`
}

export const json = (outcomes: ReadonlyArray<Outcome>): string => JSON.stringify({ scenarios: outcomes }, undefined, 2)
