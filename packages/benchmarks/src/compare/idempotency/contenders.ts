import manifest from "../../../package.json" with { type: "json" }
import type { Contender } from "./contender.ts"

const version = manifest.dependencies["@aws-lambda-powertools/idempotency"]

/** What the contenders are called. */
export const titles = {
  powertools: `Powertools ${version}`,
  powertoolsValidating: `${version} validating payloads`,
  ours: "effect-payments"
}

export type Contending = keyof typeof titles

/** A process loads the one that it needs. */
export const load = async (name: Contending): Promise<Contender> =>
  name === "ours" ? (await import("./ours.ts")).ours : (await import("./powertools.ts"))[name]
