import manifest from "../../../package.json" with { type: "json" }
import type { Contender } from "./contender.ts"
import { ours } from "./ours.ts"
import { powertools, powertoolsValidating } from "./powertools.ts"

const version = manifest.dependencies["@aws-lambda-powertools/idempotency"]

export const contenders: ReadonlyArray<Contender> = [powertools(version), powertoolsValidating(version), ours]
