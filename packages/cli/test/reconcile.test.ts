import { spawnSync } from "node:child_process"
import { mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it, vi } from "vitest"

// Each call starts a process.
vi.setConfig({ testTimeout: 120_000 })

const payctlFile = resolve(import.meta.dirname, "../bin/payctl.js")
const folder = mkdtempSync(join(tmpdir(), "payctl-reconcile-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const env = { ...process.env, NO_COLOR: "1" }
const payctl = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, [payctlFile, "reconcile", ...args], { encoding: "utf8", env, cwd: folder })

const header = "transaction_id,amount,currency,status,occurred_at"
const row = (id: string, amount = "10.00", status = "captured", at = "2026-01-31T12:00:00Z", currency = "USD") =>
  [id, amount, currency, status, at].join(",")
const write = (name: string, ...lines: ReadonlyArray<string>): string => {
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`)
  return name
}

const day = Array.from({ length: 1248 }, (_, i) => row(`tx_${i}`))
const internal = write("internal.csv", header, ...day, row("tx_s"))
const gateway = write(
  "gateway.csv",
  header,
  row("tx_a"),
  ...day.toReversed(),
  row("tx_s", "10.00", "refunded"),
  row("tx_b")
)

describe("payctl reconcile", () => {
  it("ends with 0 where the files agree", () => {
    const copy = write("copy.csv", header, row("tx_s"), ...day)
    const { status, stderr, stdout } = payctl("--internal", internal, "--gateway", copy)
    assert.deepStrictEqual([status, stderr], [0, ""])
    assert.strictEqual(stdout.split("\n")[0], "1249/1249 matched, 0 discrepancies")
  })

  it("warns of a file that is compared with itself", () => {
    symlinkSync(internal, join(folder, "link.csv"))
    for (const other of [internal, `./${internal}`, "link.csv"]) {
      const { status, stderr, stdout } = payctl("--internal", internal, "--gateway", other, "--json")
      assert.strictEqual(status, 0)
      assert.strictEqual(
        stderr,
        `warning: --internal internal.csv and --gateway ${other} are the same file, which agrees with itself\n`
      )
      assert.deepStrictEqual(JSON.parse(stdout), { matched: 1249, total: 1249, discrepancies: [], byKind: {} })
    }
  })

  it("reads one side from stdin", () => {
    const options = { encoding: "utf8", env, cwd: folder } as const
    const run = (args: ReadonlyArray<string>, input: string) =>
      spawnSync(process.execPath, [payctlFile, "reconcile", ...args], { ...options, input })
    const theirs = readFileSync(join(folder, gateway), "utf8")
    const ours = readFileSync(join(folder, internal), "utf8")
    for (
      const [args, input] of [
        [["--internal", internal, "--gateway", "-"], theirs],
        [["--gateway=-", "--internal", internal], theirs],
        [["--internal", "-", "--gateway", gateway], ours]
      ] as const
    ) {
      const { status, stderr, stdout } = run(args, input)
      assert.deepStrictEqual([status, stderr], [1, ""], args.join(" "))
      assert.strictEqual(
        stdout.split("\n")[0],
        "1248/1251 matched, 3 discrepancies: 2 missing_internal, 1 status_mismatch"
      )
    }
    const wrong = run(["--internal", internal, "--gateway", "-"], `${header}\n${row("1", "ten")}\n`)
    assert.deepStrictEqual([wrong.status, wrong.stdout], [2, ""])
    assert.include(wrong.stderr, "stdin: row 2, column amount: not a plain decimal number")
    const nothing = run(["--internal", "-", "--gateway", gateway], "")
    assert.strictEqual(nothing.status, 2)
    assert.include(nothing.stderr, "stdin: row 1, column 1: there is no header")
    const twice = run(["--internal", "-", "--gateway", "-"], theirs)
    assert.strictEqual(twice.status, 2)
    assert.include(twice.stderr, "--internal and --gateway are both -: stdin can be one of them only")
  })

  it("ends with 1 where they do not, and says what is wrong", () => {
    const { status, stderr, stdout } = payctl("--internal", internal, "--gateway", gateway)
    assert.deepStrictEqual([status, stderr], [1, ""])
    assert.deepStrictEqual(stdout.split("\n"), [
      "1248/1251 matched, 3 discrepancies: 2 missing_internal, 1 status_mismatch",
      "",
      "missing_internal  tx_a  the gateway has USD 10.00 captured at 2026-01-31T12:00:00.000Z, internal has nothing",
      "missing_internal  tx_b  the gateway has USD 10.00 captured at 2026-01-31T12:00:00.000Z, internal has nothing",
      "status_mismatch   tx_s  internal captured, gateway refunded",
      "",
      "internal  USD  1,249 (12490.00) read  1,248 (12480.00) matched  1 (10.00) reported",
      "gateway   USD  1,251 (12510.00) read  1,248 (12480.00) matched  3 (30.00) reported",
      ""
    ])
  })

  it("--json prints one object with these fields and no others", () => {
    const { status, stderr, stdout } = payctl("--internal", internal, "--gateway", gateway, "--json")
    assert.deepStrictEqual([status, stderr], [1, ""])
    const record = {
      transactionId: "tx_s",
      amount: "10.00",
      currency: "USD",
      status: "captured",
      occurredAt: "2026-01-31T12:00:00.000Z"
    }
    const missing = (transactionId: string) => ({
      kind: "missing_internal",
      transactionId,
      internal: null,
      gateway: { ...record, transactionId },
      detail: "the gateway has USD 10.00 captured at 2026-01-31T12:00:00.000Z, internal has nothing"
    })
    assert.deepStrictEqual(JSON.parse(stdout), {
      matched: 1248,
      total: 1251,
      discrepancies: [missing("tx_a"), missing("tx_b"), {
        kind: "status_mismatch",
        transactionId: "tx_s",
        internal: record,
        gateway: { ...record, status: "refunded" },
        detail: "internal captured, gateway refunded"
      }],
      byKind: { missing_internal: 2, status_mismatch: 1 }
    })
  })

  it("--json is JSON also where nothing was found", () => {
    const { status, stdout } = payctl("--internal", internal, "--gateway", internal, "--json")
    assert.strictEqual(status, 0)
    assert.deepStrictEqual(JSON.parse(stdout), { matched: 1249, total: 1249, discrepancies: [], byKind: {} })
  })

  it("finds every kind in files whose columns stand in other orders", () => {
    const ours = write(
      "kinds-internal.csv",
      `${header},fee,kind,parent`,
      ...[
        row("01"),
        row("03"),
        row("04"),
        row("05"),
        row("06"),
        row("06"),
        `${row("07")},0.30,charge,`,
        row("08"),
        `${row("09")},,refund,01`,
        `${row("10")},,refund,lost`
      ].map((line) => line.split(",").length === 5 ? `${line},,,` : line)
    )
    const theirs = join(folder, "kinds-gateway.csv")
    writeFileSync(
      theirs,
      "\ufeff" + [
        `"fee",note,parent,kind,occurred_at,status,currency,amount,transaction_id`,
        `,"a ""quoted"", note",,,2026-01-31T13:00:00+01:00,captured,USD,10,02`,
        `,,,,2026-01-31,captured,USD,12.00,03`,
        `,,,,2026-01-31,captured,EUR,10.00,04`,
        `,,,,2026-01-31,failed,USD,10.00,05`,
        `,"two\r\nlines",,,2026-01-31,captured,USD,10.00,06`,
        `0.31,,,,2026-01-31,captured,USD,10.00,07`,
        `,,,,2026-02-05,captured,USD,10.00,08`,
        `,,,refund,2026-01-31,captured,USD,10.00,09`,
        `,,,refund,2026-01-31,captured,USD,10.00,10`
      ].join("\r\n")
    )
    const { status, stdout } = payctl("--internal", ours, "--gateway", theirs, "--json")
    assert.strictEqual(status, 1)
    const { byKind, discrepancies, matched } = JSON.parse(stdout) as {
      readonly byKind: unknown
      readonly matched: number
      readonly discrepancies: ReadonlyArray<{ readonly kind: string; readonly transactionId: string }>
    }
    assert.deepStrictEqual(discrepancies.map((x) => `${x.transactionId} ${x.kind}`), [
      "01 missing_gateway",
      "02 missing_internal",
      "03 amount_mismatch",
      "04 currency_mismatch",
      "05 status_mismatch",
      "06 duplicate",
      "07 fee_mismatch",
      "08 date_drift",
      "10 orphan_refund"
    ])
    assert.deepStrictEqual(Object.values(byKind as object), Array(9).fill(1))
    assert.strictEqual(matched, 2)
    const traced = payctl("--internal", ours, "--gateway", theirs, "--json", "--no-orphan-refunds")
    assert.notInclude(traced.stdout, "orphan_refund")
  })

  it("traces no refund where no file has a parent column", () => {
    const kinds = write("refunds.csv", `${header},kind`, `${row("re_1")},refund`)
    assert.strictEqual(payctl("--internal", kinds, "--gateway", kinds).status, 0)
  })

  describe("allows", () => {
    const theirs = write(
      "lenient.csv",
      `${header},fee`,
      `${row("1", "10.01")},0.30`,
      `${row("2", "10.00", "settled")},0.30`,
      `${row("3", "10.00", "captured", "2026-02-02T12:00:00Z")},0.30`,
      `${row("4")},0.31`
    )
    const ours = write("strict.csv", `${header},fee`, ...["1", "2", "3", "4"].map((id) => `${row(id)},0.30`))
    const kinds = (...options: ReadonlyArray<string>) => {
      const { status, stdout } = payctl("--internal", ours, "--gateway", theirs, "--json", ...options)
      const { byKind } = JSON.parse(stdout) as { readonly byKind: Readonly<Record<string, number>> }
      assert.strictEqual(status, Object.keys(byKind).length === 0 ? 0 : 1)
      return Object.keys(byKind)
    }

    it("nothing unless it is told to", () => {
      assert.deepStrictEqual(kinds(), ["amount_mismatch", "status_mismatch", "fee_mismatch", "date_drift"])
    })

    it("what it is told to", () => {
      const all = [
        ["--tolerance", "JPY=1", "--tolerance", "USD=0.01"],
        ["--status-alias", "settled=captured"],
        ["--window", "2d"],
        ["--fee-tolerance", "USD=0.01"]
      ]
      for (const options of all) assert.strictEqual(kinds(...options).length, 3, options.join(" "))
      assert.deepStrictEqual(kinds(...all.flat()), [])
    })

    it("times in several notations", () => {
      for (const window of ["48 hours", "2 days", "2880m", "off"]) {
        assert.notInclude(kinds("--window", window), "date_drift", window)
      }
      assert.include(kinds("--window", "172799s"), "date_drift")
    })
  })

  it("ends with 2 and the place where a file is wrong", () => {
    const files: ReadonlyArray<readonly [string, string]> = [
      [
        write("amount.csv", header, row("1"), row("2", "ten")),
        "amount.csv: row 3, column amount: not a plain decimal number"
      ],
      [
        write("lines.csv", `${header},note`, `${row("1")},"a\nb"`, row("2")),
        "lines.csv: row 3 (line 4), column note: the row has 5 fields and the header 6"
      ],
      [
        write("header.csv", "id,amount"),
        "header.csv: row 1, column transaction_id, currency, status, occurred_at: missing in the header"
      ],
      ["nowhere.csv", "nowhere.csv: cannot be read (ENOENT)"],
      [".", ".: cannot be read (EISDIR)"]
    ]
    for (const [index, [file, message]] of files.entries()) {
      const sides = index % 2 === 0 ? [internal, file] : [file, internal]
      const { status, stderr, stdout } = payctl("--internal", sides[0] ?? "", "--gateway", sides[1] ?? "", "--json")
      assert.deepStrictEqual([status, stdout], [2, ""], stderr)
      assert.include(stderr, message)
    }
  })

  it("ends with 2 where an option is wrong or missing", () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
      [["--internal", internal], "--gateway"],
      [["--gateway", internal], "--internal"],
      [["--internal", internal, "--gateway", internal, "--tolerance", "USD=1e3"], "--tolerance USD"],
      [["--internal", internal, "--gateway", internal, "--tolerance", "USD=-0.01"], "--tolerance USD: it is negative"],
      [["--internal", internal, "--gateway", internal, "--tolerance", "XAU=1"], "XAU has no minor unit"],
      [["--internal", internal, "--gateway", internal, "--fee-tolerance", "JPY=0.5"], "--fee-tolerance JPY"],
      [["--internal", internal, "--gateway", internal, "--window", "soon"], "--window"],
      [["--internal", internal, "--gateway", internal, "--limit", "-1"], "--limit"],
      [["--internal", internal, "--gateway", internal, "--max-rows", "0"], "--max-rows"],
      [["--internal", internal, "--gateway", internal, "--nope"], "nope"]
    ]
    for (const [args, message] of cases) {
      const { status, stderr } = payctl(...args)
      assert.strictEqual(status, 2, args.join(" "))
      assert.include(stderr, message)
    }
  })

  it("reads no more rows than it is told", () => {
    const args = ["--internal", internal, "--gateway", gateway]
    const { status, stderr } = payctl(...args, "--max-rows", "1250")
    assert.strictEqual(status, 2)
    assert.include(stderr, "gateway.csv: row 1252, column transaction_id: more than 1250 rows; --max-rows allows more")
    assert.strictEqual(payctl(...args, "--max-rows", "1251").status, 1)
  })

  it("shows as many as it is told, and says how many are left", () => {
    const empty = write("empty.csv", header)
    const lines = payctl("--internal", internal, "--gateway", empty, "--limit", "2").stdout.split("\n")
    assert.strictEqual(lines[0], "0/1249 matched, 1249 discrepancies: 1249 missing_gateway")
    assert.deepStrictEqual(lines.slice(2, 4).map((line) => line.split(/ +/)[1]), ["tx_0", "tx_1"])
    assert.strictEqual(lines[4], "... and 1,247 more: --limit shows them, --json lists all")
  })

  it("has a help that says the exit codes", () => {
    const { status, stdout } = payctl("--help")
    assert.strictEqual(status, 0)
    assert.include(stdout, "Exit code: 0 they agree, 1 they do not, 2 a file or an option is wrong")
  })

  it("takes a pipe for a file, and ends well when its reader goes away", () => {
    const command = `"${process.execPath}" "${payctlFile}" reconcile --internal <(cat ${internal}) --gateway ${gateway}`
    const piped = spawnSync("bash", ["-c", command], { encoding: "utf8", env, cwd: folder })
    assert.deepStrictEqual([piped.status, piped.stdout.split(":")[0]], [1, "1248/1251 matched, 3 discrepancies"])
    const empty = write("nothing.csv", header)
    const many = write("many.csv", header, ...Array.from({ length: 20_000 }, (_, i) => row(`tx_${i}`)))
    const cut =
      `"${process.execPath}" "${payctlFile}" reconcile --internal ${many} --gateway ${empty} --json | head -n 1; echo \${PIPESTATUS[0]}`
    const { stderr, stdout } = spawnSync("bash", ["-c", cut], { encoding: "utf8", env, cwd: folder })
    assert.deepStrictEqual([stdout, stderr], [`{"matched":0,"total":20000,"discrepancies":[\n1\n`, ""])
  })

  it("reads 100,000 rows a side in bounded memory, and finds all that was planted", () => {
    const count = 100_000
    const planted = { missing_internal: 0, missing_gateway: 0, amount_mismatch: 0, status_mismatch: 0 }
    const ours: Array<string> = [header]
    const theirs: Array<string> = [header]
    for (let i = 0; i < count; i++) {
      const id = `txn_${String(i).padStart(20, "0")}`
      const cents = String(i % 100).padStart(2, "0")
      const kind = i % 1000
      if (kind === 1) planted.missing_internal++
      else ours.push(row(id, `${i}.${cents}`))
      if (kind === 2) planted.missing_gateway++
      else if (kind === 3) {
        planted.amount_mismatch++
        theirs.push(row(id, `${i + 1}.${cents}`))
      } else if (kind === 4) {
        planted.status_mismatch++
        theirs.push(row(id, `${i}.${cents}`, "voided"))
      } else theirs.push(row(id, `${i}.${cents}`))
    }
    write("large-internal.csv", ...ours)
    write("large-gateway.csv", header, ...theirs.slice(1).toReversed())
    const peak = join(folder, "peak.txt")
    const script = `process.on("exit", () => require("node:fs").writeFileSync(${
      JSON.stringify(peak)
    }, String(process.resourceUsage().maxRSS)))`
    const preload = write("peak.cjs", script)
    const out = openSync(join(folder, "large.json"), "w")
    const { status } = spawnSync(
      process.execPath,
      [
        "--require",
        `./${preload}`,
        payctlFile,
        "reconcile",
        "--internal",
        "large-internal.csv",
        "--gateway",
        "large-gateway.csv",
        "--json"
      ],
      { env, cwd: folder, stdio: ["ignore", out, "inherit"] }
    )
    assert.strictEqual(status, 1)
    const { byKind, matched, total } = JSON.parse(readFileSync(join(folder, "large.json"), "utf8")) as {
      readonly byKind: unknown
      readonly matched: number
      readonly total: number
    }
    assert.deepStrictEqual(byKind, planted)
    assert.deepStrictEqual([matched, total], [count - 400, count])
    assert.isBelow(Number(readFileSync(peak, "utf8")) / 1024, 450, "peak RSS in MiB")
  })
})
