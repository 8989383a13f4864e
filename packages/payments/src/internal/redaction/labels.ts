/**
 * Security codes, PINs and PIN blocks behind their labels. What stands between a label and its value is read character by
 * character over a bounded distance, so the time is linear.
 *
 * @internal
 */
import { marks, none, type Rule, type Span } from "./span.ts"

const start = String.raw`(?<![\p{L}\p{N}])`

// Names that stand for nothing else, alone or within a longer name; some languages write theirs out.
const ownLabels = [
  "cv[vc](?:2|1(?!\\d))?",
  `${start}(?:ccv|cvx)2?`,
  `${start}(?:c\\.v\\.[vc]|c v [vc]|(?:card|cc)?[\\s_-]?cv[dn])2?`,
  "ｃｖ[ｖｃ]",
  String.raw`security[\s_-]?code|signature[\s_-]?panel[\s_-]?code|${start}[34][\s-]?digit[\s_-]?code`,
  String.raw`${start}sec[\s_-]?code`,
  String
    .raw`card[\s_-]?(?:verification|validation|security|check)[\s_-]?(?:value|code|number|num|digits?)2?`,
  String.raw`verification[\s_-]?value`,
  "sicherheitscode|pr(?:ü|ue)f(?:nummer|ziffer|zahl|code)",
  String.raw`code de s[eé]curit[eé]|cryptogramme(?: visuel)?`,
  String.raw`c[oó]digo de (?:seguridad|seguran[cç]a)|codice di sicurezza`,
  "beveiligingscode|veiligheidscode|säkerhetskod|sikkerhe[dt]skode|kod bezpieczeństwa|код безопасности|güvenlik kodu",
  "安全码|安全碼|セキュリティコード|보안코드"
].join("|")
const suffix = String.raw`(?:[\s_-]?(?:code|value|val|number|num|no|nr|digits?|data|field|input)(?!\p{L}))?`
const ownLabel = new RegExp(`(?:${ownLabels})${suffix}`, "giu")

// Most texts have none of these: the first expression is quick, the second exact.
const mayBegin =
  /[cCkK](?:[vVcCoOóÓ.aArR ][vVcCnNdDrRyYtTxX]|[iI][dD]|[sS][cC]|[vV]2)|[uUüÜ][eEfF][fFnNzZcC]|[安セ보бБｃＣ]/
const mayBeOwn = new RegExp(
  [
    "[cC][vV][vVcCnNdDxX]|[cC][cC][vV]|[cC][. ][vV]|[cC][oOóÓ][dD]|[kK][oO][dD]|[cC][aA][rR][dD][\\s_-]?[vVsScC]",
    "[cC][aA][tT][iI][oO][nN][\\s_-]?[vV]|[cC][rR][yY][pP][tT]|(?:[üÜ]|[uU][eE])[fF][nNzZcC]|[安セ보бБｃＣ]"
  ].join("|")
)

// What stands between a label and its value: quotes, escaped or not, and one sign or word of assignment.
const assigned = String
  .raw`[\\"'\])]{0,4}(?:\s{0,4}(?:=>|->|[:=,>]|%3a|%3d|is|was)\s{0,4}|\s{1,4}|\s{0,4}\()[\\"'[(<]{0,4}`

// Names that also stand for other things: only what is plainly assigned to them is taken.
const sharedLabels = String.raw`${start}(?:cid|csc(?:[\s_-]?code)?|cv2|cav2?|verification_?code|(?:x_)?card[\s_-]?code)`
const sharedLabel = new RegExp(`((?:${sharedLabels})${assigned})\\p{Nd}{3,4}(?!\\p{Nd})`, "giu")
const mayBeShared = /[cC](?:[iI][dD]|[sS][cC]|[vV]2|[aA](?:[vV]|[rR][dD][\s_-]?[cC][oO]|[tT][iI][oO][nN]_?[cC][oO]))/

/** @internal */
export const cvvs: Rule = (text) => {
  if (!mayBegin.test(text)) return none
  const own = mayBeOwn.test(text)
    ? Array.from(text.matchAll(ownLabel)).flatMap((match) => cvvBehind(text, match))
    : none
  const shared = mayBeShared.test(text) ? labelled(text, sharedLabel, marks.cvv) : none
  return own.length + shared.length < 2 ? own.concat(shared) : inOrder(own.concat(shared))
}

/** Two labels may have one value. */
const inOrder = (spans: ReadonlyArray<Span>): ReadonlyArray<Span> =>
  [...spans].sort((a, b) => a.start - b.start).filter(({ start }, index, all) =>
    index === 0 || start >= all[index - 1]!.end
  )

const cvvBehind = (text: string, { 0: label, index }: RegExpExecArray): ReadonlyArray<Span> => {
  const end = index + label.length
  // The mark of a code that was taken out is no label of what follows.
  if (text.startsWith("[CVV]", index - 1) && text.charAt(end + 1) !== "=") return none
  const at = valueAt(text, index, end)
  if (at === undefined) return none
  code.lastIndex = at
  if (code.exec(text) === null) return none
  const { lastIndex } = code
  // `cvc123abc` is a word.
  return at === end && /\p{L}/u.test(text.charAt(lastIndex)) ? none : [{ start: at, end: lastIndex, mark: marks.cvv }]
}

// Together, or digit by digit.
const code = /\p{Nd}{3,4}(?!\p{Nd})|\p{Nd}(?:[ .-]\p{Nd}){2,3}(?![ .-]?\p{Nd})/yu

