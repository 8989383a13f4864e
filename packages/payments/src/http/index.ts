/**
 * The toolkit behind an HTTP server: `effect-payments/http`.
 *
 * @since 0.1.0
 */
export * as IdempotencyKey from "./IdempotencyKey.ts"
export * as IdempotencyProblem from "./IdempotencyProblem.ts"
export * as WebhookRoute from "./WebhookRoute.ts"
