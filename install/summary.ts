import { parseArgs } from 'node:util';
import { failedFiles, readReport, summarize } from './test-reports.ts';

/**
 * usage: summary.ts [--again REPORT] REPORT...   says `N passed, N failed` of vitest's JSON reports. A skipped test counts as failed: it was to be shown.
 *        summary.ts --failed MOST REPORT         the files with failures, a line each; nothing where there are more than that
 */
const { values: { again, failed: most }, positionals } = parseArgs({ allowPositionals: true, options: { again: { type: 'string' }, failed: { type: 'string' } } });
const reports = positionals.map(readReport);

if (most !== undefined) {
  const files = reports.flatMap(failedFiles);
  if (files.length <= Number(most)) for (const file of files) console.log(file);
} else {
  const { passed, failed, skipped, unsteady } = summarize(reports, again === undefined ? undefined : readReport(again));
  for (const name of unsteady) console.log(`UNSTEADY, passed only when its file ran again: ${name}`);
  if (skipped > 0) console.log(`${String(skipped)} tests were skipped; they count as failed`);
  console.log(`${String(passed)} passed, ${String(failed + skipped)} failed`);
  process.exitCode = failed + skipped > 0 ? 1 : 0;
}
