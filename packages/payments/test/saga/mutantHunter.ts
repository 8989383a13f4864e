/** Hunts each mutant of the engine in a bundle of its own; one line of JSON for each. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { rolldown } from "rolldown"
import { type Mutant, mutants } from "./engineMutants.ts"

const here = fileURLToPath(new URL(".", import.meta.url))
const saga = join(here, "../../src/internal/saga")
// Beside the packages, where the bundles find what they do not contain.
const directory = mkdtempSync(join(here, "../../../../node_modules/.saga-mutants-"))

const mutate = ({ file, from, to }: Mutant): string => {
  const parts = readFileSync(join(saga, file), "utf8").split(from)
  if (parts.length !== 2) throw new Error(`the text to replace stands ${parts.length - 1} times in ${file}`)
  return parts.join(to)
}

const bundle = async (mutant: Mutant | undefined, name: string): Promise<string> => {
  const text = mutant === undefined ? undefined : mutate(mutant)
  const build = await rolldown({
    input: fileURLToPath(new URL("mutantEntry.ts", import.meta.url)),
    external: [/^effect($|\/)/, /^@effect\//, /^node:/],
    resolve: { conditionNames: ["@effect-payments/source", "import"] },
    plugins: [{
      name: "mutant",
      load: (id) => text !== undefined && id === join(saga, mutant?.file ?? "") ? text : null
    }]
  })
  const file = join(directory, `${name}.mjs`)
  await build.write({ file, format: "esm", codeSplitting: false })
  await build.close()
  return file
}

const hunt = async (mutant: Mutant | undefined, name: string) => {
  try {
    const { hunt } = await import(pathToFileURL(await bundle(mutant, name)).href) as {
      readonly hunt: () => Promise<string | undefined>
    }
    return { found: await hunt() }
  } catch (error) {
    return { error: String(error) }
  }
}

try {
  const only = process.argv[2]
  for (const [index, mutant] of [...mutants, undefined].entries()) {
    const name = mutant?.name ?? "nothing wrong"
    if (only !== undefined && !name.includes(only)) continue
    console.log(JSON.stringify({ name, ...await hunt(mutant, `${basename(directory)}-${index}`) }))
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}
