// The files whose fences run and type-check.
export const documented = [
  "README.md",
  "CONTRIBUTING.md",
  "docs/**/*.md",
  "packages/*/README.md",
  "packages/{payments,sqlite,cli}/src/**/*.ts"
]
