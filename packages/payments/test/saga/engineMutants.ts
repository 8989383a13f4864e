/** Protocol bugs, each as one replacement in the source of the engine. */

/** `from` stands exactly once in `file`. */
export interface Mutant {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
}

const m = (name: string, file: string, from: string, to: string): Mutant => ({ name, file: `${file}.ts`, from, to })

export const mutants: ReadonlyArray<Mutant> = [
  m(
    "nothing is undone after a failure",
    "runner",
    "return isUnwinding ? this.finalize(step) as Effect.Effect<void> : Effect.void",
    "return isUnwinding ? Effect.void : Effect.void"
  ),
  // The log
  m(
    "an append compares no owner",
    "ledger",
    "if (row === undefined || !owns(row, request)) return undefined\n  const",
    "if (row === undefined) return undefined\n  const"
  ),
  m(
    "an append compares no owner and no place",
    "ledger",
    "if (row === undefined || !owns(row, request)) return undefined\n  const { run } = row\n  const { events, seq, state } = request",
    "if (row === undefined) return undefined\n  const { run } = row\n  const { events, state } = request\n  const seq = run.length + 1"
  ),
  m(
    "an append whose reply was lost is written twice",
    "ledger",
    "const { events, seq, state } = request\n  if (seq === run.length) {",
    "const { events, state } = request\n  const seq = run.length + 1\n  if (seq === 0) {"
  ),
  m("the epoch does not grow", "ledger", "epoch: Math.max(row.run.epoch + 1, now),", "epoch: row.run.epoch,"),
  m(
    "the lease of what has ended is kept",
    "ledger",
    "isOpen && run.leaseUntil <= now",
    "isUnfinished(run.state) && run.leaseUntil <= now"
  ),
  m(
    "a cancellation is lost",
    "ledger",
    "row.run.state === \"Running\" || row.run.state === \"Parked\"\n    ?",
    "row.run.state === \"Parked\"\n    ?"
  ),
  m(
    "what unwinds is no orphan",
    "ledger",
    "isUnfinished(run.state) && run.leaseUntil <= now && request",
    "run.state === \"Running\" && run.leaseUntil <= now && request"
  ),
  m(
    "an append drops the cancellation",
    "ledger",
    "      state,\n      length: seq,",
    "      state,\n      cancelRequested: false,\n      length: seq,"
  ),
  // Forward
  m(
    "the next step is not intended",
    "decide",
    "{ events: [event, intended(shape, step + 1)], command: go(shape, step + 1) }",
    "{ events: [event], command: go(shape, step + 1) }"
  ),
  m(
    "the first step is not intended",
    "decide",
    "return { events: waiting.map((step) => intended(shape, step)), command",
    "return { events: [], command"
  ),
  m(
    "what is done is not written down",
    "decide",
    "{ events: [event, intended(shape, step + 1)], command: go(shape, step + 1) }",
    "{ events: [intended(shape, step + 1)], command: go(shape, step + 1) }"
  ),
  m(
    "the step after the next comes next",
    "decide",
    "{ events: [event, intended(shape, step + 1)], command: go(shape, step + 1) }",
    "{ events: [event, intended(shape, step === 1 ? 3 : step + 1)], command: go(shape, step === 1 ? 3 : step + 1) }"
  ),
  m(
    "a step is done again after a crash",
    "decide",
    "const first = state.steps.findIndex(({ progress }) => progress._tag !== \"Done\")",
    "const first = 0"
  ),
  m(
    "a step that was begun is taken for done",
    "decide",
    "const first = state.steps.findIndex(({ progress }) => progress._tag !== \"Done\")",
    "const first = state.steps.findIndex(({ progress }) => progress._tag === \"Waiting\")"
  ),
  m(
    "a cancellation is not looked at",
    "runner",
    "const cancelled = this.cancelRequested && unsent.length > 0",
    "const cancelled = false"
  ),
  m("the reply's cancellation is dropped", "runner", "this.cancelRequested ||= reply.cancelRequested", ""),
  m(
    "a doubt is taken for a refusal",
    "decide",
    ": doubt(shape, signal.step, signal.detail)\n    case \"Refuses\"",
    ": failed(shape, signal.step, signal.detail, undefined)\n    case \"Refuses\""
  ),
  m(
    "a doubt that stays is taken for a refusal",
    "decide",
    "    case \"StillUnknown\":\n      return doubt(shape, step, detail)",
    "    case \"StillUnknown\":\n      return failed(shape, step, detail, undefined)"
  ),
  m(
    "a verified success is not taken",
    "decide",
    "      return succeeded(shape, state, step, verdict.result)",
    "      return failed(shape, step, detail, undefined)"
  ),
  m(
    "a doubt behind the pivot unwinds",
    "decide",
    "    : park(shape, step, `in doubt: ${detail}`)",
    "    : { events: [{ _tag: \"Doubted\", step: nameOf(shape, step), detail }], command: unwind }"
  ),
  m(
    "a failed run goes on",
    "decide",
    "      events: [{ _tag: \"Failed\", step: nameOf(shape, step), detail, ...error === undefined ? {} : { error } }],\n      command: unwind",
    "      events: [{ _tag: \"Failed\", step: nameOf(shape, step), detail, ...error === undefined ? {} : { error } }],\n      command: go(shape, step + 1)"
  ),
  m(
    "a failure is undone before it is written down",
    "decide",
    "      events: [{ _tag: \"Failed\", step: nameOf(shape, step), detail, ...error === undefined ? {} : { error } }],\n      command: unwind",
    "      events: [],\n      command: unwind"
  ),
  m(
    "what is parked counts as completed",
    "decide",
    "if (state.parked !== undefined) return \"Parked\"",
    "if (state.parked !== undefined) return \"Completed\""
  ),
  m(
    "a run is completed at its pivot",
    "decide",
    "return state.steps.every(({ progress }) => progress._tag === \"Done\") ? \"Completed\"",
    "return state.steps.slice(0, 4).every(({ progress }) => progress._tag === \"Done\") ? \"Completed\""
  ),
  // Undo
  m(
    "obligations in doubt are forgotten",
    "decide",
    "step.progress._tag !== \"Waiting\" && step.progress._tag !== \"NotDone\"",
    "step.progress._tag === \"Done\""
  ),
  m(
    "what did not happen is undone",
    "decide",
    "step.progress._tag !== \"Waiting\" && step.progress._tag !== \"NotDone\"",
    "step.progress._tag !== \"Waiting\""
  ),
  m(
    "a doubt is skipped",
    "decide",
    "    case \"NotSeen\":\n    case \"StillUnknown\":\n      return only(",
    "    case \"NotSeen\":\n    case \"StillUnknown\":\n      return Math.random() < 2 ? skip(shape, step, \"unknown\") : only("
  ),
  m(
    "a step that has not happened closes others",
    "decide",
    "other.closes.includes(nameOf(shape, step)) && state.steps[index]?.progress._tag === \"Done\"",
    "other.closes.includes(nameOf(shape, step))"
  ),
  m(
    "an undo has no outcome",
    "decide",
    "    ? { events: [undid(nameOf(shape, step), undo)], command: stop }",
    "    ? { events: [], command: stop }"
  ),
  m(
    "a failed undo counts as undone",
    "decide",
    "      return { _tag: \"UndoFailed\", step, detail: undo.detail, ...undo.sent === undefined ? {} : { sent: undo.sent } }",
    "      return { _tag: \"Undone\", step }"
  ),
  m(
    "a failed undo ends compensated",
    "decide",
    "return state.steps.some(({ undo }) => undo?._tag === \"Failed\") ? \"FailedCompensation\" : \"Compensated\"",
    "return \"Compensated\""
  ),
  m(
    "a resumption does not try the undo again",
    "decide",
    "step.undo?._tag === \"Failed\" ? { ...step, undo: undefined } : step",
    "step"
  ),
  m(
    "a resumption undoes all again",
    "decide",
    "step.undo?._tag === \"Failed\" ? { ...step, undo: undefined } : step",
    "({ ...step, undo: undefined })"
  ),
  // The runner
  m("the scope is not rebuilt after a crash", "runner", "      yield* this.rebuild\n", ""),
  m(
    "an undo is registered only when its step is done",
    "runner",
    "const registered = this.registerUndo(step)",
    "const registered = this.state.steps[step]?.progress._tag === \"Done\" ? this.registerUndo(step) : Effect.void"
  ),
  m(
    "a lost lease does not stop the next effect",
    "runner",
    "this.shared.leases.isLive(this.entry) ? undefined : new",
    "this.shared.leases.isLive(this.entry) || this.length > 0 ? undefined : new"
  ),
  m(
    "what is to be undone after a crash is undone in the order of its start",
    "runner",
    "Effect.forEach(this.obligations, (step)",
    "Effect.forEach(this.obligations.toReversed(), (step)"
  ),
  m("all is undone at once", "runner", "Scope.makeUnsafe(\"sequential\")", "Scope.makeUnsafe(\"parallel\")"),
  m(
    "a doubt is undone before it is verified",
    "decide",
    "  if (shape[step]?.verify === \"look\") return only({ _tag: \"Verify\", step })\n",
    ""
  ),
  m(
    "a failed undo ends the unwinding",
    "runner",
    "if (this.suspended !== undefined) return Effect.void",
    "if (this.suspended !== undefined || this.state.steps.some(({ undo }) => undo?._tag === \"Failed\")) return Effect.void"
  ),
  m(
    "effects before the log",
    "runner",
    "return Effect.flatMap(written, () => {",
    "return Effect.flatMap(Effect.forkDetach(Effect.delay(written, 5)), () => {"
  ),
  // Attempts
  m(
    "an undo is tried once and called undone",
    "attempt",
    "if (Exit.isSuccess(exit) && exit.value !== late && !claim.isUncertain) {",
    "if (exit !== undefined) {"
  ),
  m(
    "a skipped undo counts for all",
    "attempt",
    "if (finding.verdict._tag !== \"StillUnknown\") return finding",
    "return { verdict: { _tag: \"NeverHappened\" }, value: undefined }"
  ),
  m("undo and run share a key by epoch", "attempt", "${step.name}${part}`", "${step.name}${part}${epoch}`"),
  m("each try has a key of its own", "attempt", "${step.name}${part}`", "${step.name}${part}${tries.count}`"),
  m(
    "an undo is told that all is done",
    "attempt",
    "if (outcome._tag === \"Done\") return { _tag: \"Done\", result }",
    "if (outcome !== undefined) return { _tag: \"Done\", result }"
  ),
  // Messages
  m(
    "a message is lost",
    "memory",
    "        signals.set(request.key, [...own, { ...request, at: clock() }])\n",
    ""
  ),
  m(
    "a message that was sent twice counts twice",
    "memory",
    "if (own.some(({ event, step }) => event === request.event && step === request.step)) return \"Known\"",
    ""
  ),
  m(
    "a message that comes before the run is dropped",
    "memory",
    "        signals.set(request.key, [...own, { ...request, at: clock() }])\n",
    "        if (rows.has(request.key)) signals.set(request.key, [...own, { ...request, at: clock() }])\n"
  ),
  m(
    "the last message of a step counts",
    "memory",
    "signals.get(key)?.find((signal)",
    "signals.get(key)?.findLast((signal)"
  ),
  m(
    "a message of another step counts",
    "memory",
    "find((signal) => signal.step === step && !except",
    "find((signal) => !except"
  ),
  m(
    "the time of a wait is up, and nobody looks once more",
    "runner",
    "found = yield* this.shared.inbox.once(id, compiled.name, except)",
    "found = { event: undefined, value: undefined, cancelRequested: false, pauseRequested: undefined }"
  ),
  m(
    "a message does not count once a wait has begun",
    "runner",
    "if (message === undefined && !isOver) continue",
    "if (!isOver) continue"
  ),
  m(
    "a wait ends before its time",
    "runner",
    "const until = (this.noteOf(step).intendedAt ?? this.now) + wait.millis",
    "const until = (this.noteOf(step).intendedAt ?? this.now) + wait.millis / 2"
  ),
  m(
    "a wait ends an hour behind its time",
    "runner",
    "const until = (this.noteOf(step).intendedAt ?? this.now) + wait.millis",
    "const until = (this.noteOf(step).intendedAt ?? this.now) + wait.millis + 3_600_000"
  ),
  m(
    "a wait that has ended by its time goes on after a crash",
    "decide",
    "      return progressed(shape, state, event.step, { _tag: \"Done\", result: event.result })",
    "      return event.result.includes(\"DeadlinePassed\") && state.steps.at(-1)?.progress._tag === \"Waiting\"\n        ? progressed(shape, state, event.step, intendedProgress)\n        : progressed(shape, state, event.step, { _tag: \"Done\", result: event.result })"
  )
]
