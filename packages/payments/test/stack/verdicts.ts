/**
 * May the stage of the row stand inside that of the column? The one table of it: the compiler is asked for each pair
 * (`pairs.test.ts`), and the table of docs/stack.md is compared with it.
 */
export const stages = [
  "logExecution",
  "timer",
  "timeout",
  "bulkhead",
  "rateLimit",
  "throttle",
  "hedge",
  "retry",
  "circuitBreaker",
  "deadline",
  "idempotent"
] as const

export type Stage = (typeof stages)[number]

/** Why not. The numbers are those of the notes of docs/stack.md. */
export const reasons = {
  "once": "applied twice: keep one",
  "1": "waiting would use up the attempt's time, and a call that never left would end as unknown",
  "2": "calls that wait for a token would hold places that others could use",
  "3": "one limit over all attempts lets the first that hangs use up the rest",
  "4": "a place would be held during the pauses between attempts",
  "5": "only the first attempt would count, and a call that an open circuit turns away would count too",
  "6": "the circuit would see an interruption instead of a failure",
  "7": "calls that an open circuit turns away would wait in the queue first",
  "8": "one operation would count several times for the circuit",
  "9": "replays would wait, count and be turned away although they never reach the gateway",
  "10": "calls that are not sent would use up the quota",
  "11": "the other attempt would not count, or would share the limit of the first",
  "12": "each of both would be tried again, so that one call becomes many"
} as const

export type Verdict = "yes" | keyof typeof reasons

const everywhere: { readonly [S in Stage]: Verdict } = {
  logExecution: "yes",
  timer: "yes",
  timeout: "yes",
  bulkhead: "yes",
  rateLimit: "yes",
  throttle: "yes",
  hedge: "yes",
  retry: "yes",
  circuitBreaker: "yes",
  deadline: "yes",
  idempotent: "yes"
}

/** Inside, then outside. */
export const verdicts: { readonly [Inside in Stage]: { readonly [Outside in Stage]: Verdict } } = {
  logExecution: everywhere,
  timer: everywhere,
  timeout: { ...everywhere, timeout: "once" },
  bulkhead: { ...everywhere, timeout: "1", bulkhead: "once" },
  rateLimit: { ...everywhere, timeout: "1", bulkhead: "2", rateLimit: "once" },
  throttle: { ...everywhere, timeout: "1", bulkhead: "2", rateLimit: "10", throttle: "once" },
  hedge: { ...everywhere, timeout: "11", bulkhead: "11", rateLimit: "11", throttle: "11", hedge: "once" },
  retry: { ...everywhere, timeout: "3", bulkhead: "4", rateLimit: "5", throttle: "5", hedge: "12", retry: "once" },
  circuitBreaker: {
    ...everywhere,
    timeout: "6",
    bulkhead: "7",
    rateLimit: "5",
    throttle: "5",
    hedge: "8",
    retry: "8",
    circuitBreaker: "once"
  },
  deadline: everywhere,
  idempotent: {
    ...everywhere,
    timeout: "9",
    bulkhead: "9",
    rateLimit: "9",
    throttle: "9",
    hedge: "9",
    retry: "9",
    circuitBreaker: "9"
  }
}
