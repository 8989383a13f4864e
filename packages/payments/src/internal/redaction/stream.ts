/**
 * Scrubs a text that comes in pieces, in bounded memory. Pieces are cut anew where nothing that has to go can lie across
 * the cut.
 *
 * @internal
 */
import type { Span } from "./span.ts"
import { replace } from "./span.ts"
import { find, scrub } from "./text.ts"

/** @internal */
export type Kind = "pan" | "cvv" | "track" | "pinBlock"

/** @internal */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly line: number
  readonly kind: Kind
}

/** @internal */
export interface Piece {
  readonly text: string
  readonly findings: ReadonlyArray<Finding>
}

/** @internal */
export interface Scrubber {
  readonly push: (chunk: string) => ReadonlyArray<Piece>
  readonly end: () => ReadonlyArray<Piece>
}

// What is kept at most, and what of it stays behind: longer than any way of writing a card or a track.
const bufferMax = 65_536
const margin = 2048
// So near to the end a finding might go on, or another may belong to it: the next field of one card is not farther.
const unripeMin = 256
const unripeMax = 1024
const nextMax = 160

/** Before this place in what came in. */
interface Place {
  readonly offset: number
  readonly line: number
}

interface State {
  buffer: string
  /** Where the buffer starts. */
  start: Place
  /** What marks that stand in the buffer already took away, in order. */
  shifts: ReadonlyArray<Shift>
}

interface Shift {
  /** Behind the mark, in the buffer. */
  readonly at: number
  readonly characters: number
  readonly lines: number
}

/** @internal */
export const make = (): Scrubber => {
  const state: State = { buffer: "", start: { offset: 0, line: 1 }, shifts: [] }
  return {
    push: (chunk) => {
      const pieces: Array<Piece> = []
      for (let at = 0; at < chunk.length;) {
        const room = bufferMax - state.buffer.length
        state.buffer += chunk.slice(at, at + room)
        at += room
        if (state.buffer.length >= bufferMax) pieces.push(cut(state))
      }
      return pieces
    },
    end: () =>
      state.buffer === "" ? [] : [{ text: scrub(state.buffer), findings: findingsOf(state, find(state.buffer)) }]
  }
}

/** Gives out the start of a full buffer, and replaces in the rest what was found with the help of the start. */
const cut = (state: State): Piece => {
  const { buffer } = state
  const spans = find(buffer)
  const limit = ripeUntil(spans, buffer.length)
  const ripe = spans.filter(({ end }) => end <= limit)
  const at = clear(spans, cutAt(buffer), limit)
  const head = ripe.filter(({ start }) => start < at)
  const rest = ripe.filter(({ start }) => start >= at)
  const text = replace(buffer.slice(0, at), head)
  const findings = findingsOf(state, ripe)
  const counter = makeCounter(state)
  state.start = counter(at)
  state.shifts = shiftsOf(state, rest, at)
  state.buffer = replace(buffer, [{ start: 0, end: at, mark: "" }, ...rest])
  return { text: head.length === 0 ? text : scrub(text), findings }
}

const ripeUntil = (spans: ReadonlyArray<Span>, length: number): number => {
  let limit = length - unripeMin
  for (let i = spans.length - 1; i >= 0 && limit > length - unripeMax; i--) {
    const { end, start } = spans[i]!
    if (start >= limit) continue
    if (end < limit - nextMax) break
    limit = start
  }
  return limit
}

/** Moves a cut out of a finding: behind it, or before it if it may go on. */
const clear = (spans: ReadonlyArray<Span>, at: number, limit: number): number => {
  const across = spans.find(({ end, start }) => start < at && end > at)
  if (across === undefined) return at
  if (across.end <= limit) return across.end
  // What fills half of the buffer is cut all the same: what is left of it is looked at as it stands.
  return across.start > bufferMax / 2 ? across.start : at
}

/** Tells the places of ascending points of the buffer. */
const makeCounter = ({ buffer, shifts, start }: State): (at: number) => Place => {
  let seen = 0
  let { line } = start
  let shift = 0
  let gone = 0
  return (at) => {
    line += linesIn(buffer, seen, at)
    seen = at
    for (; shift < shifts.length && shifts[shift]!.at <= at; shift++) {
      line += shifts[shift]!.lines
      gone += shifts[shift]!.characters
    }
    return { offset: start.offset + at + gone, line }
  }
}

const findingsOf = (state: State, spans: ReadonlyArray<Span>): ReadonlyArray<Finding> => {
  const placeOf = makeCounter(state)
  return spans.map(({ end, mark, start }) => {
    const { line, offset } = placeOf(start)
    return { start: offset, end: placeOf(end).offset, line, kind: kindOf(mark) }
  })
}

/** What is gone from the buffer once its start is given out and marks stand in the rest. */
const shiftsOf = (state: State, spans: ReadonlyArray<Span>, cut: number): ReadonlyArray<Shift> => {
  const { buffer, shifts } = state
  let gone = cut
  const made = spans.map(({ end, mark, start }): Shift => {
    const characters = end - start - mark.length
    gone += characters
    return { at: end - gone, characters, lines: linesIn(buffer, start, end) }
  })
  const moved = shifts.filter(({ at }) => at > cut).map((shift) => ({
    ...shift,
    at: shift.at - cut -
      spans.reduce((sum, { end, mark, start }) => end <= shift.at ? sum + end - start - mark.length : sum, 0)
  }))
  return [...made, ...moved].sort((a, b) => a.at - b.at)
}

const linesIn = (text: string, from: number, to: number): number => {
  let lines = 0
  for (let at = text.indexOf("\n", from); at !== -1 && at < to; at = text.indexOf("\n", at + 1)) lines++
  return lines
}

/** @internal */
const kindOf = (mark: string): Kind =>
  mark.includes("PAN") ? "pan" : mark.includes("CVV") ? "cvv" : mark.includes("TRACK") ? "track" : "pinBlock"

// --- where to cut

// How far back to look for the end of a line, for a space, and for a quiet place.
const lineMax = 32_768
const spaceMax = 8192
const quietMax = 2048

const cutAt = (text: string): number => {
  const last = text.length - margin
  for (let at = last; at > last - lineMax; at--) if (text.charCodeAt(at - 1) === 10 && isQuiet(text, at)) return at
  for (let at = last; at > last - spaceMax; at--) {
    if (/[\s,;&}]/.test(text.charAt(at - 1)) && isQuiet(text, at)) return at
  }
  for (let at = last; at > last - quietMax; at--) if (isSilent(text, at)) return at
  return last
}

// What may stand between the parts of one number, and a label and its value.
const joint = /[\s\p{P}\p{S}\p{Cf}]/u

/** Whether words of letters stand on both sides, so that no number and no labelled value lies across. */
const isQuiet = (text: string, at: number): boolean => isWordAt(text, at, 1) && isWordAt(text, at - 1, -1)

const isWordAt = (text: string, from: number, step: 1 | -1): boolean => {
  for (let at = from, seen = 0; seen < 16; at += step, seen++) {
    const character = text.charAt(at)
    if (!joint.test(character)) return /[A-Za-z]/.test(character)
  }
  return true
}

const digits = /[0-9]{2}|[^\0-\x7f]|[MNO][DTjz][AEIMQUYcgk][wxyz0-5]/

/** Whether no digits stand around, written or encoded. */
const isSilent = (text: string, at: number): boolean => !digits.test(text.slice(at - 48, at + 48))
