import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Ledger } from './ledger.ts';

let directory = '';
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'cleat-ledger-')); });
afterEach(() => { rmSync(directory, { recursive: true }); });

it('keeps the first record of each target, over restarts and a torn line', async () => {
  const path = join(directory, 'state', 'ledger.jsonl');
  const ledger = new Ledger(path, () => 7);
  await Promise.all([
    ledger.record({ kind: 'sysctl', target: 'a', before: '0', after: '1' }),
    ledger.record({ kind: 'sysctl', target: 'a', before: '1', after: '1' }),
    ledger.record({ kind: 'file', target: 'a', before: null, after: null }),
  ]);
  expect(readFileSync(path, 'utf8')).toBe('{"atMs":7,"kind":"sysctl","target":"a","before":"0","after":"1"}\n{"atMs":7,"kind":"file","target":"a","before":null,"after":null}\n');
  appendFileSync(path, '{"atMs":8,"kind":"sys');
  const second = new Ledger(path, () => 9);
  await second.record({ kind: 'sysctl', target: 'a', before: '1', after: '1' });
  await second.record({ kind: 'routes', target: '142', before: null, after: null });
  expect(new Ledger(path, () => 0).records.map((r) => [r.atMs, r.kind, r.target])).toEqual([[7, 'sysctl', 'a'], [7, 'file', 'a'], [9, 'routes', '142']]);
});
