// The levels of the core, in the order of the design's table: a module imports its own level and those above it in this
// list, never one below. This is the one place where they are listed; `imports.ts` reads it.

export const levels = [
  {
    name: "values",
    modules: ["Card", "Currency", "Decline", "Money", "MoneyError", "PaymentError", "Ratio", "Redaction", "Sca"]
  },
  {
    name: "ports",
    modules: ["AuditLog", "IdempotencyStore", "PaymentGateway", "SagaLog", "Signature", "Tokenizer", "Velocity"]
  },
  {
    name: "combinators",
    modules: ["Cached", "Idempotency", "Observe", "Resilience"]
  },
  {
    name: "engines",
    modules: [
      "Batcher",
      "EventBus",
      "Fraud",
      "Inbox",
      "JobQueue",
      "Phases",
      "Reconciliation",
      "Saga",
      "SagaOperator",
      "UnitOfWork",
      "Webhook"
    ]
  },
  {
    name: "subpaths",
    modules: ["cluster", "http", "testing"]
  }
] as const

export type Level = (typeof levels)[number]["name"]

/**
 * Who may import `src/internal/NAME/**` beside that folder itself. A folder that is not listed belongs to the module of
 * its name: `internal/saga` to `Saga`. `from` opens a folder to a level and all that come after it.
 */
export const internals: Readonly<
  Record<string, { readonly modules: ReadonlyArray<string> } | { readonly from: Level }>
> = {
  cluster: { modules: ["cluster"] },
  // One file for each unstable module of Effect.
  effect: { from: "values" },
  gateway: { modules: ["PaymentGateway"] },
  http: { modules: ["http"] },
  idempotency: { modules: ["Idempotency", "IdempotencyStore", "Inbox", "Phases", "http", "testing"] },
  money: { modules: ["Currency", "Money", "MoneyError", "Ratio"] },
  // How options are checked.
  option: { from: "ports" },
  // What every store over Redis shares.
  redis: { from: "ports" },
  // What every store that seals shares.
  seal: { from: "ports" },
  saga: { modules: ["Saga", "SagaLog", "SagaOperator", "cluster", "testing"] },
  signature: { modules: ["Signature", "Webhook"] },
  // What every store over SQL shares.
  sql: { from: "ports" },
  // What the type checker and the run know about the order of a stack.
  stack: { from: "ports" },
  testing: { modules: ["testing"] }
}
