import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPlainContainerd } from '../support/lab/engines.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';

const root = join(import.meta.dirname, '../..');
const executable = join(root, 'cleat');

describe('a host whose containerd has no CRI', () => {
  let lab: Lab;
  let host: LabHost;
  let containerd: LabProcess;
  let up: LabProcess;

  const start = async (...flags: string[]): Promise<LabProcess> => {
    const process_ = host.spawn('up', executable, ['up', ...flags, '--apply', 'examples/hello.yaml', `--node-ip=${host.address}`], { cwd: root });
    await process_.waitForOutput('Ctrl-C stops Cleat', 60_000);
    return process_;
  };
  const cleat = (...args: string[]): Promise<string> => host.execOk(executable, args, { timeoutMs: 60_000 });
  /** Ids of what runs: containers, which are containerd's tasks, and sandboxes, which are runc's alone. */
  const programs = async (): Promise<string[]> => {
    const listed = await host.sh("ctr -n cleat tasks ls; for root in $(find /run/cleat -path '*/ctr/*/runc' -type d); do runc --root $root list; done");
    return listed.split('\n').filter((line) => /\bRUNNING\b/i.test(line)).map((line) => line.split(/\s+/)[0] ?? '').sort();
  };
  const pod = async (): Promise<string> => (await cleat('get', 'pods', '-l', 'app=hello', '-o', 'jsonpath={.items[0].metadata.name}')).trim();
  /** What pods leave on a host while they run. */
  const traces = (): Promise<string> => host.sh("grep -c /ctr/ /proc/self/mounts || true; ls /run/cleat 2>/dev/null | grep -v '^[0-9a-f]\\{12\\}$' || true; ls /var/lib/cleat/cni/data/cleat 2>/dev/null | grep -c '^10' || true; ip -o link | grep -c veth || true; ctr -n cleat containers ls -q; ctr -n cleat snapshots ls | grep -c Active || true; find /sys/fs/cgroup -path '*kubepods/pod*' -type d");

  beforeAll(async () => {
    lab = await createLab({ hosts: 1 });
    host = lab.host(0);
    containerd = await startPlainContainerd(host);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('runs the example there: a Service answers', async () => {
    up = await start('--runtime', 'ctr');
    expect(up.output()).toMatch(/Hello from hello-\w+-\w+ to /);
    expect(await cleat('get', 'node', 'host0', '-o', 'jsonpath={.status.nodeInfo.containerRuntimeVersion}')).toMatch(/^containerd:\/\/\d+\./);
    expect(await cleat('get', 'node', 'host0', '-o', 'jsonpath={.metadata.annotations.cleat\\.dev/runtime}')).toBe('ctr unix:///run/containerd/containerd.sock');
    expect(await programs()).toHaveLength(6);
    expect((await host.execOk('ctr', ['-n', 'cleat', 'tasks', 'ls', '-q'])).trim().split('\n')).toHaveLength(3);
  });

  it('shows logs, and lets users in', async () => {
    const name = await pod();
    expect(await cleat('logs', '-l', 'app=hello', '--tail=-1')).toMatch(/^Hello to 10\.88\.\d+\.11$/m);
    expect(await host.sh('cat /var/log/containers/hello-*_default_*-*.log')).toMatch(/^\S+ stderr F Hello to 10\.88\.\d+\.11$/m);
    expect(await cleat('exec', name, '--', 'sh', '-c', 'hostname; cat /etc/resolv.conf')).toMatch(new RegExp(`^${name}\n[^]*nameserver `));
    expect((await host.exec(executable, ['exec', name, '--', 'sh', '-c', 'exit 7'])).exitCode).toBe(7);
  });

  it('leaves pods alone when it is killed, takes them over, and goes on with their logs', async () => {
    const ids = await programs();
    await up.kill('SIGKILL');
    expect(await programs()).toEqual(ids);
    const address = (await host.sh("ip -o -4 route | awk '/dev veth/ {print $1; exit}'")).trim();
    await host.sh(`wget -qO- http://${address}:8080/`);
    // Found without being told again.
    up = await start();
    expect(await programs()).toEqual(ids);
    await eventually(async () => (await cleat('logs', '-l', 'app=hello', '--tail=-1')).split('\n').filter((line) => line.startsWith('Hello to')).length >= 2, { what: 'what was said while nobody read', timeoutMs: 20_000 });
  });

  it('does not mind that containerd is killed', async () => {
    const ids = await programs();
    await containerd.kill('SIGKILL');
    containerd = await startPlainContainerd(host);
    expect(await programs()).toEqual(ids);
    await cleat('delete', 'pod', await pod(), '--wait=false');
    await eventually(async () => { const now = await programs(); return now.length === 6 && now.some((id) => !ids.includes(id)); }, { what: 'another pod in its place', timeoutMs: 60_000 });
  });

  it('is killed in the middle of making pods, and makes them whole', async () => {
    for (const [replicas, afterMs] of [['6', 250], ['3', 150]] as const) {
      await cleat('scale', 'deployment/hello', `--replicas=${replicas}`);
      await new Promise((resolve) => { setTimeout(resolve, afterMs); });
      await up.kill('SIGKILL');
      up = await start('--runtime', 'ctr');
    }
    // An example that is applied again leaves the scale alone.
    await eventually(async () => (await programs()).length === 6, { what: 'three pods, and nothing else', timeoutMs: 90_000 });
    await eventually(async () => (await host.sh('ls /var/lib/cleat/cni/data/cleat | grep -c "^10\\."')).trim() === '3', { what: 'the addresses of three pods', timeoutMs: 30_000 });
  });

  it('goes without a trace', async () => {
    await up.kill('SIGTERM');
    expect(await cleat('down')).toMatch(/^\d pods removed\n/);
    expect((await traces()).trim()).toBe('0\n0\n0\n0');
  });
});
