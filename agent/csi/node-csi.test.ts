import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryState } from '#agent/pods/testing.ts';
import { NodeCsi } from './node-csi.ts';

const watchers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;

it('follows no folder any more when it was told to end while it began', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cleat-csi-'));
  try {
    const before = watchers();
    const stop = new AbortController();
    const csi = new NodeCsi({ state: new MemoryState(), clock: new ManualClock(), log: silentLog, ledger: { record: () => Promise.resolve() }, reported: () => undefined }, { nodeName: 'n', kubeletDir: join(folder, 'kubelet') });
    const ended = csi.start(stop.signal);
    stop.abort();
    await ended;
    await vi.waitFor(() => { expect(watchers()).toBe(before); });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
