import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { HostRuntime } from './host-runtime.ts';
import type { RuntimeDriver } from './types.ts';

it('waits for a runtime that ends right after its first answer', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-host-runtime-'));
  try {
    for (const plugin of ['ptp', 'host-local']) await writeFile(join(dir, plugin), '', { mode: 0o755 });
    const asked: string[] = [];
    const driver: Pick<RuntimeDriver, 'version' | 'setup' | 'imageId'> = {
      version: () => Promise.resolve('test://1'),
      setup: () => Promise.resolve({ cniBinDir: dir, cniConfDir: dir, handlers: [] }),
      imageId: (image) => {
        asked.push(image);
        return asked.length === 1 ? Promise.reject(new StatusError('ServiceUnavailable', 'connection dropped')) : Promise.resolve('sha256:1');
      },
    };
    const runtime = new HostRuntime({ drivers: { cri: () => Promise.resolve(driver as RuntimeDriver) }, log: silentLog, clock: systemClock }, { stateDir: dir, searchPath: '' }, { driver: 'cri', endpoint: join(dir, 'socket') });
    expect((await runtime.open('node', AbortSignal.timeout(10_000))).driver).toBe(driver);
    expect(new Set(asked).size).toBe(1);
    expect(asked).toHaveLength(2);
  } finally {
    await rm(dir, { recursive: true });
  }
});
