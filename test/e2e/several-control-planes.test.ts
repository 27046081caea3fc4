import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import type { LabProcess } from '../support/lab/process.ts';
import { RestClient } from '../support/rest-client.ts';

const executable = join(import.meta.dirname, '../../cleat');
const pki = '/var/lib/cleat/server/pki';
const path = '/api/v1/namespaces/default/configmaps';

/** Two control planes, on hosts 0 and 1, that share an etcd on host 2; agents on hosts 1 and 2. */
describe('several control planes', () => {
  let cluster: Cluster;
  let etcd: LabProcess;
  let second: LabProcess;
  let first: LabProcess;
  let supervisor: LabProcess;
  let api: RestClient;
  const controlPlaneFlags: string[] = [];
  const acknowledged = new Set<string>();

  const startEtcd = (host: LabHost): LabProcess => {
    const [client, peer] = [`http://${host.address}:2379`, `http://${host.address}:2380`];
    return host.spawn('etcd', 'etcd', ['--data-dir=/var/lib/cleat/etcd-of-the-test', `--listen-client-urls=${client}`, `--advertise-client-urls=${client}`, `--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=default=${peer}`]);
  };
  const startOn = (host: LabHost, env: Readonly<Record<string, string>> = {}): LabProcess => host.spawn('controlplane', executable, ['controlplane', `--advertise-address=${host.address}`, '--log-level=info', ...controlPlaneFlags], { env });
  /** Writes down what systemd would be told. */
  const listen = (host: LabHost, socket: string): LabProcess => host.spawn('supervisor', 'python3', ['-uc', `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('${socket}')
print('listens')
while True: print(s.recv(4096).decode())`]);

  beforeAll(async () => {
    let prepared = 0;
    cluster = await Cluster.create({
      agents: 2, controlPlaneFlags,
      prepareHost: (host) => {
        // Agents look for the other control plane where they are told to.
        if (prepared === 1) controlPlaneFlags.push(`--further-addresses=${host.address}`);
        if (prepared++ === 2) {
          etcd = startEtcd(host);
          controlPlaneFlags.push(`--etcd-servers=http://${host.address}:2379`);
        }
        return Promise.resolve();
      },
    });
    await cluster.importImage();
    first = cluster.controlPlane as LabProcess;
  });
  afterAll(async () => {
    api?.close();
    await cluster?.destroy();
  });

  const host = (index: number): LabHost => cluster.lab.host(index);
  const write = async (name: string): Promise<number> => {
    const { status } = await api.send('POST', path, { metadata: { name } });
    if (status === 201) acknowledged.add(name);
    return status;
  };
  /** From when it is asked until it answers 201. */
  const writesAgain = (name: string): Promise<unknown> => eventually(async () => [201, 409].includes(await write(name)), { what: 'a write to be taken', timeoutMs: 60_000, intervalMs: 200, explain: () => `${first.output().slice(-4000)}\n---\n${second.output().slice(-4000)}` });
  const allThere = async (): Promise<void> => {
    const names = ((await api.send('GET', path)).body.items ?? []).map((item) => item.metadata?.name ?? '').filter((name) => name.startsWith('w-'));
    // Of some the answer was lost and not the write.
    expect([...acknowledged].filter((name) => !names.includes(name))).toEqual([]);
  };
  const ready = (count: number): Promise<unknown> => eventually(async () => {
    const items = ((await api.send('GET', '/api/v1/namespaces/default/pods')).body.items ?? []) as Pod[];
    return items.length === count && items.every((pod) => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'));
  }, { what: `${String(count)} ready pods`, timeoutMs: 60_000, intervalMs: 200, explain: () => `${first.output().slice(-4000)}\n---\n${second.output().slice(-4000)}` });
  const scale = async (replicas: number): Promise<void> => {
    expect((await api.send('PATCH', '/apis/apps/v1/namespaces/default/deployments/hello', { spec: { replicas } }, 'application/merge-patch+json')).status).toBe(200);
    await ready(replicas);
  };

  it('a second one without the keys of the cluster is refused, and says what to copy', async () => {
    const process_ = startOn(host(1));
    expect((await process_.exited).code).not.toBe(0);
    expect(process_.output()).toContain(`copy the folder ${pki}`);
  });

  it('one with them stands by, and hands what comes to the one that leads', async () => {
    await cluster.apply({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'hello' },
      spec: { replicas: 2, selector: { matchLabels: { app: 'hello' } }, template: { metadata: { labels: { app: 'hello' } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'hello', image: 'cleat-hello:1' }] } } },
    });
    await copyKeys(host(0), host(1));
    supervisor = listen(host(1), '/run/supervisor');
    await supervisor.waitForOutput('listens', 60_000);
    second = startOn(host(1), { NOTIFY_SOCKET: '/run/supervisor' });
    await second.waitForOutput('stands by', 60_000);
    await supervisor.waitForOutput('READY=1\nSTATUS=stands by at', 60_000);
    // From now on everything is asked of the second one's address.
    api = new RestClient(host(0).path('/etc/cleat/kubeconfig'), host(1).address);
    await ready(2);
    expect(await write('w-through-the-other')).toBe(201);
  });

  it('killed under load, the other takes over: nothing acknowledged is lost, containers stay, work goes on', async () => {
    const before = await Promise.all([1, 2].map((index) => cluster.runningContainers(host(index))));
    const end = new AbortController();
    const loading = Promise.all(Array.from({ length: 4 }, async (_, worker) => {
      for (let i = 0; !end.signal.aborted; i++) {
        if (await write(`w-load-${String(worker)}-${String(i)}`) !== 201) await new Promise((resolve) => { setTimeout(resolve, 100); });
      }
    }));
    await eventually(() => Promise.resolve(acknowledged.size > 50), { what: 'writes', timeoutMs: 60_000, intervalMs: 20 });
    await first.kill('SIGKILL');
    await writesAgain('w-after-the-kill');
    end.abort();
    await loading;
    await allThere();
    await supervisor.waitForOutput('STATUS=serves at', 60_000);
    await scale(3);
    const after = await Promise.all([1, 2].map((index) => cluster.runningContainers(host(index))));
    for (const [i, containers] of before.entries()) expect(after[i]).toEqual(expect.arrayContaining(containers));
  });

  it('the first one comes back and stands by; told to end, the other gives the lead back at once', async () => {
    first = startOn(host(0));
    await first.waitForOutput('stands by', 60_000);
    await second.kill('SIGTERM');
    api.close();
    api = new RestClient(host(0).path('/etc/cleat/kubeconfig'), host(0).address);
    await writesAgain('w-after-the-hand-over');
    await allThere();
    await scale(2);
  });

  it('without etcd nothing is written and pods stay; with it the work goes on', async () => {
    const before = await Promise.all([1, 2].map((index) => cluster.runningContainers(host(index))));
    await etcd.kill('SIGKILL');
    await eventually(async () => await write(`w-lost-${String(acknowledged.size)}`) !== 201, { what: 'a write to be refused', timeoutMs: 30_000, intervalMs: 100 });
    await first.waitForOutput('leads no more', 60_000);
    expect(await Promise.all([1, 2].map((index) => cluster.runningContainers(host(index))))).toEqual(before);
    etcd = startEtcd(host(2));
    await writesAgain('w-with-etcd-again');
    await scale(3);
  });

  it('is backed up while it is written to, and restored into another place of etcd, not beside what is there', async () => {
    const file = join(cluster.lab.directory, 'etcd.backup');
    const meanwhile = Promise.all(Array.from({ length: 5 }, (_, i) => api.send('POST', path, { metadata: { name: `during-${String(i)}` } })));
    expect(await cluster.cleat(['backup', file])).toMatch(/etcd.backup \d/);
    await meanwhile;
    expect(await host(0).exec(executable, ['restore', file, '--force'], { timeoutMs: 60_000 })).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^error: a control plane \(process \d+\) uses \/var\/lib\/cleat; stop it first/) as string });
    await first.kill('SIGKILL');
    expect(await host(0).execOk(executable, ['restore', file, '--force'], { timeoutMs: 60_000 })).toMatch(/Restored the cluster of .*: \d+ objects/);
    const refused = startOn(host(0));
    expect((await refused.exited).code).not.toBe(0);
    expect(refused.output()).toContain('etcd keeps this cluster already');
    controlPlaneFlags.push('--etcd-prefix=/restored/');
    first = startOn(host(0));
    await writesAgain('w-restored');
    await allThere();
  });

  async function copyKeys(from: LabHost, to: LabHost): Promise<void> {
    const archive = (await from.execOk('sh', ['-c', `tar -C /var/lib/cleat -c server/pki | base64 -w0`], { maxBytes: 1 << 20 })).trim();
    await to.execOk('sh', ['-c', 'base64 -d | tar -C /var/lib/cleat -x'], { input: archive });
  }
});
