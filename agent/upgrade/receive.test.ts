import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import type { HostTask } from '#common/host-task.ts';
import { HostTasks } from './host-tasks.ts';
import { receivedPath } from './paths.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'receive-'));
const tasks = (stateDir: string): HostTasks => new HostTasks({ log: silentLog, nowMs: () => 0 }, { stateDir, executable: undefined, supervised: true });
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What the host answers to a file. */
async function send(stateDir: string, task: HostTask, bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  const stream = tasks(stateDir).serve(task).channel(0);
  const lines: Record<string, unknown>[] = [];
  const reading = (async () => {
    let text = '';
    for await (const chunk of stream) text += Buffer.from(chunk).toString();
    lines.push(...text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>));
  })();
  await stream.write(bytes);
  await stream.end();
  await reading;
  return lines;
}

const backup = (name: string, bytes: Uint8Array, keep = 2): HostTask => ({ task: 'receive', purpose: 'backup', name, bytes: bytes.length, sha256: sha(bytes), keep });

describe('a file from the control plane', () => {
  it('is there once it is whole; the newest are kept', async () => {
    const stateDir = folder();
    for (const day of ['1', '2', '3']) {
      const bytes = Buffer.from(`backup ${day} `.repeat(50_000));
      expect(await send(stateDir, backup(`daily-${day}.backup`, bytes), bytes)).toEqual([{ have: false }, { done: true, message: expect.stringContaining(`daily-${day}.backup is here`) as string }]);
      expect(readFileSync(join(stateDir, `backups/daily-${day}.backup`)).equals(bytes)).toBe(true);
    }
    writeFileSync(join(stateDir, 'backups/before-2.backup'), 'x');
    // Made with a clock that was ahead.
    writeFileSync(join(stateDir, 'backups/daily-9.backup'), 'x');
    const next = Buffer.from('backup 4');
    await send(stateDir, backup('daily-4.backup', next), next);
    expect(readdirSync(join(stateDir, 'backups')).sort()).toEqual(['before-2.backup', 'daily-3.backup', 'daily-4.backup', 'daily-9.backup']);
    expect(statSync(join(stateDir, 'backups/daily-3.backup')).mode & 0o777).toBe(0o600);
    const again = Buffer.from('backup 3 '.repeat(50_000));
    expect(await send(stateDir, backup('daily-3.backup', again), new Uint8Array(0))).toEqual([{ have: true }, { done: true, message: 'it was here already' }]);
  });

  it('that is cut off or another one leaves nothing', async () => {
    const stateDir = folder();
    const bytes = Buffer.from('backup '.repeat(1000));
    for (const sent of [bytes.subarray(1), Buffer.concat([bytes, bytes]), Buffer.alloc(bytes.length)]) {
      expect((await send(stateDir, backup('daily-1.backup', bytes), sent)).at(-1)).toMatchObject({ error: { code: 'Invalid' } });
    }
    expect(readdirSync(join(stateDir, 'backups'))).toEqual([]);
  });

  it('is unpacked when it is an executable, which takes the place of those that were never used', async () => {
    const stateDir = folder();
    mkdirSync(join(stateDir, 'upgrade'));
    writeFileSync(join(stateDir, 'upgrade/cleat-0123456789abcdef'), 'old');
    const packed = gzipSync('#!/bin/sh\necho "Client Version: v9.0.0"\n');
    const task = { task: 'receive', purpose: 'executable', name: 'cleat', bytes: packed.length, sha256: sha(packed), keep: 1 } as const;
    expect((await send(stateDir, task, packed)).at(-1)).toMatchObject({ done: true });
    expect(readdirSync(join(stateDir, 'upgrade'))).toEqual([`cleat-${sha(packed).slice(0, 16)}`]);
    expect(statSync(receivedPath(stateDir, sha(packed))).mode & 0o111).not.toBe(0);
    const upgrade = { task: 'upgrade', sha256: sha(packed), version: '9.0.0', confirmMs: 1 } as const;
    expect(await send(stateDir, upgrade, new Uint8Array(0))).toEqual([{ error: { code: 'MethodNotAllowed', message: expect.stringContaining('runs from a checkout') as string } }]);
    const junk = gzipSync('x').subarray(0, 15);
    expect((await send(stateDir, { ...task, bytes: junk.length, sha256: sha(junk) }, junk)).at(-1)).toMatchObject({ error: { message: expect.any(String) as string } });
    expect(readdirSync(join(stateDir, 'upgrade'))).toEqual([]);
  });
});
