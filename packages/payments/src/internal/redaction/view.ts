/**
 * A text with its escapes decoded, and where each character stood. Percent-encoding (RFC 3986, encoded up to four times),
 * escapes of JSON and of programming languages, references of HTML, colours of a terminal.
 *
 * @internal
 */
import { none, type Rule, type Span } from "./span.ts"

const percent = String.raw`%(?:25){0,3}[0-9A-Fa-f]{2}`
const others = [
  String.raw`%u[0-9A-Fa-f]{4}`,
  String.raw`\\{1,8}(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|0[67][0-7]|[nrt"'/])`,
  String.raw`&(?:amp;){0,3}(?:#[0-9]{1,8}|#[xX][0-9A-Fa-f]{1,8}|[A-Za-z]{2,8});`,
  String.raw`<(?:wbr|br|\/?(?:b|i|u|em|strong|span|font|small|code|nobr|mark|bdi|sub|sup))(?:\s[^<>]{0,96})?\/?>`,
  String.raw`\u001b\[[0-9;]{0,16}[A-Za-z]`
].join("|")
const escapes = new RegExp(`(?:${percent}){1,64}|${others}`, "g")

// Of escapes those count that may be a digit, stand between two, or between a label and its value, or are the sign
// between the fields of a track.
const digit = String.raw`%(?:25){0,3}3[0-9]|%(?:25){0,3}(?:[eE][fF]%(?:25){0,3}[bB][cC]|[dD][9bB])%|` +
  String.raw`\\{1,8}(?:[ux](?:00)?3[0-9]|u(?:[fF]{2}1|06[6fF])|u\{|0[67][0-7])|` +
  String.raw`&(?:amp;){0,3}#(?:0{0,4}(?:4[89]|5[0-7])|[xX]0{0,4}3[0-9]|[0-9]{4,5});`
// An escape that ends in a digit, right before one: what it stands for is none of the number.
const beforeDigits = String.raw`(?:%(?:25){0,3}[0-9A-Fa-f][0-9]|\\{1,8}(?:u[0-9A-Fa-f]{3}|x[0-9A-Fa-f])[0-9])[0-9]{3}`
const labels = "[cC][vV]|[cC][oO][dD][eE]|[cC][iI][dD]|[cC][sS][cC]|[cC][aA][vV]|[bB][lL][oO][cC][kK]"
// Each begins at an escape, of which there are few: what stands before is looked at from there.
const mayHold = new RegExp(
  [
    digit,
    beforeDigits,
    `(?<=[0-9][ \\t-]{0,2})(?:${percent}|${others}){1,8}[ \\t-]{0,2}[0-9]`,
    "(?<=[0-9])%(?:25){0,3}5[eE]",
    String.raw`(?<=(?:${labels})[a-zA-Z0-9]{0,2}[\s:="']{0,3})[%\\&]`,
    // A name and its value with an encoded sign between.
    String.raw`(?<=[A-Za-z0-9\]\u0080-\uffff])%(?:25){0,3}3[aAdD](?:%(?:25){0,3}2[027])*[0-9]{3}`
  ].join("|")
)

interface View {
  readonly text: string
  /** Where runs of characters start in it, in order, and where they stood. A run of an escape is one character. */
  readonly runs: ReadonlyArray<{ readonly at: number; readonly from: number; readonly isEscape: boolean }>
}

/** @internal What a rule finds behind the escapes of a text, at its place in the text. */
export const behindEscapes = (rule: Rule): Rule => (text) =>
  mayHold.test(text) ? findIn(decode(text, escapes, decodeEscape), rule) : none

const findIn = (view: View, rule: Rule): ReadonlyArray<Span> =>
  rule(view.text).map(({ end, mark, start }): Span => ({
    start: placeOf(view, start),
    end: placeOf(view, end),
    mark
  }))

// Quoted-printable (RFC 2045) writes a byte behind the sign that also assigns: only bytes that stand between digits are
// read, those that are digits where four stand together, and a sign that is itself written so.
const softBreak = String.raw`=\r?\n`
const printables = new RegExp(
  String.raw`(?<=[0-9])(?:=(?:20|2D|2E|2F|A0|AD|C2=A0|C2=AD|E2=80=[89][0-9A-F])|${softBreak}){1,4}(?=[0-9])` +
    "|=20(?=[0-9]{1,8}=(?:20|2D|C2|E2))" +
    String.raw`|(?:=3[0-9](?:=20|=2D|${softBreak}){0,2}){4,64}|=3D(?:${softBreak})?(?=[0-9"'])`,
  "g"
)
const printable = /[0-9](?:=\r?\n)?=(?:2|A|C2|E2)|(?:=3[0-9]){3}|=3D/

