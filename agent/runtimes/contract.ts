import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { commandChannels } from '#common/streams/channels.ts';
import { helloImage } from '#install/images.ts';
import { containerConfig, sandboxConfig } from './test-configs.ts';
import { addCdiDevices } from './test-devices.ts';
import type { Container, ContainerConfig, RuntimeDriver, Sandbox, SandboxConfig } from './types.ts';

/** What a driver brings to its tests: itself with `helloImage` present, and how it differs from a real engine. */
export interface DriverHarness {
  readonly driver: RuntimeDriver;
  /** True when programs really run: output, signals and limits are then looked at. */
  readonly real: boolean;
  /** Makes the container's program end with the code; a real one is told to through its own command. */
  readonly end?: (containerId: string, exitCode: number) => void;
  /** Has the engine told that memory ran out in a container. Absent where a driver sees that for itself. */
  readonly tellOom?: (containerId: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

const { stdin, stdout, stderr, status, resize } = commandChannels;

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function eventually<T>(look: () => Promise<T | false>): Promise<T> {
  for (let waitMs = 5; waitMs < 15_000; waitMs *= 2) {
    const found = await look();
    if (found !== false) return found;
    await systemClock.sleep(waitMs, new AbortController().signal);
  }
  throw new Error('waited in vain');
}

/** Whoever made it: it is in the pod's own cgroup. */
async function killPause({ cgroupParent }: SandboxConfig): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(async (pid) => {
    const [command = '', cgroup = ''] = await Promise.all(['cmdline', 'cgroup'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')));
    return command.startsWith('/pause\0') && cgroup.includes(`${cgroupParent}/`) ? [Number(pid)] : [];
  }));
  const [pid = 0, ...more] = found.flat();
  expect([pid > 1, more]).toEqual([true, []]);
  process.kill(pid, 'SIGKILL');
}

/** Every driver passes this, the fake included. */
export function runtimeDriverContract(name: string, open: () => Promise<DriverHarness>): void {
  describe(`runtime driver contract: ${name}`, () => {
    let harness: DriverHarness;
    let driver: RuntimeDriver;
    let dir: string;
    let folders = 0;
    const signal = AbortSignal.timeout(400_000);

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
      const sandbox = sandboxConfig(join(dir, String(++folders)));
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
    /** In CRI format, wherever the runtime keeps it. */
    async function logOf({ id, logPath }: Container): Promise<string> {
      if (!driver.readLog) return readFile(logPath, 'utf8').catch(() => '');
      let text = '';
      for await (const entry of driver.readLog(id, { follow: false }, signal)) text += `${entry.time} ${entry.stream} ${entry.complete ? 'F' : 'P'} ${entry.text.toString()}\n`;
      return text;
    }
    /** A trap is set by the time that the program has spoken. */
    async function untilSpoken(sandbox: SandboxConfig): Promise<void> {
      const { container } = await find(sandbox);
      if (harness.real && container) await eventually(async () => await logOf(container) !== '');
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
      const sandbox = sandboxConfig(join(dir, String(++folders)), { hostNetwork: true, hostname: '' });
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
      if (harness.real) expect(await logOf(container)).toMatch(/^\S+ stdout F hello\n$/);
      await remove(sandboxId);
    });

    it('tells that memory ran out, also where the engine hears of that after the exit', async () => {
      if (!harness.tellOom) return;
      const { sandbox, sandboxId, id } = await pod('exit 137');
      expect(await untilExited(sandbox)).toMatchObject({ exitCode: 137, reason: 'Error' });
      const stop = new AbortController();
      const told = (async () => {
        for await (const { podUid } of driver.events(stop.signal)) if (podUid === sandbox.podUid && (await find(sandbox)).container?.reason === 'OOMKilled') return stop.abort();
      })();
      // Nobody says from when on an engine listens.
      while (!stop.signal.aborted) {
        await harness.tellOom(id);
        await systemClock.sleep(200, AbortSignal.any([signal, stop.signal])).catch(() => undefined);
        signal.throwIfAborted();
      }
      await told;
      await remove(sandboxId);
    });

    it('stops gently and repeatedly', async () => {
      const { sandbox, sandboxId, id } = await pod("trap 'exit 5' TERM; echo up; while true; do sleep 0.1; done");
      await untilSpoken(sandbox);
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

    it('goes on in a new log when the old one was renamed', async () => {
      const { sandbox, sandboxId } = await pod('while true; do echo tick; sleep 0.1; done');
      await untilSpoken(sandbox);
      const { container } = await find(sandbox);
      // Where the runtime keeps the log it rotates it, too.
      if (harness.real && container && !driver.readLog) {
        const old = `${container.logPath}.1`;
        await rename(container.logPath, old);
        await driver.reopenLog(container.id, signal);
        await eventually(async () => await logOf(container) !== '');
        for (const path of [old, container.logPath]) expect(await readFile(path, 'utf8')).toMatch(/^\S+ stdout F tick\n/);
      }
      await remove(sandboxId);
    });

    it('kills when the grace period is over', async () => {
      const { sandbox, sandboxId, id } = await pod("trap '' TERM; while true; do sleep 0.1; done");
      await driver.stopContainer(id, harness.real ? 1 : 0, signal);
      expect((await find(sandbox)).container).toMatchObject({ state: 'exited', exitCode: 137 });
      await remove(sandboxId);
    });

    it.each([['SIGUSR1', 10], ['SIGRTMIN+3', 37], ['SIGRTMAX-1', 63]])('ends a program by the signal that was asked for: %s', async (stopSignal, number) => {
      const { sandbox, sandboxId, id } = await pod(`trap 'exit 6' ${String(number)}; trap 'exit 5' TERM; echo up; while true; do sleep 0.1; done`, { stopSignal });
      await untilSpoken(sandbox);
      await driver.stopContainer(id, 20, signal);
      const { container } = await find(sandbox);
      expect(container?.state).toBe('exited');
      if (harness.real) expect(container?.exitCode).toBe(6);
      await remove(sandboxId);
    });

    it('changes what a running container may use', async () => {
      const { sandboxId, id } = await pod('sleep 1000', { resources: { ...containerConfig('').resources, cpuShares: 102, memoryLimitBytes: 64 << 20 } });
      const limits = async (): Promise<string[]> => (await driver.exec(id, ['/bin/sh', '-c', 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares 2>/dev/null || cat memory.max cpu.max'], 5000, signal)).output.trim().split('\n').slice(0, 2);
      // Version 1 of cgroups tells of memory with swap, version 2 of swap alone. Some kernels count none.
      const swap = async (): Promise<number> => {
        const files = 'cd /sys/fs/cgroup; for file in memory/memory.memsw.limit_in_bytes memory/memory.limit_in_bytes memory.swap.max; do [ -e memory.swap.max ] || [ -e memory/memory.memsw.limit_in_bytes ] || break; [ ! -e $file ] || cat $file; done';
        const [first = 0, second = 0] = (await driver.exec(id, ['/bin/sh', '-c', files], 5000, signal)).output.trim().split('\n').map(Number);
        return first - second;
      };
      if (harness.real) expect(await swap()).toBe(0);
      for (const megabytes of [96, 48]) {
        await driver.updateContainer(id, { ...containerConfig('').resources, cpuShares: 512, cpuQuotaMicros: 50_000, memoryLimitBytes: megabytes << 20 }, signal);
        if (harness.real) expect([...(await limits()).map((line) => Number.parseInt(line, 10)), await swap()]).toEqual([megabytes << 20, 50_000, 0]);
      }
      await expect(driver.updateContainer('absent', containerConfig('').resources, signal)).rejects.toMatchObject({ code: 'NotFound' });
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

    it('has a command whose children hold its output end with it, or in time', async () => {
      const { sandboxId, id } = await pod('sleep 1000');
      const left = driver.exec(id, ['/bin/sh', '-c', 'sleep 1000 & exit 0'], 1000, signal).then(({ exitCode }) => exitCode, (error: unknown) => (isStatus(error) ? error.code : error));
      expect([0, 'Timeout']).toContain(await left);
      expect((await driver.exec(id, ['/bin/sh', '-c', 'exit 0'], 5000, signal)).exitCode).toBe(0);
      await remove(sandboxId);
    });

    it('connects a command with its streams, and says how it ended', async () => {
      const { sandboxId, id } = await pod('sleep 1000');
      const streams = { stdin: true, stdout: true, stderr: true, tty: false };
      const program = await driver.execStream(id, ['sh', '-c', 'echo oops >&2; cat; exit 3'], streams, signal);
      const outputs = Promise.all([stdout, stderr, status].map((number) => textOf(program.channel(number))));
      const input = Buffer.alloc(3_000_000, 'some input ');
      await program.channel(stdin).write(input);
      await program.channel(stdin).end();
      const [out = '', err, end = ''] = await outputs;
      expect(out === input.toString()).toBe(true);
      if (harness.real) {
        expect(err).toBe('oops\n');
        expect(JSON.parse(end)).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '3' }] } });
      } else expect(JSON.parse(end)).toEqual({ metadata: {}, status: 'Success' });
      await program.closed;
      await expect(driver.execStream('absent', ['true'], streams, signal)).rejects.toMatchObject({ code: 'NotFound' });
      await remove(sandboxId);
    });

    it('gives a command a terminal, and its size', async () => {
      const { sandboxId, id } = await pod('sleep 1000');
      const program = await driver.execStream(id, ['sh', '-c', 'until busybox stty size | busybox grep "^30 70"; do busybox usleep 10000; done'], { stdin: true, stdout: true, stderr: false, tty: true }, signal);
      const text = textOf(program.channel(stdout));
      // The runtime does it in its own time.
      await program.channel(resize).write(Buffer.from('{"Width":70,"Height":30}'));
      if (!harness.real) await program.channel(stdin).end();
      if (harness.real) expect(await text).toContain('30 70');
      program.close();
      await remove(sandboxId);
    });

    it('shows what is said in a terminal as it is', async () => {
      const tty = { stdin: true, stdout: true, stderr: false, tty: true };
      const { sandbox, sandboxId, id } = await pod('echo up; while read line; do echo "got $line"; done', { stdin: true, tty: true });
      if (harness.real) {
        // Some end before anybody has told them how large their terminal is.
        for (const script of ['echo one; echo two >&2; exit 3', 'sleep 0.3; echo one; echo two; exit 3']) {
          const program = await driver.execStream(id, ['sh', '-c', script], tty, signal);
          const [text, end = ''] = await Promise.all([stdout, status].map((number) => textOf(program.channel(number))));
          expect([text, end]).toEqual(['one\r\ntwo\r\n', expect.stringContaining('"3"')]);
        }
        const wrong = await driver.execStream(id, ['none'], tty, signal);
        expect((await Promise.all([stdout, status].map((number) => textOf(wrong.channel(number))))).join('')).toContain('executable file not found');
        await untilSpoken(sandbox);
        const attached = await driver.attach(id, tty, signal);
        await attached.channel(stdin).write(Buffer.from('hello\n'));
        let heard = '';
        for await (const chunk of attached.channel(stdout)) if ((heard += Buffer.from(chunk).toString()).includes('got hello\r\n')) break;
        expect(heard).toBe('hello\r\ngot hello\r\n');
        attached.close();
      }
      await remove(sandboxId);
    });

    it('attaches to the program of a container', async () => {
      const { sandboxId, id } = await pod('while read line; do echo "got $line"; done', { stdin: true });
      const program = await driver.attach(id, { stdin: true, stdout: true, stderr: true, tty: false }, signal);
      const first = program.channel(stdout)[Symbol.asyncIterator]().next();
      await program.channel(stdin).write(Buffer.from('hello\n'));
      expect(Buffer.from((await first).value ?? []).toString()).toContain('hello\n');
      program.close();
      await program.closed;
      await remove(sandboxId);
    });

    it('connects to a port of a sandbox', async () => {
      const { sandboxId } = await pod('while true; do nc -l -p 8080 -e cat; done');
      // The program takes a moment to listen.
      const connection = await eventually(async () => {
        const opened = await driver.portForward(sandboxId, 8080, signal);
        await opened.channel(0).write(Buffer.from('hello'));
        const first = await opened.channel(0)[Symbol.asyncIterator]().next().catch(() => undefined);
        return first?.done === false && opened;
      });
      connection.close();
      const refused = driver.portForward(sandboxId, 9, signal).then((opened) => textOf(opened.channel(0)));
      if (harness.real) await expect(refused).rejects.toMatchObject({ code: 'ServiceUnavailable', message: expect.stringContaining('refused') as string });
      await remove(sandboxId);
    });

    it('gives no capability that is to be dropped, whoever adds it', async () => {
      const { sandboxId, id } = await pod('sleep 1000', { security: { ...containerConfig('').security, addCapabilities: ['NET_ADMIN', 'SYS_NICE'], dropCapabilities: ['NET_ADMIN', 'CHOWN'] } });
      if (harness.real) {
        const held = BigInt(`0x${/CapEff:\s+(\w+)/.exec((await driver.exec(id, ['busybox', 'grep', 'CapEff', '/proc/1/status'], 5000, signal)).output)?.[1] ?? ''}`);
        // CHOWN, KILL, NET_ADMIN, SYS_NICE
        expect([0n, 5n, 12n, 23n].map((bit) => (held >> bit) & 1n)).toEqual([0n, 1n, 0n, 1n]);
      }
      await remove(sandboxId);
    });

    it('mounts what it is told to in the place of what a pod has anyway', async () => {
      const own = join(dir, 'own');
      await mkdir(own, { recursive: true });
      await writeFile(join(own, 'file'), 'own\n');
      const places = [['/etc//resolv.conf', join(own, 'file')], ['/etc/hostname', join(own, 'file')], ['/etc/hosts', join(own, 'file')], ['/dev/shm', own]] as const;
      const mounts = places.map(([containerPath, hostPath]) => ({ containerPath, hostPath, readOnly: false, propagation: 'None' as const }));
      const { sandboxId, id } = await pod('sleep 1000', { mounts });
      if (harness.real) expect((await driver.exec(id, ['/bin/sh', '-c', 'cat /etc/resolv.conf /etc/hostname /etc/hosts /dev/shm/file'], 5000, signal)).output).toBe('own\n'.repeat(4));
      await remove(sandboxId);
    });

    it('gives a container its devices, and no others, without privileges', async () => {
      const { sandboxId, id } = await pod('sleep 1000', {
        devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/my-fuse', permissions: 'rw' }, { hostPath: '/dev/net', containerPath: '/dev/net', permissions: 'rw' }, { hostPath: '/dev/loop-control', containerPath: '/dev/ro', permissions: 'r' }],
        annotations: { 'cleat.dev/note': 'hi' },
        security: { ...containerConfig('').security, addCapabilities: ['MKNOD'] },
      });
      if (harness.real) {
        const opens = (flags: string, path: string): string => `(: ${flags} ${path}) 2>/dev/null && echo yes || echo no`;
        const script = [opens('<>', '/dev/my-fuse'), opens('<>', '/dev/net/tun'), opens('<', '/dev/ro'), opens('>', '/dev/ro'), 'mknod /tmp/x c 10 183 2>/dev/null', opens('<', '/tmp/x')].join('; ');
        expect((await driver.exec(id, ['/bin/sh', '-c', script], 5000, signal)).output.trim().split('\n')).toEqual(['yes', 'yes', 'yes', 'no', 'no']);
      }
      await remove(sandboxId);
    });

    it('knows devices by their names in the Container Device Interface', async () => {
      const cdi = await addCdiDevices(join(dir, 'cdi'));
      try {
        const { sandboxId, id } = await pod('sleep 1000', { cdiDevices: [`${cdi.kind}=fuse`] });
        if (harness.real) expect((await driver.exec(id, ['/bin/sh', '-c', '(: <> /dev/fuse) && echo $CDI_COMMON $CDI_DEVICE; cat /gift'], 5000, signal)).output).toBe('yes fuse\nfor you\n');
        await remove(sandboxId);
        if (!harness.real) return;
        await expect(pod('sleep 1000', { cdiDevices: [`${cdi.kind}=none`] })).rejects.toMatchObject({ message: expect.stringMatching(/none/) as string });
        // Either its hooks are run, or it is said that they are not.
        const hooked = await pod('sleep 1000', { cdiDevices: [`${cdi.kind}=hooked`] }).catch((error: unknown) => error as Error);
        if (hooked instanceof Error) expect(hooked.message).toContain('need the hook /bin/sh, which this ');
        else expect(cdi.hookRan()).toBe(true);
      } finally {
        await cdi.remove();
      }
    });

    it('reports a lost sandbox', async () => {
      const { sandbox, sandboxId } = await pod('sleep 1000');
      await driver.stopSandbox(sandboxId, signal);
      const found = await find(sandbox);
      expect(found.sandbox).toMatchObject({ state: 'not-ready', ips: [] });
      expect(found.container?.state).toBe('exited');
      await remove(sandboxId);
    });

    it('removes a sandbox that runs, with what runs in it', async () => {
      const { sandbox, sandboxId, id } = await pod('trap "" TERM; sleep 1000');
      await driver.removeSandbox(sandboxId, signal);
      expect(await driver.list(signal, sandbox.podUid)).toEqual({ sandboxes: [], containers: [] });
      await expect(driver.startContainer(id, signal)).rejects.toThrow();
      await driver.removeSandbox(sandboxId, signal);
    });

    it('tells by an event of a sandbox whose pause program is killed', async () => {
      if (!harness.real) return; // a fake has none
      const [{ sandbox, sandboxId }, other] = [await pod('sleep 1000'), await pod('sleep 1000')];
      const stop = new AbortController();
      let killed = false;
      try {
        for await (const { podUid } of driver.events(AbortSignal.any([signal, stop.signal]))) {
          // What comes first is to look at everything.
          if (!killed) {
            killed = true;
            await killPause(sandbox);
          }
          if (podUid === sandbox.podUid && (await find(sandbox)).sandbox?.state === 'not-ready') break;
        }
      } finally {
        stop.abort();
      }
      expect((await find(sandbox)).sandbox?.state).toBe('not-ready');
      expect((await find(other.sandbox)).sandbox?.state).toBe('ready');
      await remove(sandboxId);
      await remove(other.sandboxId);
    });

    it('measures running containers', async () => {
      const { sandboxId, id } = await pod('sleep 1000');
      expect((await driver.stats(signal)).get(id)?.memoryBytes).toBeGreaterThan(0);
      await remove(sandboxId);
      expect((await driver.stats(signal)).has(id)).toBe(false);
    });

    it('lists images by the names that pods use, with their size', async () => {
      const { sandboxId } = await pod('sleep 1000');
      const listed = (await driver.listImages(signal)).find(({ names }) => names.some((name) => name === helloImage || name.endsWith(`/${helloImage}`)));
      await remove(sandboxId);
      expect(listed?.sizeBytes).toBeGreaterThan(0);
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
