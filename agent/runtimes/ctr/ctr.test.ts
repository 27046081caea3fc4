import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { fromCtr } from '../containerd/ctr.ts';
import { exitOf } from './events.ts';
import { chainIdOf } from './images.ts';
import { Pipes } from './pipes.ts';
import { toContainer, type ContainerRecord } from './records.ts';

it.each([
  ['ctr: failed to dial "/x": context deadline exceeded', 'ServiceUnavailable'],
  ['ctr: container "a" in namespace "cleat": not found', 'NotFound'],
  ['time="x" level=info\nctr: image "b": already exists', 'AlreadyExists'],
  ['ctr: OCI runtime exec failed: exec failed: "nope": executable file not found in $PATH: unknown', 'InternalError'],
  ['', 'InternalError'],
])('tells what ctr said apart: %s', (words, code) => {
  expect(fromCtr('/x', words)).toMatchObject({ code });
});

it('reads ends of containers from events, and nothing else', () => {
  const event = { container_id: 'a', id: 'a', pid: 7, exit_status: 3, exited_at: '2026-01-01T00:00:00.123456789Z' };
  const line = (value: object): string => `2026-01-01 00:00:00.1 +0000 UTC cleat /tasks/exit ${JSON.stringify(value)}`;
  expect(exitOf(line(event))).toEqual({ containerId: 'a', exitCode: 3, atMs: Date.UTC(2026, 0, 1, 0, 0, 0, 123) });
  // A command that was run inside.
  expect(exitOf(line({ ...event, id: 'exec-1' }))).toBeUndefined();
  for (const noise of ['', 'noise', '/tasks/exit {', ' /tasks/exit {"container_id":7}']) expect(exitOf(noise)).toBeUndefined();
});

it('names the snapshot of layers as containerd does', () => {
  expect(chainIdOf(['sha256:a'])).toBe('sha256:a');
  // SHA-256 of both names with a space between.
  expect(chainIdOf(['sha256:a', 'sha256:b'])).toBe('sha256:970a948bffa8de94d6e22d747ba8c95030e6e546909f98f54e99a13005e173a8');
});

it('tells the state of a container by what is written down', () => {
  const record: ContainerRecord = {
    id: 'c', sandboxId: 's', podUid: 'u', name: 'app', attempt: 0, image: 'i', imageId: 'sha256:1', specHash: 'h', createdAtMs: 1, startedAtMs: 0, finishedAtMs: 0, exitCode: 0, logPath: '/l', graceSeconds: 1,
    made: true, stopSignal: 'SIGTERM', streams: { stdin: false, stdinOnce: false, tty: false }, cgroup: '/x',
  };
  const process = { pid: 7, startTime: '1' };
  expect(toContainer(record).state).toBe('created');
  expect(toContainer({ ...record, process }).state).toBe('running');
  expect(toContainer({ ...record, process, exitCode: 137, end: { reason: 'OOMKilled', message: '' } })).toMatchObject({ state: 'exited', reason: 'OOMKilled', exitCode: 137 });
  expect(toContainer(record)).not.toHaveProperty('stopSignal');
});

it('closes the log and the pipes of a program that could not be started', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-pipes-'));
  const open = async (): Promise<string[]> => (await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))).filter((path) => path.startsWith(dir));
  const pipes = new Pipes({ clock: new ManualClock(), log: silentLog }, join(dir, 'pipes'), join(dir, '0.log'));
  await pipes.prepare();
  // Once more, when what kept it from starting is over.
  await pipes.prepare();
  expect(await open()).toHaveLength(3);
  await pipes.remove();
  expect(await open()).toEqual([]);
  await rm(dir, { recursive: true });
});
