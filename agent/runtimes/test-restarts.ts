import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { containerConfig, sandboxConfig } from './test-configs.ts';
import type { TestHost } from './test-host.ts';
import type { RuntimeDriver, RuntimeSnapshot } from './types.ts';

export interface RestartLab {
  readonly host: TestHost;
  readonly driver: RuntimeDriver;
  /** Another driver on the same engine, as after a restart of the agent. */
  connect(): RuntimeDriver;
  close(): Promise<void>;
}

/** For drivers that keep what their engine cannot remember: what one leaves, however it ends, the next one finds. */
export function restartContract(name: string, open: () => Promise<RestartLab>): void {
  describe(`restarts of the agent: ${name}`, () => {
    let lab: RestartLab;
    const signal = AbortSignal.timeout(400_000);
    const logs = async (pod: string): Promise<string> => {
      const dir = join(lab.host.stateDir, 'logs', pod);
      await mkdir(dir, { recursive: true });
      return dir;
    };
    const addresses = async (): Promise<string[]> => (await readdir(join(lab.host.stateDir, 'cni/lab')).catch(() => [])).filter((file) => /^\d/.test(file));

    beforeAll(async () => { lab = await open(); });
    afterAll(async () => { await lab.close(); });

    it('takes running containers over as they are, and knows how those ended that did so meanwhile', async () => {
      const sandbox = sandboxConfig(await logs('adopted'));
      const sandboxId = await lab.driver.runSandbox(sandbox, signal);
      const [stays, ends] = [await lab.driver.createContainer(sandboxId, sandbox, containerConfig('sleep 1000'), signal), await lab.driver.createContainer(sandboxId, sandbox, containerConfig('sleep 1; exit 9', { name: 'ends', logFile: 'ends.log' }), signal)];
      for (const id of [stays, ends]) await lab.driver.startContainer(id, signal);
      const before = (await lab.driver.list(signal, sandbox.podUid)).sandboxes;
      const next = lab.connect();
      await expect.poll(async () => (await next.list(signal, sandbox.podUid)).containers.find(({ id }) => id === ends)?.state, { timeout: 20_000 }).toBe('exited');
      const found = await next.list(signal, sandbox.podUid);
      expect(found.sandboxes).toEqual(before);
      expect(found.containers.find(({ id }) => id === ends)).toMatchObject({ exitCode: 9, reason: 'Error' });
      expect(found.containers.find(({ id }) => id === stays)).toMatchObject({ state: 'running', specHash: 'abc' });
      expect((await next.exec(stays, ['echo', 'here'], 10_000, signal)).output).toBe('here\n');
      await next.stopSandbox(sandboxId, signal);
      await next.removeSandbox(sandboxId, signal);
      expect(await next.list(signal, sandbox.podUid)).toEqual({ sandboxes: [], containers: [] });
      expect(await addresses()).toEqual([]);
    });

    it('tells by the plugins when a network is no longer as it was made, and collects only what belongs to no pod', async () => {
      const sandbox = sandboxConfig(await logs('checked'));
      const sandboxId = await lab.driver.runSandbox(sandbox, signal);
      const next = lab.connect();
      const [ip = ''] = (await next.list(signal, sandbox.podUid)).sandboxes.flatMap(({ ips }) => ips);
      const check = async (): Promise<string[] | undefined> => (await next.networks?.check(signal))?.map(({ podUid }) => podUid);
      expect(await check()).toEqual([]);
      await next.networks?.collect(signal);
      expect(await addresses()).toEqual([ip]);
      const device = /dev (\S+)/.exec(await lab.host.execute('ip', 'route', 'show', ip))?.[1] ?? '';
      await lab.host.execute('ip', 'link', 'del', device);
      expect(await check()).toEqual([sandbox.podUid]);
      // What is kept of one that nobody remembers.
      const results = join(lab.host.stateDir, 'results');
      const [file = ''] = await readdir(results);
      await writeFile(join(results, 'lost-eth0.json'), (await readFile(join(results, file), 'utf8')).replaceAll(sandboxId, 'lost'));
      await writeFile(join(lab.host.stateDir, 'cni/lab/10.99.0.9'), 'lost\r\neth0');
      await next.networks?.collect(signal);
      expect(await readdir(results)).toEqual([file]);
      expect(await addresses()).toEqual([ip]);
      await next.stopSandbox(sandboxId, signal);
      await next.removeSandbox(sandboxId, signal);
      expect(await addresses()).toEqual([]);
    });

    it.each([1, 40, 120, 250])('leaves nothing behind when it is cut off %i ms into the making of a pod', async (afterMs) => {
      const stop = new AbortController();
      const cut = AbortSignal.any([signal, stop.signal]);
      const sandbox = sandboxConfig(await logs(`cut-${String(afterMs)}`));
      const first = lab.connect();
      await first.list(signal);
      const cancel = systemClock.after(afterMs, () => { stop.abort(new Error('cut off')); });
      await first.runSandbox(sandbox, cut).then(async (id) => {
        await first.startContainer(await first.createContainer(id, sandbox, containerConfig('sleep 1000'), cut), cut);
      }).catch(() => undefined);
      cancel();
      const next = lab.connect();
      const removed = async (): Promise<RuntimeSnapshot> => {
        for (const { id } of (await next.list(signal, sandbox.podUid)).sandboxes) {
          await next.stopSandbox(id, signal);
          await next.removeSandbox(id, signal);
        }
        return next.list(signal, sandbox.podUid);
      };
      // A busy engine may make what it was asked for after nobody waits for that any more.
      await expect.poll(removed).toEqual({ sandboxes: [], containers: [] });
      expect(await addresses()).toEqual([]);
    });
  });
}
