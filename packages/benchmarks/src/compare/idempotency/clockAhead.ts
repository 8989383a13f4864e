// Imported before a program, it sets the program's time of day ahead.
const aheadMillis = 600_000
const TrueDate = Date

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length === 0 ? [TrueDate.now() + aheadMillis] : given, newTarget) as Date,
  get: (target, name) => name === "now" ? () => TrueDate.now() + aheadMillis : Reflect.get(target, name) as unknown
})
