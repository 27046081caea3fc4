import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import type { DockerEngine } from '#agent/runtimes/docker/engine.ts';
import type { InspectedContainer, ListedContainer } from '#agent/runtimes/docker/messages.ts';
import { tar } from '#install/images-tar.ts';
import { engineOf, startDocker, startPlainContainerd } from '../support/lab/engines.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';

const root = join(import.meta.dirname, '../..');
const executable = join(root, 'cleat');
const forever = new AbortController().signal;

/** A container that has nothing to do with Cleat. */
async function runForeign(engine: DockerEngine): Promise<string> {
  const files = tar([{ path: 'bin', type: 'dir', mode: 0o755 }, { path: 'bin/busybox', type: 'file', mode: 0o755, data: readFileSync('/bin/busybox') }]);
  await engine.open('POST', '/images/create', { query: { fromSrc: '-', repo: 'somebody', tag: '1' }, tar: Readable.from([files]), timeoutMs: 30_000 }, forever).then((answer) => answer.toArray());
  // On a network of its own, where Docker answers the containers' names.
  await engine.call('POST', '/networks/create', { json: { Name: 'theirs' } }, forever);
  const HostConfig = { RestartPolicy: { Name: 'always' }, NetworkMode: 'theirs' };
  const start = async (name: string, Cmd: readonly string[]): Promise<string> => {
    const { Id } = await engine.call<{ Id: string }>('POST', '/containers/create', { query: { name }, json: { Image: 'somebody:1', Cmd, HostConfig } }, forever);
    await engine.call('POST', `/containers/${Id}/start`, { timeoutMs: 30_000 }, forever);
    return Id;
  };
  await start('web', ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/bin']);
  return start('somebody', ['/bin/busybox', 'sleep', '1000000']);
}

describe('a host with Docker', () => {
  let lab: Lab;
  let host: LabHost;
  let docker: LabProcess;
  let up: LabProcess;
  let foreign: string;
  let before: { readonly foreign: unknown; readonly rules: string; readonly settings: ReadonlyMap<string, string> };

  const start = async (): Promise<LabProcess> => {
    const process_ = host.spawn('up', executable, ['up', '--runtime', 'docker', '--apply', 'examples/hello.yaml', `--node-ip=${host.address}`], { cwd: root });
    await process_.waitForOutput('Ctrl-C stops Cleat', 120_000);
    return process_;
  };
  const cleat = (...args: string[]): Promise<string> => host.execOk(executable, args, { timeoutMs: 60_000 });
  const ours = (): Promise<ListedContainer[]> => engineOf(host).call<ListedContainer[]>('GET', '/containers/json', { query: { all: true, filters: '{"label":["cleat.dev/owner=host0"]}' } }, forever);
  const running = async (): Promise<string[]> => (await ours()).filter(({ State }) => State === 'running').map(({ Id }) => Id).sort();
  const foreignState = async (): Promise<unknown> => (await engineOf(host).call<InspectedContainer>('GET', `/containers/${foreign}/json`, {}, forever)).State;
  // Counters aside.
  const rules = async (): Promise<string> => (await host.execOk('iptables-save', [])).replaceAll(/^#.*\n|\[\d+:\d+\]/gm, '');
  /** All but what leads to our own chain, which the ledger has. */
  const foreignRules = async (): Promise<string> => (await rules()).split('\n').filter((line) => !line.includes('CLEATHOOK')).join('\n');
  /** Settings of the kernel's network that somebody may have made; counters aside. */
  const settings = async (): Promise<Map<string, string>> => new Map((await host.sh('sysctl -a 2>/dev/null | grep -E "^net\\.(ipv4|ipv6|bridge|netfilter)\\." | grep -v -E "count|route\\.flush|nf_conntrack_buckets|mem"')).split('\n').map((line) => line.split(' = ')).flatMap(([name = '', value = '']) => (name === '' ? [] : [[name, value] as const])));
  const changedSettings = async (): Promise<string[]> => { const now = await settings(); return [...before.settings].filter(([name, value]) => now.has(name) && now.get(name) !== value).map(([name]) => name); };
  /** By its name, and by its address through the host. */
  const theirsWorks = async (): Promise<boolean> => {
    const inspected = await engineOf(host).call<InspectedContainer>('GET', `/containers/${foreign}/json`, {}, forever);
    const pid = (inspected.State as { Pid?: number }).Pid ?? 0;
    const answer = await host.exec('nsenter', ['-t', String(pid), '-n', '-m', '/bin/busybox', 'timeout', '5', '/bin/busybox', 'wget', '-qO-', 'http://web/busybox'], { maxBytes: 32 << 20 });
    return answer.exitCode === 0 && answer.stdout.length > 10_000;
  };
  const pod = async (): Promise<string> => (await cleat('get', 'pods', '-l', 'app=hello', '-o', 'jsonpath={.items[0].metadata.name}')).trim();

  beforeAll(async () => {
    lab = await createLab({ hosts: 1 });
    host = lab.host(0);
    await startPlainContainerd(host);
    docker = await startDocker(host);
    foreign = await runForeign(engineOf(host));
    before = { foreign: await foreignState(), rules: await rules(), settings: await settings() };
    expect(await theirsWorks()).toBe(true);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('runs the example there: a Service answers, and the node says by what', async () => {
    up = await start();
    expect(up.output()).toMatch(/Hello from hello-\w+-\w+ to /);
    expect(await cleat('get', 'node', 'host0', '-o', 'jsonpath={.status.nodeInfo.containerRuntimeVersion}')).toMatch(/^docker:\/\/\d+\./);
    expect(await cleat('get', 'node', 'host0', '-o', 'jsonpath={.metadata.annotations.cleat\\.dev/runtime}')).toBe('docker unix:///var/run/docker.sock');
    expect(await running()).toHaveLength(6);
  });

  it('leaves what is Docker\'s as it was but for the documented hook, and Docker\'s containers their network and names', async () => {
    await eventually(async () => (await rules()).includes('-A DOCKER-USER -j CLEATHOOK'), { what: 'the hook', timeoutMs: 60_000 });
    expect(await foreignRules()).toBe(before.rules);
    const ledger = await host.sh('cat /var/lib/cleat/ledger.jsonl');
    expect((await changedSettings()).filter((name) => !ledger.includes(`"${name}"`))).toEqual([]);
    expect(await theirsWorks()).toBe(true);
  });

  it('shows logs, and lets users in', async () => {
    const name = await pod();
    expect(await cleat('logs', '-l', 'app=hello', '--tail=-1')).toMatch(/^Hello to 10\.88\.\d+\.11$/m);
    expect(await cleat('exec', name, '--', 'sh', '-c', 'hostname; cat /etc/resolv.conf')).toMatch(new RegExp(`^${name}\n[^]*nameserver `));
    expect((await host.exec(executable, ['exec', name, '--', 'sh', '-c', 'exit 7'])).exitCode).toBe(7);
  });

  it('leaves pods alone when it is killed, and takes them over', async () => {
    const ids = await running();
    await up.kill('SIGKILL');
    expect(await running()).toEqual(ids);
    up = await start();
    expect(await running()).toEqual(ids);
  });

  it('is killed in the middle of making pods, and makes them whole', async () => {
    for (const [replicas, afterMs] of [['6', 250], ['3', 150]] as const) {
      await cleat('scale', 'deployment/hello', `--replicas=${replicas}`);
      await new Promise((resolve) => { setTimeout(resolve, afterMs); });
      await up.kill('SIGKILL');
      up = await start();
    }
    // An example that is applied again leaves the scale alone.
    await eventually(async () => (await running()).length === 6 && (await ours()).length === 6, { what: 'three pods, and nothing else', timeoutMs: 90_000 });
    await eventually(async () => (await host.sh('ls /var/lib/cleat/cni/data/cleat | grep -c "^10\\."')).trim() === '3', { what: 'the addresses of three pods', timeoutMs: 30_000 });
  });

  it('brings everything back when Docker was killed, and loses no address', async () => {
    await docker.kill('SIGKILL');
    docker = await startDocker(host);
    await up.kill('SIGTERM');
    up = await start();
    expect(up.output()).toMatch(/Hello from hello-\w+-\w+ to /);
    await eventually(async () => (await running()).length === 6, { what: 'three pods', timeoutMs: 60_000 });
    expect(await cleat('logs', await pod(), '--previous', '--tail=1')).toMatch(/^(Hello to .*\n)?$/);
    await eventually(async () => (await host.sh('ls /var/lib/cleat/cni/data/cleat | grep -c "^10\\."')).trim() === '3', { what: 'the addresses of three pods', timeoutMs: 20_000 });
  });

  it('goes without a trace, and has touched nothing that is not its own', async () => {
    await up.kill('SIGTERM');
    expect(await cleat('down')).toContain('3 pods removed');
    expect(await ours()).toEqual([]);
    // Docker was started anew, and names its own networks in whatever order.
    const sorted = (text: string): string[] => text.split('\n').sort();
    expect(sorted(await rules())).toEqual(sorted(before.rules));
    expect([await changedSettings(), await theirsWorks()]).toEqual([[], true]);
    expect(await foreignState()).toMatchObject({ Running: true, ExitCode: 0 });
  });
});
