import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node, Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

const executable = join(import.meta.dirname, '../../cleat');
const kubeconfig = '/etc/cleat/kubeconfig';

/** A cluster that moves: backed up while it is written to, and restored on another host, with another address, and on a host that has a cluster. */
describe('backup and restore', () => {
  let cluster: Cluster;
  let [file, sealed, key] = ['', '', ''];
  const web = {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' },
    spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'cleat-hello:1' }] } } },
  };
  const everything = ['get', 'deployments,replicasets,services,endpoints,configmaps,secrets,serviceaccounts,clusterroles,clusterrolebindings,namespaces', '-A', '-o', 'json'];
  const cleatOn = (host: LabHost, ...args: string[]): Promise<string> => host.execOk(executable, args, { env: { KUBECONFIG: kubeconfig }, timeoutMs: 60_000 });
  /** Without what controllers may write at any time. */
  const objectsOf = (json: string): Map<string, string> => new Map((JSON.parse(json) as { items: { kind: string; metadata: Record<string, unknown>; status?: unknown }[] }).items.map(({ status: _status, ...object }) => {
    const { managedFields: _fields, resourceVersion: _version, ...metadata } = object.metadata;
    return [`${object.kind} ${String(metadata['namespace'])}/${String(metadata['name'])}`, JSON.stringify({ ...object, metadata })] as const;
  }));
  const running = (): Promise<string[]> => cluster.runningContainers(cluster.agentHost(0));
  const on = (host: LabHost, ...args: string[]): Promise<string> => host.execOk('kubectl', args, { env: { KUBECONFIG: kubeconfig }, timeoutMs: 30_000 });
  const isReady = async (host: LabHost): Promise<boolean> => {
    const node = JSON.parse(await on(host, 'get', 'node', cluster.agentHost(0).name, '-o', 'json')) as Node;
    return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  };

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
    // Every host sees the lab's directory.
    [file = '', sealed = '', key = ''] = ['plain.backup', 'sealed.backup', 'backup.key'].map((name) => join(cluster.lab.directory, name));
    await cluster.kubectl(['cordon', cluster.agentHost(1).name]);
    await cluster.apply([web, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'kept' }, stringData: { password: 'swordfish' } }]);
    await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'], { timeoutMs: 90_000 });
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('writes a file that is whole, while others write', async () => {
    const host = cluster.controlPlaneHost;
    await host.sh(`head -c 32 /dev/urandom > ${key}`);
    const writing = Promise.all(Array.from({ length: 5 }, (_, i) => cluster.kubectl(['create', 'configmap', `during-${String(i)}`, '--from-literal=a=b'])));
    expect(await cleatOn(host, 'backup', sealed, `--key-file=${key}`)).toMatch(/sealed.backup \d+\.\d MB/);
    await writing;
    expect(await cleatOn(host, 'backup', file)).toMatch(/plain.backup/);
    expect(await cleatOn(host, 'backup', 'check', sealed, `--key-file=${key}`)).toMatch(/is whole: made 20.* revision \d+/);
    expect((await host.sh(`stat -c %a ${file} ${sealed}`)).trim().split('\n')).toEqual(['600', '600']);
    expect(await host.exec(executable, ['backup', 'check', sealed])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('--key-file') as string });
    for (const path of ['backup', 'certs']) expect(await cluster.kubectlResult(['--as=somebody', 'get', '--raw', `/cleat/v1/${path}`])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('Forbidden') as string });
    expect(await host.exec(executable, ['backup', '/nowhere/x'], { env: { KUBECONFIG: kubeconfig } })).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('name another file') as string });
  });

  it('is refused while a control plane runs, and where a cluster is; what is damaged changes nothing', async () => {
    const host = cluster.controlPlaneHost;
    expect(await host.exec(executable, ['restore', file])).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/a control plane \(process \d+\) uses/) as string });
    await cluster.stopControlPlane('SIGKILL');
    expect(await host.exec(executable, ['restore', file])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('--force') as string });
    await host.sh(`head -c $(( $(stat -c %s ${file}) - 1000 )) ${file} > ${file}.cut`);
    const before = await host.sh('cd /var/lib/cleat && find server -type f | sort | xargs sha256sum');
    expect(await host.exec(executable, ['restore', `${file}.cut`, '--force'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('the backup is') as string });
    expect(await host.sh('cd /var/lib/cleat && find server -type f | sort | xargs sha256sum')).toBe(before);
    await cluster.startControlPlane();
    await cluster.waitForNodes();
  });

  it('comes back on another host of the fleet under another address; the agent finds it there, joins nothing, and its containers do not notice', async () => {
    const [containers, other] = [await running(), cluster.agentHost(1)];
    await cluster.stopAgent(1);
    await cleatOn(other, 'down', '--purge');
    const objects = objectsOf(await cluster.kubectl(everything));
    await cluster.stopControlPlane('SIGKILL');
    expect(await cleatOn(other, 'restore', sealed, `--key-file=${key}`)).toMatch(/Restored the cluster of .*: \d+ objects/);
    const controlPlane = other.spawn('restored', executable, ['controlplane', `--advertise-address=${other.address}`, '--log-level=info']);
    await controlPlane.waitForOutput('The control plane is ready', 60_000);
    await eventually(() => isReady(other), { what: 'the agent to be back', timeoutMs: 120_000, intervalMs: 200, explain: () => cluster.lab.logs() });
    expect(await running()).toEqual(containers);
    const restored = objectsOf(await on(other, ...everything));
    const lost = [...objects].filter(([name, text]) => restored.get(name) !== text && !/configmap.* default\/during-|endpoints default\/kubernetes|node|kube-root-ca/i.test(name)).map(([name]) => name);
    expect(lost).toEqual([]);
    expect(await on(other, 'get', 'secret', 'kept', '-o', 'jsonpath={.data.password}')).toBe(Buffer.from('swordfish').toString('base64'));
    // It is not only looked at: it works.
    await on(other, 'scale', 'deployment', 'web', '--replicas=3');
    await eventually(async () => (JSON.parse(await on(other, 'get', 'pods', '-l', 'app=web', '-o', 'json')) as { items: Pod[] }).items.filter((pod) => pod.status?.phase === 'Running').length === 3, { what: 'a third pod', timeoutMs: 60_000, intervalMs: 200, explain: () => cluster.lab.logs() });
    expect((await running()).filter((id) => containers.includes(id))).toEqual(containers);
    await controlPlane.kill('SIGKILL');
  });

  it('takes the place of a cluster when it is forced to, keeps that, and finishes what was cut off', async () => {
    const host = cluster.controlPlaneHost;
    expect(await cleatOn(host, 'restore', file, '--force')).toMatch(/What was here before is kept in \/var\/lib\/cleat\/server.before-restore\n/);
    // As a power cut leaves it: whole, and not yet in its place.
    await host.sh('cd /var/lib/cleat && mv server server.restored && mkdir -p server.restoring/store && mv server.before-restore server');
    await cluster.startControlPlane();
    expect(await host.sh('ls -d /var/lib/cleat/server*')).toBe('/var/lib/cleat/server\n/var/lib/cleat/server.before-restore\n/var/lib/cleat/server.restoring\n');
    expect((await cluster.kubectl(['get', 'configmaps', '-o', 'name'])).match(/during-/g)).toHaveLength(5);
    // A client that knows more than the backup lists anew.
    const { resourceVersion = '' } = (JSON.parse(await cluster.kubectl(['get', '--raw', '/api/v1/configmaps'])) as { metadata: { resourceVersion?: string } }).metadata;
    expect(Number(resourceVersion)).toBeGreaterThan(1_000_000_000);
    const stale = await cluster.kubectlResult(['get', '--raw', `/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion=${String(Number(resourceVersion) - 1000)}`]);
    expect(`${stale.stdout}${stale.stderr}`).toContain('Expired');
  });
});
