// `node --conditions=@effect-payments/source scripts/redactionScore.ts [FILE] [--wrong]` prints recall and precision of
// the scrubber per category of a corpus; `--wrong` adds the lines that went wrong.
import { parseArgs } from "node:util"
import { format, readCorpus, score, scrubbed } from "../packages/payments/test/redaction/corpus.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { wrong: { type: "boolean", default: false } }
})
const corpus = new URL("../packages/payments/test/data/redaction-corpus.jsonl", import.meta.url)
const report = score(readCorpus(positionals[0] ?? corpus))
console.log(format(report))
if (values.wrong) {
  for (const row of [...report.positives, ...report.negatives].flatMap(({ wrong }) => wrong)) {
    console.log(row.id, row.cat, row.sep ?? "", JSON.stringify(row.text), "=>", JSON.stringify(scrubbed(row)))
  }
}
