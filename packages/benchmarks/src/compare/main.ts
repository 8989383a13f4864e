// `main.ts NAME [--json]` puts one question after the other to a part of this toolkit and to its peers, by running them, and
// prints the tables of the docs. Whatever the verdicts: it ends with 0 when all were asked.
import { parseArgs } from "node:util"
import { type Comparison, format, formatContract } from "./table.ts"

const comparisons: Record<string, () => Promise<{ readonly run: () => Promise<Comparison> }>> = {
  idempotency: () => import("./idempotency/run.ts"),
  saga: () => import("./saga/run.ts")
}

const usage = `usage: npm run compare -- NAME [--json]\nnames: ${Object.keys(comparisons).join(", ")}`

const readArguments = () => {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: { json: { type: "boolean", default: false } }
    })
    const [name = "", ...more] = positionals
    const load = Object.hasOwn(comparisons, name) ? comparisons[name] : undefined
    return load !== undefined && more.length === 0 ? { load, json: values.json } : undefined
  } catch {
    return undefined
  }
}

// What it has started ends with it.
process.once("SIGTERM", () => process.exit(143))

const wanted = readArguments()
if (wanted === undefined) {
  console.error(usage)
  process.exitCode = 2
} else {
  const comparison = await (await wanted.load()).run()
  const { contract } = comparison
  const tables = [format(comparison), ...(contract === undefined ? [] : [formatContract(contract)])]
  console.log(wanted.json ? JSON.stringify(comparison, null, 2) : tables.join("\n\n"))
}
