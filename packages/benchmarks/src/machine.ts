import { cpus } from "node:os"

/** What the numbers were taken on: processor, how many of it, and the version of Node. */
export const machine = (): string => {
  const all = cpus()
  return `${all[0]?.model.trim() ?? "unknown processor"} x${all.length}, node ${process.version}, ${process.platform}`
}
