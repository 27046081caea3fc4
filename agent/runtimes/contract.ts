import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { helloImage } from '#install/images.ts';
import type { Container, ContainerConfig, RuntimeDriver, Sandbox, SandboxConfig } from './types.ts';

/** What a driver brings to its tests: itself with `helloImage` present, and how it differs from a real engine. */
export interface DriverHarness {
  readonly driver: RuntimeDriver;
  /** True when programs really run: output, signals and limits are then looked at. */
  readonly real: boolean;
  /** Makes the container's program end with the code; a real one is told to through its own command. */
  readonly end?: (containerId: string, exitCode: number) => void;
  readonly close: () => Promise<void>;
}

let serial = 0;

export function sandboxConfig(logDirectory: string, change: Partial<SandboxConfig> = {}): SandboxConfig {
  const uid = `uid-${String(process.pid)}-${String(++serial)}`;
  return {
    podUid: uid, podNamespace: 'default', podName: `pod-${String(serial)}`, attempt: 0, hostname: `pod-${String(serial)}`, logDirectory,
    cgroupParent: `/cleat-contract/${uid}`, hostNetwork: false, hostPid: false, hostIpc: false, shareProcessNamespace: false, privileged: false, runtimeHandler: '', sysctls: {},
    dns: { servers: ['10.43.0.10'], searches: [], options: [] }, ports: [], labels: {}, ...change,
  };
}

export function containerConfig(script: string, change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    name: 'app', attempt: 0, image: helloImage, command: ['/bin/sh', '-c', script], args: [], workingDir: '', env: [], mounts: [],
    specHash: 'abc', graceSeconds: 7, logFile: 'app.log', stdin: false, stdinOnce: false, tty: false,
    resources: { cpuShares: 2, cpuQuotaMicros: 0, cpuPeriodMicros: 100_000, memoryLimitBytes: 0, oomScoreAdj: 1000 },
    security: { supplementalGroups: [], privileged: false, readOnlyRoot: false, noNewPrivileges: false, addCapabilities: [], dropCapabilities: [], maskedPaths: [], readonlyPaths: [], seccomp: { type: 'Unconfined' } },
    ...change,
  };
}

