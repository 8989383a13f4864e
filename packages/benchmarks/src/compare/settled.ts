/** As `Promise.all`, but a failure waits for the others: they end what they have started. */
export const settled = async <A>(promises: ReadonlyArray<Promise<A>>): Promise<ReadonlyArray<A>> => {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}
