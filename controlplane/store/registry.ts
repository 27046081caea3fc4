import type { OpenRows } from './open.ts';

/** Where the embedded store can keep its rows. Loaded when asked for. */
export const rowBackends: Readonly<Record<'leveldb' | 'memory', () => Promise<OpenRows>>> = {
  leveldb: async () => (await import('./backends/leveldb/backend.ts')).openLevelRows,
  memory: async () => {
    const { MemoryRows } = await import('./backends/memory/backend.ts');
    return () => Promise.resolve(new MemoryRows());
  },
};