/** Every driver passes this, the fake included. */
export function runtimeDriverContract(name: string, open: () => Promise<DriverHarness>): void {
  describe(`runtime driver contract: ${name}`, () => {
    let harness: DriverHarness;
    let driver: RuntimeDriver;
    let dir: string;
    const signal = AbortSignal.timeout(110_000);

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'cleat-runtime-'));
      harness = await open();
      driver = harness.driver;
    });
    afterAll(async () => {
      await harness.close();
      await rm(dir, { recursive: true, force: true });
    });

    async function pod(script: string, change: Partial<ContainerConfig> = {}): Promise<{ sandbox: SandboxConfig; sandboxId: string; id: string }> {
      const sandbox = sandboxConfig(join(dir, String(serial)));
      await mkdir(sandbox.logDirectory, { recursive: true });
      const sandboxId = await driver.runSandbox(sandbox, signal);
      const id = await driver.createContainer(sandboxId, sandbox, containerConfig(script, change), signal);
      await driver.startContainer(id, signal);
      return { sandbox, sandboxId, id };
    }
    async function find(sandbox: SandboxConfig): Promise<{ sandbox: Sandbox | undefined; container: Container | undefined }> {
      const { sandboxes, containers } = await driver.list(signal, sandbox.podUid);
      return { sandbox: sandboxes[0], container: containers[0] };
    }
    async function remove(sandboxId: string): Promise<void> {
      await driver.stopSandbox(sandboxId, signal);
      await driver.removeSandbox(sandboxId, signal);
    }
    /** Reads events until the container has ended; the events decide when to look. */
    async function untilExited(sandbox: SandboxConfig): Promise<Container> {
      const stop = new AbortController();
      let looks = 0;
      try {
        for await (const { podUid } of driver.events(AbortSignal.any([signal, stop.signal]))) {
          // Looking at everything is for the beginning; after that, events say where to look.
          if (podUid === undefined) expect(++looks).toBeLessThan(3);
          else if (podUid !== sandbox.podUid) continue;
          const { container } = await find(sandbox);
          if (container?.state === 'exited') return container;
        }
      } finally {
        stop.abort();
      }
      throw new Error('no more events');
    }

    it('says who it is', async () => {
      expect(await driver.version(signal)).toMatch(/^[a-z]+:\/\/\d+\.\d+/);
      expect(await driver.notReady(signal)).toEqual([]);
    });

    it('runs a pod and lists it as it was made', async () => {
      const { sandbox, sandboxId, id } = await pod('sleep 1000');
      const found = await find(sandbox);
      expect(found.sandbox).toMatchObject({ id: sandboxId, podUid: sandbox.podUid, podName: sandbox.podName, podNamespace: 'default', attempt: 0, state: 'ready' });
      expect(found.sandbox?.ips).toHaveLength(1);
      expect(found.container).toMatchObject({ id, sandboxId, podUid: sandbox.podUid, name: 'app', attempt: 0, image: helloImage, state: 'running', specHash: 'abc', graceSeconds: 7, logPath: join(sandbox.logDirectory, 'app.log') });
      expect(found.container?.startedAtMs).toBeGreaterThan(0);
      expect(found.container?.imageId).toMatch(/sha256:/);
      expect((await driver.list(signal)).containers.map((c) => c.id)).toContain(id);
      await remove(sandboxId);
      expect(await find(sandbox)).toEqual({ sandbox: undefined, container: undefined });
    });

    it('runs a pod in the network of the host', async () => {
      const sandbox = sandboxConfig(join(dir, String(serial)), { hostNetwork: true, hostname: '' });
      await mkdir(sandbox.logDirectory, { recursive: true });
      const sandboxId = await driver.runSandbox(sandbox, signal);
      expect((await find(sandbox)).sandbox).toMatchObject({ state: 'ready', ips: [] });
      await remove(sandboxId);
    });

    it('tells of an exit by an event, with its code', async () => {
      const { sandbox, sandboxId, id } = await pod('echo hello; sleep 1; exit 3');
      harness.end?.(id, 3);
      const container = await untilExited(sandbox);
      expect(container).toMatchObject({ state: 'exited', exitCode: 3, reason: 'Error' });
      expect(container.finishedAtMs).toBeGreaterThanOrEqual(container.startedAtMs);
      if (harness.real) expect(await readFile(container.logPath, 'utf8')).toMatch(/^\S+ stdout F hello\n$/);
      await remove(sandboxId);
    });

    it('stops gently and repeatedly', async () => {
      const { sandbox, sandboxId, id } = await pod("trap 'exit 5' TERM; while true; do sleep 0.1; done");
      await driver.stopContainer(id, 20, signal);
      expect((await find(sandbox)).container?.state).toBe('exited');
      if (harness.real) expect((await find(sandbox)).container?.exitCode).toBe(5);
      await driver.stopContainer(id, 20, signal);
      await driver.removeContainer(id, signal);
      await driver.removeContainer(id, signal);
      await remove(sandboxId);
      await remove(sandboxId);
      await driver.stopContainer(id, 1, signal);
    });

    it('kills when the grace period is over', async () => {
      const { sandbox, sandboxId, id } = await pod("trap '' TERM; while true; do sleep 0.1; done");
      await driver.stopContainer(id, harness.real ? 1 : 0, signal);
      expect((await find(sandbox)).container).toMatchObject({ state: 'exited', exitCode: 137 });
      await remove(sandboxId);
    });

    it('runs commands inside', async () => {
      const { sandboxId, id } = await pod('sleep 1000', { env: [{ name: 'GREETING', value: 'hello' }] });
      const result = await driver.exec(id, ['/bin/sh', '-c', 'echo $GREETING; exit ${CODE:-0}'], 5000, signal);
      expect(result.exitCode).toBe(0);
      if (harness.real) {
        expect(result.output).toBe('hello\n');
        expect((await driver.exec(id, ['/bin/sh', '-c', 'exit 4'], 5000, signal)).exitCode).toBe(4);
        await expect(driver.exec(id, ['sleep', '30'], 1000, signal)).rejects.toMatchObject({ code: 'Timeout' });
      }
      await remove(sandboxId);
    });

    it('reports a lost sandbox', async () => {
      const { sandbox, sandboxId } = await pod('sleep 1000');
      await driver.stopSandbox(sandboxId, signal);
      const found = await find(sandbox);
      expect(found.sandbox).toMatchObject({ state: 'not-ready', ips: [] });
      expect(found.container?.state).toBe('exited');
      await remove(sandboxId);
    });

    it('measures running containers', async () => {
      const { sandboxId, id } = await pod('sleep 1000');
      expect((await driver.stats(signal)).get(id)?.memoryBytes).toBeGreaterThan(0);
      await remove(sandboxId);
      expect((await driver.stats(signal)).has(id)).toBe(false);
    });

    it('rejects what is not there with NotFound', async () => {
      expect(await driver.imageId('localhost:1/absent:1', signal)).toBeUndefined();
      await expect(driver.startContainer('absent', signal)).rejects.toMatchObject({ code: 'NotFound' });
      const sandbox = sandboxConfig(join(dir, 'absent'));
      await mkdir(sandbox.logDirectory, { recursive: true });
      const sandboxId = await driver.runSandbox(sandbox, signal);
      await expect(driver.createContainer(sandboxId, sandbox, containerConfig('true', { image: 'localhost:1/absent:1' }), signal)).rejects.toMatchObject({ code: 'NotFound' });
      await remove(sandboxId);
    });

    it('rejects with the reason of an aborted signal', async () => {
      const stop = new AbortController();
      stop.abort(new Error('enough'));
      if (harness.real) await expect(driver.version(stop.signal)).rejects.toThrow('enough');
    });
  });
}
