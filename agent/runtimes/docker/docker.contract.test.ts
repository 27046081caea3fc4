import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runtimeDriverContract } from '../contract.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { imageContract } from '../image-contract.ts';
import { tellOom } from '../test-oom.ts';
import { restartContract } from '../test-restarts.ts';
import type { LogEntry, LogOptions } from '../types.ts';
import { openDockerLab, type DockerLab } from './test-lab.ts';

runtimeDriverContract('docker', async () => {
  const lab = await openDockerLab();
  return { driver: lab.driver, real: true, tellOom: (id) => tellOom(lab.host.containerd, 'moby', id), close: () => lab.close() };
});

restartContract('docker', openDockerLab);

imageContract('docker', async () => {
  const lab = await openDockerLab();
  return { driver: lab.driver, host: lab.host, resumesItself: true, close: () => lab.close() };
});

describe('what Docker keeps', () => {
  let lab: DockerLab;
  let signal: AbortSignal;
  beforeAll(async () => {
    lab = await openDockerLab();
    // From now on: what comes before in this file takes its time.
    signal = AbortSignal.timeout(110_000);
  });
  afterAll(async () => { await lab.close(); });

  it('are logs: they are read from their end, from a time on, and along until the container has ended', async () => {
    const sandbox = sandboxConfig(join(lab.host.stateDir, 'logs'));
    await mkdir(sandbox.logDirectory, { recursive: true });
    const sandboxId = await lab.driver.runSandbox(sandbox, signal);
    const id = await lab.driver.createContainer(sandboxId, sandbox, containerConfig('echo one; echo two >&2; sleep 2; echo three'), signal);
    await lab.driver.startContainer(id, signal);
    const read = async (options: LogOptions): Promise<LogEntry[]> => {
      const entries: LogEntry[] = [];
      for await (const entry of lab.driver.readLog(id, options, signal)) entries.push(entry);
      return entries;
    };
    const texts = (entries: readonly LogEntry[]): string[] => entries.map(({ stream, text }) => `${stream} ${text.toString()}`);
    const followed = await read({ follow: true });
    expect(texts(followed).toSorted()).toEqual(['stderr two', 'stdout one', 'stdout three']);
    expect(texts(await read({ follow: false, tailLines: 1 }))).toEqual(['stdout three']);
    expect(await read({ follow: false, tailLines: 0 })).toEqual([]);
    expect(texts(await read({ follow: false, sinceMs: Date.parse(followed.at(-1)?.time ?? '') - 500 }))).toEqual(['stdout three']);
    await lab.driver.removeSandbox(sandboxId, signal);
    await expect(read({ follow: false })).rejects.toMatchObject({ code: 'NotFound' });
  });

  it('are events: an agent that was not there knows that memory ran out', async () => {
    const sandbox = sandboxConfig(join(lab.host.stateDir, 'logs'));
    const sandboxId = await lab.driver.runSandbox(sandbox, signal);
    const id = await lab.driver.createContainer(sandboxId, sandbox, containerConfig('exit 137'), signal);
    await lab.driver.startContainer(id, signal);
    const next = async (): Promise<string | undefined> => (await lab.connect().list(signal, sandbox.podUid)).containers[0]?.reason;
    await expect.poll(next, { timeout: 30_000 }).toBe('Error');
    await tellOom(lab.host.containerd, 'moby', id);
    await expect.poll(next, { timeout: 30_000 }).toBe('OOMKilled');
    await lab.driver.removeSandbox(sandboxId, signal);
  });
});
