/** Where the server of a benchmark is: `npm run bench` starts one and says so, unless it is told of one. */
export const urlOf = (server: "postgres" | "redis"): string => {
  const name = `TEST_${server.toUpperCase()}_URL`
  const url = process.env[name]
  if (url === undefined || url === "") throw new Error(`${name} is not set: npm run bench starts a server and sets it`)
  return url
}
