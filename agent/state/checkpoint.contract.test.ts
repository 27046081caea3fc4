import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { configMaps } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { CheckpointStore } from './checkpoint.ts';

let folder: string;
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'cleat-checkpoint-')); });
afterEach(async () => { await rm(folder, { recursive: true, force: true }); });

/** Starts the writer, kills it `afterMs` after its first acknowledged write, returns the last acknowledged revision. */
async function crashWriter(afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./crash-writer.ts', import.meta.url)), folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  await once(child.stdout, 'data');
  await sleep(afterMs);
  child.kill('SIGKILL');
  await once(child, 'close');
  return Number(output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1));
}

it('loses no acknowledged change to SIGKILL, 100 times', async () => {
  for (let round = 0; round < 100; round++) {
    const acknowledged = await crashWriter(Math.random() * 25);
    const checkpoint = await CheckpointStore.open({ log: silentLog }, { folder });
    const { revision } = checkpoint;
    expect(revision, `round ${String(round)}`).toBeGreaterThanOrEqual(acknowledged);
    expect(revision).toBeLessThanOrEqual(acknowledged + 1);
    const values = checkpoint.list(configMaps).map((m) => Number(m.data?.['value'])).sort((a, b) => a - b);
    expect(values).toEqual(Array.from({ length: Math.min(7, revision) }, (_, i) => revision - Math.min(7, revision) + 1 + i));
    await checkpoint.close();
  }
});

it('survives a full disk: refuses, keeps what it has, goes on when there is room', async () => {
  const disk = join(folder, 'disk');
  await execOk('mkdir', [disk]);
  await execOk('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'cleat-test', disk]);
  try {
    const change = (revision: number) => [{ type: 'set' as const, resource: configMaps, object: { metadata: { namespace: 'd', name: `m${String(revision)}` }, data: { value: 'x'.repeat(3000) } } }];
    const checkpoint = await CheckpointStore.open({ log: silentLog }, { folder: join(disk, 'state'), compactAfterBytes: 40_000 });
    await checkpoint.complete([], 0);
    const { bavail, bsize } = await statfs(disk);
    await writeFile(join(disk, 'ballast'), Buffer.alloc(bavail * bsize - 60_000));
    let refusal: unknown;
    while (refusal === undefined) await checkpoint.incremental(change(checkpoint.revision + 1), checkpoint.revision, checkpoint.revision + 1).catch((e: unknown) => { refusal = e; });
    expect(isStatus(refusal, 'ServiceUnavailable') && refusal.message).toMatch(/cannot write the checkpoint.*free some space/);
    const { revision } = checkpoint;
    // More than the 60,000 bytes hold: the space set aside was used.
    expect(revision).toBeGreaterThan(25);
    expect(checkpoint.list(configMaps)).toHaveLength(revision);

    const reopened = await CheckpointStore.open({ log: silentLog }, { folder: join(disk, 'state') });
    expect(reopened.list(configMaps)).toHaveLength(revision);
    await reopened.close();

    await rm(join(disk, 'ballast'));
    await checkpoint.incremental(change(revision + 1), revision, revision + 1);
    await checkpoint.close();
    const last = await CheckpointStore.open({ log: silentLog }, { folder: join(disk, 'state') });
    expect(last.list(configMaps)).toHaveLength(revision + 1);
    await last.close();
  } finally {
    await execOk('umount', [disk]);
  }
});
