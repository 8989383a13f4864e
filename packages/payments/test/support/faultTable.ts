/** The tables of docs/fault-matrix.md, and the check that they name the tests that there are. */
import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

export const stores = ["memory", "SQLite", "Postgres", "Redis"] as const

export interface Listed {
  readonly test: string
  readonly where: string
  readonly stores: ReadonlyArray<string>
}

const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

/** The cells of each line of the table with this first heading. */
export const tableOf = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = readFileSync(new URL("../../../../docs/fault-matrix.md", import.meta.url), "utf8").split("\n")
  const first = lines.findIndex((line) => cellsOf(line)[0] === heading)
  const length = lines.slice(first).findIndex((line) => !line.startsWith("|"))
  return first < 0 ? [] : lines.slice(first + 2, first + length).map(cellsOf)
}

export const listed = (): ReadonlyArray<Listed> =>
  tableOf("test").map(([test = "", where = "", given = ""]) => ({
    test,
    where: where.replaceAll("`", ""),
    stores: given === "all" ? stores : given.split(", ")
  }))

interface Task {
  readonly name: string
  readonly type: string
  readonly tasks?: ReadonlyArray<Task>
}

const namesOf = (task: Task): ReadonlyArray<string> =>
  task.type === "test" ? [task.name] : (task.tasks ?? []).flatMap(namesOf)

/** Fails when the table lacks a test of this file, or names one that the file does not have. */
export const checkTable = (isOfThisFile: (listed: Listed) => boolean): void => {
  it("docs/fault-matrix.md names these tests and no others", ({ task }) => {
    const there = namesOf(task.file).filter((test) => test !== task.name)
    assert.deepStrictEqual(listed().filter(isOfThisFile).map(({ test }) => test).toSorted(), there.toSorted())
  })
}
