import { readFileSync } from 'node:fs';

interface FileResult {
  readonly name: string;
  readonly status: string;
  readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
}

/** What vitest's JSON reporter writes of one run. */
export interface Report { readonly testResults: readonly FileResult[] }

export interface Summary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Tests, and files that could not be loaded, that failed at first and passed when their files ran again. */
  readonly unsteady: readonly string[];
}

/** A report that is empty is of a run that never came to its end, which counts as a failure. */
export function readReport(path: string): Report {
  const { testResults = [] } = JSON.parse(readFileSync(path, 'utf8') || '{}') as Partial<Report>;
  return { testResults: testResults.length > 0 ? testResults : [{ name: path, status: 'failed', assertionResults: [] }] };
}

export function failedFiles(report: Report): string[] {
  return report.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

/** `again`: of files of `reports` that failed and were run once more. Their second run counts, and what it mended is named. */
export function summarize(reports: readonly Report[], again: Report = { testResults: [] }): Summary {
  const second = new Map(again.testResults.map((file) => [file.name, file]));
  const first = reports.flatMap(({ testResults }) => testResults);
  const files = first.map((file) => second.get(file.name) ?? file);
  const statuses = files.flatMap(({ assertionResults }) => assertionResults.map(({ status }) => status));
  const failures = files.flatMap(failuresOf);
  const unsteady = first.filter(({ name }) => second.has(name)).flatMap(failuresOf).filter((name) => !failures.includes(name));
  const passed = statuses.filter((status) => status === 'passed').length;
  const failed = failures.length;
  const skipped = statuses.filter((status) => status !== 'passed' && status !== 'failed').length;
  return { passed, failed: passed + failed + skipped === 0 ? 1 : failed, skipped, unsteady };
}

/** A file that cannot be loaded fails without a failed test of its own. */
function failuresOf({ name, status, assertionResults }: FileResult): string[] {
  const tests = assertionResults.filter((test) => test.status === 'failed').map(({ fullName }) => `${name} > ${fullName}`);
  return status === 'failed' && tests.length === 0 ? [name] : tests;
}
