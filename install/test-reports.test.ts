import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { failedFiles, readReport, summarize, type Report } from './test-reports.ts';

function report(files: Record<string, Record<string, string>>): Report {
  return {
    testResults: Object.entries(files).map(([name, tests]) => ({
      name, status: Object.keys(tests).length === 0 || Object.values(tests).includes('failed') ? 'failed' : 'passed',
      assertionResults: Object.entries(tests).map(([fullName, status]) => ({ fullName, status })),
    })),
  };
}

it('counts tests, those that were skipped, and files that could not be loaded', () => {
  const first = report({ 'a.ts': { one: 'passed', two: 'failed' }, 'b.ts': { one: 'passed', two: 'pending' }, 'c.ts': {} });
  expect(summarize([first])).toEqual({ passed: 2, failed: 2, skipped: 1, unsteady: [] });
  expect(failedFiles(first)).toEqual(['a.ts', 'c.ts']);
});

it('takes the second run of a file, and names what only that one mended', () => {
  const first = report({ 'a.ts': { one: 'passed', two: 'failed', three: 'failed' }, 'b.ts': { one: 'passed' }, 'c.ts': {} });
  const again = report({ 'a.ts': { one: 'passed', two: 'passed', three: 'failed' }, 'c.ts': { one: 'passed' } });
  expect(summarize([first], again)).toEqual({ passed: 4, failed: 1, skipped: 0, unsteady: ['a.ts > two', 'c.ts'] });
});

it('fails what passed at first and not again', () => {
  const again = report({ 'a.ts': { one: 'failed', two: 'passed' } });
  expect(summarize([report({ 'a.ts': { one: 'passed', two: 'failed' } })], again)).toEqual({ passed: 1, failed: 1, skipped: 0, unsteady: ['a.ts > two'] });
});

it('takes no test at all, and a report that was never written, for a failure', () => {
  expect(summarize([])).toMatchObject({ passed: 0, failed: 1 });
  const dir = mkdtempSync(join(tmpdir(), 'cleat-reports-'));
  try {
    const path = join(dir, 'tests.json');
    writeFileSync(path, '');
    expect(summarize([report({ 'a.ts': { one: 'passed' } }), readReport(path)])).toMatchObject({ passed: 1, failed: 1 });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
