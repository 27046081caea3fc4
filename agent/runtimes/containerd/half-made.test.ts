import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { removeTornResults, staleLeases } from './half-made.ts';

it('removes notes of CNI that a power cut has torn, and nobody else\'s', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cni-results-'));
  const files = { 'cleat-whole-eth0': '{"kind":"cniCacheV1"}', 'cleat-empty-eth0': '', 'cleat-torn-eth0': '{"kind":"cniCa', 'cleat-zeros-eth0': '\0\0\0', 'bridge-empty-eth0': '' };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  await removeTornResults(silentLog, dir);
  expect(readdirSync(dir).sort()).toEqual(['bridge-empty-eth0', 'cleat-whole-eth0']);
  await removeTornResults(silentLog, join(dir, 'absent'));
  rmSync(dir, { recursive: true });
});

it('tells leases from before a moment from those after it, also within its second', () => {
  const listed = ['ID CREATED AT LABELS', '999000000-aaaa 2026-01-01T00:00:09Z -', '100000000-bbbb 2026-01-01T00:00:10Z -', '61642533-Mf_u 2026-01-01T00:00:10Z -', '600000000-cccc 2026-01-01T00:00:10Z -', 'named 2026-01-01T00:00:10Z -', 'old 2026-01-01T00:00:08Z -', ''].join('\n');
  expect(staleLeases(listed, Date.parse('2026-01-01T00:00:10.500Z'))).toEqual(['999000000-aaaa', '100000000-bbbb', '61642533-Mf_u', 'old']);
});
