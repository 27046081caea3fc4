import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { put } from '../../contract.ts';
import { openStore } from '../../open.ts';

test('a full disk refuses writes, keeps what it has, and writes again when there is room', async () => {
  const mount = await mkdtemp(join(tmpdir(), 'cleat-full-'));
  await execOk('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'cleat-full', mount]);
  try {
    const dir = join(mount, 'store');
    const open = () => openStore({ log: silentLog, clock: systemClock }, { dir, volatilePrefixes: ['v/'], reopenMs: 10 });
    const store = await open();
    const acknowledged: string[] = [];
    const write = async (name: string): Promise<boolean> => {
      try {
        await put(store, `k/${name}`, `${name} ${'x'.repeat(20_000)}`);
        acknowledged.push(`k/${name}`);
        return true;
      } catch (error) {
        expect(isStatus(error, 'ServiceUnavailable')).toBe(true);
        return false;
      }
    };
    for (let i = 0; i < 50; i++) await write(`first-${String(i)}`);
    await writeFile(join(mount, 'ballast'), Buffer.alloc(16 << 20)).catch(() => undefined);
    while (await write(`filling-${String(acknowledged.length)}`)) continue;
    expect(await write('refused')).toBe(false);
    await put(store, 'v/heartbeat', 'beats on').catch((error: unknown) => { expect(isStatus(error, 'ServiceUnavailable')).toBe(true); });
    expect((await store.list({ prefix: 'k/' })).entries.map((e) => e.key)).toEqual([...acknowledged].sort((a, b) => (a < b ? -1 : 1)));
    await rm(join(mount, 'ballast'));
    await expect.poll(() => write('after')).toBe(true);
    await store.close();
    const again = await open();
    expect((await again.list({ prefix: 'k/' })).entries.map((e) => e.key)).toEqual([...acknowledged].sort((a, b) => (a < b ? -1 : 1)));
    await again.close();
  } finally {
    await execOk('umount', [mount]);
    await rm(mount, { recursive: true, force: true });
  }
});
