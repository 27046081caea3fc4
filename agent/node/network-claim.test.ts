import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { claimNetwork } from './network-claim.ts';

it('is held by one at a time, and not by the dead', async () => {
  const runRoot = join(mkdtempSync(join(tmpdir(), 'cleat-claim-')), 'run');
  const release = await claimNetwork(runRoot);
  const [file = ''] = readdirSync(runRoot);
  await expect(claimNetwork(runRoot)).rejects.toThrow(`another agent (process ${String(process.pid)}) runs in this host's network; stop it first`);
  writeFileSync(join(runRoot, file), `${String(process.pid)} 1\n`);
  await claimNetwork(runRoot);
  await release();
  expect(existsSync(runRoot)).toBe(false);
});
