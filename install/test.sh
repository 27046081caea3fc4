#!/bin/sh
# `npm test`: installs what is missing, then types, lint, and every test: unit, contract, end-to-end.
set -eu
cd "$(dirname "$0")/.."
sh install/packages.sh kubectl:kubernetes-client
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
tsc --noEmit
oxlint --type-aware --quiet
status=0
vitest run "$@" --reporter=default --reporter=json --outputFile.json="$report" || status=$?
node -e '
  const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
  const skipped = r.numPendingTests + r.numTodoTests;
  console.log(`${r.numPassedTests} passed, ${r.numFailedTests + r.numFailedTestSuites * (r.numFailedTests === 0)} failed${skipped ? `, ${skipped} skipped` : ""}`);
  // A skip in CI is a failure: something that should have been tested was not.
  if (process.env.CI && skipped > 0) process.exit(1);
' "$report" || status=1
exit "$status"