// --- from a label to its value

// How far a value may stand behind its label.
const gapMax = 96
const linesMax = 2

const joints: ReadonlySet<string> = new Set("\"'`\\:=,>;|#~*.…–—−-([{<])/：＝，；→•·_")
const beforeNext: ReadonlySet<string> = new Set(",;，；")
// What may stand between: words that assign or name the value, and behind a comma only those of a field of its own.
const words: ReadonlySet<string> = new Set([
  ..."is was as are equals eq ist lautet est es è".split(" "),
  ..."entered provided given supplied mismatch invalid wrong incorrect".split(" "),
  ..."code number num no nr digits".split(" ")
])
const fieldWords: ReadonlySet<string> = new Set("value val v data content text".split(" "))

const letters = /\p{L}+/yu
const digit = /\p{Nd}/u
// Spaces, and characters that show nothing.
const blank = /[\s\p{Cf}]/u
const attribute = /[A-Za-z][\w-]{0,23}\s?=\s?(\\{0,4}["'])[^"'<>\\]{0,48}\1/y

/** Where the first digit behind a label is, if nothing stands between that parts the two. */
const valueAt = (text: string, start: number, end: number): number | undefined => {
  const limit = Math.min(text.length, end + gapMax)
  let lines = 0
  let isNext = false
  for (let at = isInTag(text, start) ? tagEnd(text, end) : end; at < limit;) {
    const character = text.charAt(at)
    const width = wordWidth(text, at, isNext)
    if (width > 0) {
      at += width
      continue
    }
    if (digit.test(character)) return at > end || isBare(text, start, end) ? at : undefined
    // What is masked is no code, and the next column of a table is another field.
    if (text.startsWith("***", at) || text.startsWith("| ", at)) return undefined
    if (character === "\n" && ++lines > linesMax) return undefined
    if (beforeNext.has(character)) isNext = true
    if (!joints.has(character) && !blank.test(character)) return undefined
    at++
  }
  return undefined
}

const isInTag = (text: string, start: number): boolean =>
  /<(?:[\w.-]{0,24}:)?[\w.-]{0,24}$/.test(text.slice(Math.max(0, start - 50), start))

/** Behind the tag whose name ends here, if it has attributes; one that is not closed near is none. */
const tagEnd = (text: string, end: number): number => {
  if (!/\s/.test(text.charAt(end))) return end
  const close = text.slice(end, end + gapMax).indexOf(">")
  return close === -1 ? end : end + close
}

/** How long the word or attribute is that may stand here; 0 if none does. */
const wordWidth = (text: string, at: number, isNext: boolean): number => {
  letters.lastIndex = at
  const word = letters.exec(text)?.[0].toLowerCase()
  if (word === undefined) return 0
  if (fieldWords.has(word) || (!isNext && words.has(word))) return word.length
  attribute.lastIndex = at
  return attribute.exec(text)?.[0].length ?? 0
}

/** `cvv123`: a short name that begins a word, right before its digits. */
const isBare = (text: string, start: number, end: number): boolean =>
  /^cv[vc]2?$/i.test(text.slice(start, end)) && !/[\p{L}\p{N}]/u.test(text.charAt(start - 1))

// --- PINs and PIN blocks

const format = String.raw`(?:\s{0,2}\(?(?:iso|ansi|format|fmt)[\s_-]?(?:9564[\s_-]?)?[0-4]?\)?)?`
const block =
  "(?:0x)?(?:[0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{4}(?:[ :-][0-9a-f]{4}){3}|[0-9a-f]{2}(?:[ :-][0-9a-f]{2}){7})(?![0-9a-f])"
const blockLabel = [
  String.raw`pin[\s_-]?(?:block|blk|data)(?:[\s_-]?(?:hex|value|data))?`,
  String.raw`encrypted[\s_-]?pin`,
  `${start}(?:pin|epb)`,
  // German accounts begin with DE52 too.
  String.raw`${start}(?:DE|F|P|field|bit|element)[\s_.-]?0{0,2}52(?=[\\"'\])]{0,4}\s{0,4}[:=>])`
].join("|")
const labelledBlock = new RegExp(`((?:${blockLabel})${format}${assigned})(?:${block}|[0-9a-z+/]{11}=(?!=))`, "giu")
const labelledPin = new RegExp(
  String
    .raw`(${start}pin(?:[\s_-]?(?:code|number|no))?[\\"'\])]{0,4}\s{0,4}[:=]\s{0,4}[\\"'[(]{0,4})\p{Nd}{4,5}(?![\p{L}\p{N}.])`,
  "giu"
)
const mayBeginPin = /[pP](?:[iI][nN]|[bB](?<=[eE]..))|5(?=2)/
const mayBePin = /[pP][iI][nN]|[eE][pP][bB]|52[\\"'\])]{0,4}\s{0,4}[:=>]/

/** @internal */
export const pinBlocks: Rule = (text) => {
  if (!mayBeginPin.test(text) || !mayBePin.test(text)) return none
  const blocks = labelled(text, labelledBlock, marks.pinBlock)
  return inOrder([...blocks, ...labelled(text, labelledPin, marks.pinBlock)])
}

const labelled = (text: string, expression: RegExp, mark: string): ReadonlyArray<Span> =>
  Array.from(text.matchAll(expression), ({ 0: whole, 1: label = "", index }) => ({
    start: index + label.length,
    end: index + whole.length,
    mark
  }))
