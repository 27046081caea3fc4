import { readFileSync } from 'node:fs';

interface Report {
  readonly numPassedTests?: number;
  readonly numFailedTests?: number;
  readonly numPendingTests?: number;
  readonly numTodoTests?: number;
  readonly testResults?: readonly { readonly status: string; readonly assertionResults: readonly { readonly status: string }[] }[];
}

/** usage: summary.ts REPORT... : says `N passed, N failed` of vitest's JSON reports. A skipped test counts as failed: it was to be shown; so does a report that is empty, and no test at all. */
let [passed, failed, skipped] = [0, 0, 0];
for (const path of process.argv.slice(2)) {
  const text = readFileSync(path, 'utf8');
  if (text === '') failed += 1;
  const report = JSON.parse(text || '{}') as Report;
  skipped += (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
  // A file that cannot be loaded fails without a failed test of its own.
  const broken = (report.testResults ?? []).filter((file) => file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'));
  passed += report.numPassedTests ?? 0;
  failed += (report.numFailedTests ?? 0) + broken.length;
}
if (passed + failed + skipped === 0) failed = 1;
if (skipped > 0) console.log(`${String(skipped)} tests were skipped; they count as failed`);
console.log(`${String(passed)} passed, ${String(failed + skipped)} failed`);
process.exit(failed + skipped > 0 ? 1 : 0);
