import type { EtcdRows } from './backends/etcd/rows.ts';
import type { OpenRows } from './open.ts';

/** Where the store can keep its rows. Loaded when asked for. */
export const rowBackends: Readonly<Record<'leveldb' | 'memory', () => Promise<OpenRows>> & Record<'etcd', () => Promise<typeof EtcdRows>>> = {
  leveldb: async () => (await import('./backends/leveldb/backend.ts')).openLevelRows,
  memory: async () => {
    const { MemoryRows } = await import('./backends/memory/backend.ts');
    return () => Promise.resolve(new MemoryRows());
  },
  /** Made anew for each term of a leader; see candidacy/. */
  etcd: async () => (await import('./backends/etcd/rows.ts')).EtcdRows,
};
