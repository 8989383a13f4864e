// The links of the Markdown files: every relative one leads to a file of the repository, and its #fragment to a heading.
import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"

export interface Link {
  /** The line it stands in, from 1. */
  readonly line: number
  readonly target: string
}

/** The text without code, line by line: what looks like a link inside code is none. */
const proseOf = (text: string): ReadonlyArray<string> => {
  let fence: string | undefined
  return text.split("\n").map((line) => {
    const ticks = /^\s*(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence === undefined && ticks === undefined) return line.replace(/(`+)(?!`).*?[^`]\1(?!`)/g, "")
    if (fence === undefined) fence = ticks
    else if (ticks !== undefined && ticks.startsWith(fence)) fence = undefined
    return ""
  })
}

/** Inline links and images, and the definitions of reference links. */
export const linksOf = (text: string): ReadonlyArray<Link> =>
  proseOf(text).flatMap((prose, i) => {
    const inline = [...prose.matchAll(/\]\(\s*<?([^\s<>()]+(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/g)]
    const definition = /^\s{0,3}\[[^\]]+\]:\s+<?([^\s<>]+)>?/.exec(prose)
    return [...inline, ...definition === null ? [] : [definition]].map(([, target = ""]) => ({ line: i + 1, target }))
  })

/** The fragments of a file's headings, as GitHub makes them. */
export const anchorsOf = (text: string): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  const anchors = new Set<string>()
  // Headings keep their inline code, so only fences are left out here.
  const lines = text.split("\n")
  proseOf(text).forEach((prose, i) => {
    const heading = prose.startsWith("#") ? /^#{1,6}\s+(.*?)\s*#*\s*$/.exec(lines[i] ?? "")?.[1] : undefined
    if (heading === undefined) return
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-")
    const before = seen.get(slug) ?? 0
    seen.set(slug, before + 1)
    anchors.add(before === 0 ? slug : `${slug}-${before}`)
  })
  return anchors
}

/** What is wrong with the links of a file, one sentence each. */
export const faultsOf = (path: string): ReadonlyArray<string> =>
  linksOf(readFileSync(path, "utf8")).flatMap(({ line, target }) => {
    const fault = faultOf(path, target)
    return fault === undefined ? [] : [`${path}:${line}: ${target} ${fault}`]
  })

const faultOf = (path: string, target: string): string | undefined => {
  // Another site: not for a test to ask.
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined
  if (target.startsWith("/")) return "is not relative"
  const [name = "", fragment] = target.split("#")
  const file = name === "" ? path : normalize(join(dirname(path), decodeURIComponent(name)))
  if (relative(".", file).startsWith("..")) return "leads out of the repository"
  if (!existsSync(file)) return "leads nowhere"
  if (fragment === undefined) return undefined
  if (!statSync(file).isFile() || !file.endsWith(".md")) return "has a fragment, but no Markdown file to find it in"
  return anchorsOf(readFileSync(file, "utf8")).has(fragment) ? undefined : "names no heading"
}
