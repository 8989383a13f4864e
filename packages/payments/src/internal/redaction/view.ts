/**
 * A text with its escapes decoded, and where each character stood. Percent-encoding (RFC 3986, encoded up to four times),
 * escapes of JSON and of programming languages, references of HTML, colours of a terminal.
 *
 * @internal
 */
import { merge, none, type Rule, type Span } from "./span.ts"

const percent = String.raw`%(?:25){0,3}[0-9A-Fa-f]{2}`
const escapes = new RegExp(
  [
    `(?:${percent}){1,64}`,
    String.raw`%u[0-9A-Fa-f]{4}`,
    String.raw`\\{1,8}(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|[nrt"'/])`,
    String.raw`&(?:#[0-9]{1,6}|#[xX][0-9A-Fa-f]{1,5}|[A-Za-z]{2,8});`,
    String.raw`\u001b\[[0-9;]{0,16}[A-Za-z]`
  ].join("|"),
  "g"
)

/** Passes over texts without escapes that could hide a digit or stand between two. */
const mayHold = new RegExp(
  String.raw`${percent}|%u[0-9A-Fa-f]{4}|\\[ux][0-9A-Fa-f{]|[0-9]\\{1,8}[nrt/]|&(?:#|[A-Za-z]{2,8};)|\u001b\[`
)

interface View {
  readonly text: string
  /** Where the character at each place starts, and last where the text ends. */
  readonly starts: ReadonlyArray<number>
}

/** @internal What the rules find behind the escapes of a text, at its place in the text. */
export const behindEscapes = (rules: ReadonlyArray<Rule>): Rule => (text) => {
  if (!mayHold.test(text)) return none
  const { starts, text: decoded } = decode(text)
  return merge(rules.map((rule) => rule(decoded))).map(({ end, mark, start }): Span => ({
    start: starts[start]!,
    end: starts[end]!,
    mark
  }))
}

const decode = (text: string): View => {
  const starts: Array<number> = []
  let out = ""
  const add = (piece: string, at: number) => {
    out += piece
    for (let i = 0; i < piece.length; i++) starts.push(at)
  }
  let end = 0
  for (const { 0: escape, index } of text.matchAll(escapes)) {
    for (let at = end; at < index; at++) starts.push(at)
    out += text.slice(end, index)
    end = index + escape.length
    if (escape.startsWith("%") && escape.charAt(1) !== "u") decodeBytes(escape, index, add)
    else add(decodeOne(escape), index)
  }
  for (let at = end; at <= text.length; at++) starts.push(at)
  return { text: out + text.slice(end), starts }
}

const named: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["apos", "'"],
  ["emsp", "\u2003"],
  ["ensp", "\u2002"],
  ["gt", ">"],
  ["hyphen", "\u2010"],
  ["lt", "<"],
  ["mdash", "\u2014"],
  ["minus", "\u2212"],
  ["nbsp", "\u00a0"],
  ["ndash", "\u2013"],
  ["quot", "\""],
  ["shy", "\u00ad"],
  ["thinsp", "\u2009"],
  ["zwj", "\u200d"],
  ["zwnj", "\u200c"]
])

const decodeOne = (escape: string): string => {
  if (escape.startsWith("\u001b")) return " "
  if (escape.startsWith("&")) {
    const body = escape.slice(1, -1)
    if (!body.startsWith("#")) return named.get(body.toLowerCase()) ?? escape
    return fromCode(/^#x/i.test(body) ? parseInt(body.slice(2), 16) : parseInt(body.slice(1), 10))
  }
  const body = escape.startsWith("%") ? escape.slice(1) : escape.replace(/^\\+/, "")
  const hex = /^[ux]\{?([0-9A-Fa-f]+)/.exec(body)?.[1]
  return hex === undefined ? controls[body] ?? body : fromCode(parseInt(hex, 16))
}

const controls: { readonly [letter: string]: string } = { n: "\n", r: "\r", t: "\t" }

const fromCode = (code: number): string => code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd"

/** Percent-encoded bytes as UTF-8, and what is none as Latin-1. */
const decodeBytes = (escape: string, index: number, add: (piece: string, at: number) => void): void => {
  const bytes = Array.from(escape.matchAll(/%(?:25)*?([0-9A-Fa-f]{2})(?=%|$)/g), ({ 1: hex, index }) => ({
    at: index,
    byte: parseInt(hex ?? "", 16)
  }))
  for (let i = 0; i < bytes.length;) {
    const { at, byte } = bytes[i]!
    const more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0
    const rest = bytes.slice(i + 1, i + 1 + more)
    const isWhole = rest.length === more && rest.every(({ byte }) => byte >> 6 === 2)
    const code = rest.reduce((code, { byte }) => (code << 6) | (byte & 0x3f), byte & (more === 0 ? 0xff : 0x3f >> more))
    add(fromCode(isWhole ? code : byte), index + at)
    i += isWhole ? 1 + more : 1
  }
}
