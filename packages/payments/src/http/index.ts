/**
 * The toolkit behind an HTTP server: `effect-payments/http`.
 *
 * @since 0.1.0
 */
export * as IdempotencyKey from "./IdempotencyKey.ts"

/**
 * @since 0.1.0
 */
export * as IdempotencyProblem from "./IdempotencyProblem.ts"

/**
 * @since 0.1.0
 */
export * as WebhookRoute from "./WebhookRoute.ts"