/** @internal What a rule finds in quoted-printable, at its place in the text. */
export const inQuotedPrintable = (rule: Rule): Rule => (text) =>
  printable.test(text) ? findIn(decode(text, printables, decodePrintable), rule) : none

const decodePrintable: Decode = (escape, index, add) =>
  decodeBytes(escape.replace(/=\r?\n/g, (line) => line.length === 2 ? "  " : "   ").replaceAll("=", "%"), index, add)

/** Where a character of the view stood; the second half of one that takes two is where the first is. */
const placeOf = ({ runs }: View, at: number): number => {
  let low = 0
  let high = runs.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (runs[middle]!.at <= at) low = middle
    else high = middle - 1
  }
  const run = runs[low]!
  return run.isEscape ? run.from : run.from + at - run.at
}

type Add = (piece: string, from: number, isEscape: boolean) => void

/** Adds what an escape at a place stands for. */
type Decode = (escape: string, index: number, add: Add) => void

const decodeEscape: Decode = (escape, index, add) =>
  escape.startsWith("%") && escape.charAt(1) !== "u"
    ? decodeBytes(escape, index, add)
    : add(decodeOne(escape), index, true)

const decode = (text: string, expression: RegExp, decodeAt: Decode): View => {
  const runs: Array<View["runs"][number]> = []
  let out = ""
  const add: Add = (piece, from, isEscape) => {
    if (piece !== "") runs.push({ at: out.length, from, isEscape })
    out += piece
  }
  let end = 0
  for (const { 0: escape, index } of text.matchAll(expression)) {
    add(text.slice(end, index), end, false)
    end = index + escape.length
    decodeAt(escape, index, add)
  }
  add(text.slice(end), end, false)
  runs.push({ at: out.length, from: text.length, isEscape: true })
  return { text: out, runs }
}

const named: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["apos", "'"],
  ["colon", ":"],
  ["emsp", "\u2003"],
  ["ensp", "\u2002"],
  ["equals", "="],
  ["gt", ">"],
  ["hyphen", "\u2010"],
  ["lt", "<"],
  ["hairsp", "\u200a"],
  ["mdash", "\u2014"],
  ["minus", "\u2212"],
  ["nbsp", "\u00a0"],
  ["ndash", "\u2013"],
  ["newline", "\n"],
  ["numsp", "\u2007"],
  ["puncsp", "\u2008"],
  ["quot", "\""],
  ["shy", "\u00ad"],
  ["sol", "/"],
  ["tab", "\t"],
  ["thinsp", "\u2009"],
  ["zwj", "\u200d"],
  ["zwnj", "\u200c"]
])

const decodeOne = (escape: string): string => {
  if (escape.startsWith("\u001b") || escape.startsWith("<")) return " "
  if (escape.startsWith("&")) {
    const body = escape.slice(1, -1).replace(/^(?:amp;)+/, "")
    if (!body.startsWith("#")) return named.get(body.toLowerCase()) ?? escape
    return fromCode(/^#x/i.test(body) ? parseInt(body.slice(2), 16) : parseInt(body.slice(1), 10))
  }
  const body = escape.startsWith("%") ? escape.slice(1) : escape.replace(/^\\+/, "")
  if (/^0[67]/.test(body)) return fromCode(parseInt(body, 8))
  const hex = /^[ux]\{?([0-9A-Fa-f]+)/.exec(body)?.[1]
  return hex === undefined ? controls[body] ?? body : fromCode(parseInt(hex, 16))
}

const controls: { readonly [letter: string]: string } = { n: "\n", r: "\r", t: "\t" }

const fromCode = (code: number): string => code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd"

/** Percent-encoded bytes as UTF-8. What is none is Latin-1, or behind an encoded percent sign not encoded once more. */
const decodeBytes: Decode = (escape, index, add) => {
  const bytes = Array.from(
    escape.matchAll(/%((?:25)*?)([0-9A-Fa-f]{2})(?=[% ]|$)/g),
    ({ 1: signs, 2: hex = "", index }) => ({
      at: index,
      byte: parseInt(hex, 16),
      hex,
      isSign: signs !== ""
    })
  )
  for (let i = 0; i < bytes.length;) {
    const { at, byte, hex, isSign } = bytes[i]!
    const more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0
    const rest = bytes.slice(i + 1, i + 1 + more)
    const isWhole = rest.length === more && rest.every(({ byte }) => byte >> 6 === 2)
    const code = rest.reduce((code, { byte }) => (code << 6) | (byte & 0x3f), byte & (more === 0 ? 0xff : 0x3f >> more))
    if (isSign && byte > 0x7f && (more === 0 || !isWhole)) add(`%${hex}`, index + at, true)
    else add(fromCode(isWhole ? code : byte), index + at, true)
    i += isWhole ? 1 + more : 1
  }
}
