import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Container } from '#agent/runtimes/types.ts';
import { podPaths } from './paths.ts';
import { createTerminationFile, readTermination } from './termination.ts';
import { testContainer } from './testing.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-termination-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

describe('the last words of a container', () => {
  const paths = () => podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
  const ended = (exitCode: number): Container => ({
    id: 'c', sandboxId: 's', podUid: 'u', name: 'app', attempt: 1, image: '', imageId: '', specHash: '', state: 'exited', createdAtMs: 1, startedAtMs: 1, finishedAtMs: 1, exitCode,
    reason: '', message: '', logPath: join(dir, 'log'), graceSeconds: 1,
  });
  const fallback = testContainer('app', { terminationMessagePolicy: 'FallbackToLogsOnError' });
  const line = (text: string, tag = 'F'): string => `2026-01-01T00:00:00.000000000Z stderr ${tag} ${text}\n`;

  it('are in its file, the last 4 KiB', async () => {
    await writeFile(await createTerminationFile(paths(), 'app', 1), `${'.'.repeat(10_000)}why`);
    expect(await readTermination(paths(), testContainer('app'), ended(1))).toBe(`${'.'.repeat(4093)}why`);
  });

  it('are the end of its log when it failed without a word and its policy says so', async () => {
    await createTerminationFile(paths(), 'app', 1);
    await writeFile(join(dir, 'log'), line('so ', 'P') + line('long') + line('bye'));
    expect(await readTermination(paths(), testContainer('app'), ended(1))).toBe('');
    expect(await readTermination(paths(), fallback, ended(0))).toBe('');
    expect(await readTermination(paths(), fallback, ended(1))).toBe('so long\nbye\n');
    await writeFile(join(dir, 'log'), Array.from({ length: 100 }, (_, i) => line(String(i))).join(''));
    expect((await readTermination(paths(), fallback, ended(1))).split('\n').slice(0, 2)).toEqual(['20', '21']);
    await writeFile(join(dir, 'log'), Array.from({ length: 100 }, () => line('x'.repeat(24))).join(''));
    expect((await readTermination(paths(), fallback, ended(1))).length).toBe(80 * 25);
    await writeFile(join(dir, 'log'), line('x'.repeat(9000)));
    expect((await readTermination(paths(), fallback, ended(1))).length).toBeLessThanOrEqual(2048);
  });
});
