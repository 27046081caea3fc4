/**
 * Run by crash.contract.test.ts in a process of its own: writers that never stop, until they are killed.
 * Each acknowledged write is a line in a file: `revision key value`, with value `-` for a delete.
 */
import { openSync, writeSync } from 'node:fs';
import { systemClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { openStore } from '../open.ts';
import type { Store } from '../types.ts';

const [dir = '', acknowledgements = '', round = ''] = process.argv.slice(2);
const file = openSync(acknowledgements, 'w');

async function work(store: Store, worker: number): Promise<never> {
  for (let i = 0; ; i++) {
    const key = `k/${String((worker * 7 + i) % 40).padStart(2, '0')}`;
    const value = `${round}.${String(worker)}.${String(i)}.${'x'.repeat((i * 37) % 1000)}`;
    const current = await store.get(key);
    const type = current && i % 5 === 0 ? 'delete' : 'put';
    try {
      const entry = await store.write({ key, type, expect: current?.modRevision ?? 'absent', encode: () => Buffer.from(value) });
      writeSync(file, `${String(entry.modRevision)} ${key} ${type === 'delete' ? '-' : value}\n`);
      if (worker !== 1) continue;
      const beat = await store.write({ key: 'v/heartbeat', type: 'put', expect: 'any', encode: () => Buffer.from('beat') });
      writeSync(file, `${String(beat.modRevision)} v/heartbeat -\n`);
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'AlreadyExists', 'NotFound')) throw error;
    }
  }
}

const store = await openStore({ log: silentLog, clock: systemClock }, { dir, volatilePrefixes: ['v/'], keepRevisions: 1000, reserve: 500 });
process.stdout.write('ready\n');
await Promise.all(Array.from({ length: 16 }, (_, worker) => work(store, worker)));
