import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { storeContract } from '../../contract.ts';
import { openStore } from '../../open.ts';

storeContract('leveldb', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-store-'));
  return {
    open: (config = {}) => openStore({ log: silentLog, clock: systemClock }, { ...config, dir }),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
});
