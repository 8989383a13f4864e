/**
 * Reads a length of time as a person writes it.
 *
 * @internal
 */
import * as Duration from "effect/Duration"

const units: Readonly<Record<string, string>> = { s: "seconds", m: "minutes", h: "hours", d: "days" }

/**
 * `36h`, `2d`, `15 minutes`, or undefined.
 *
 * @internal
 */
export const parse = (text: string): Duration.Duration | undefined => {
  const [, count, unit = ""] = /^([0-9]{1,9}) ?([smhd]|seconds?|minutes?|hours?|days?)$/.exec(text) ?? []
  return count === undefined ? undefined : Duration.fromInputUnsafe(`${Number(count)} ${units[unit] ?? unit}` as never)
}

const steps = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000]] as const

/**
 * The two largest units of it, such as `3h 12m`.
 *
 * @internal
 */
export const format = (millis: number): string => {
  const first = steps.findIndex(([, size]) => millis >= size)
  if (first === -1) return "0s"
  let left = millis
  const parts = steps.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(left / size)
    left -= count * size
    return `${count}${unit}`
  })
  return parts.filter((part, index) => index === 0 || !part.startsWith("0")).join(" ")
}
