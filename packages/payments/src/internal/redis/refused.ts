/**
 * Why a store over Redis does not start.
 *
 * @internal
 */

/** @internal Each store makes its own error of it. */
export class Refused {
  readonly _tag = "Refused"
  readonly detail: string

  constructor(detail: string) {
    this.detail = detail
  }
}
