/** What a service of the kill test fails with. */
import { Schema } from "effect"

/** It will not be done. */
export class ServiceRefused extends Schema.TaggedError<ServiceRefused>()("ServiceRefused", {}) {
  readonly disposition = "Refused" as const
}

/** It may have been done. */
export class ServiceSilent extends Schema.TaggedError<ServiceSilent>()("ServiceSilent", {}) {
  readonly disposition = "Unknown" as const
}

/** It was surely not done. */
export class ServiceUnavailable extends Schema.TaggedError<ServiceUnavailable>()("ServiceUnavailable", {}) {
  readonly disposition = "NotExecuted" as const
}

export const ServiceError = Schema.Union([ServiceRefused, ServiceSilent, ServiceUnavailable])
export type ServiceError = typeof ServiceError.Type
