import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryRows } from './backends/memory/backend.ts';
import { storeContract } from './contract.ts';
import { openStore } from './open.ts';

storeContract('memory', () => {
  const rows = new MemoryRows();
  return Promise.resolve({
    open: (config = {}) => openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows) }, { ...config, dir: '' }),
    remove: () => Promise.resolve(),
  });
});
