import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import type { Io } from '../types.ts';
import { ClusterDump } from './dump.ts';
import { showCluster } from './show.ts';

const service = (name: string, change: object): object => ({ metadata: { name, namespace: 'kube-system', managedFields: [{}] }, spec: { ports: [] }, ...change });
const pod = { metadata: { name: 'web', managedFields: [{}] }, spec: { initContainers: [{ name: 'first' }], containers: [{ name: 'c' }, { name: 'lost' }] } };

/** Answers with what is at a path; lists that are not there are empty. */
function fake(objects: Readonly<Record<string, readonly object[]>>, env: Io['env'] = {}, terminal = false): { client: RestClient; io: Io; said: () => string } {
  const said: string[] = [];
  const client = {
    connection: { server: 'https://10.0.0.1:6443', namespace: 'default' },
    json: (_method: string, path: string) => Promise.resolve({ kind: 'List', apiVersion: 'v1', items: structuredClone(objects[path.split('?')[0] ?? ''] ?? []) }),
    async *bytes(path: string) {
      await Promise.resolve();
      if (path.endsWith('lost')) throw new StatusError('BadRequest', 'container "lost" is waiting', { details: { kind: 'Pod' } });
      yield Buffer.from(`log of ${path.split('=')[1] ?? ''}\n`);
    },
  };
  const io = { out: (text: string | Uint8Array) => said.push(Buffer.from(text).toString()) > 0, err: () => undefined, env, terminal } as unknown as Io;
  return { client: client as unknown as RestClient, io, said: () => said.join('') };
}

describe('cleat cluster-info', () => {
  it('shows the control plane and the services of the cluster as kubectl does', async () => {
    const { client, io, said } = fake({ '/api/v1/namespaces/kube-system/services': [
      service('dns', { spec: { ports: [{ name: 'dns', port: 53 }] } }), service('secure', { spec: { ports: [{ name: 'web', port: 443 }] } }), service('plain', { spec: { ports: [{ port: 80 }] } }),
      service('outside', { metadata: { name: 'outside', labels: { 'kubernetes.io/name': 'Outside' } }, spec: { ports: [{ port: 80 }, { port: 81 }] }, status: { loadBalancer: { ingress: [{ ip: '10.9.9.9' }] } } }),
    ] });
    await showCluster(client, 'kube-system', io);
    const root = 'https://10.0.0.1:6443/api/v1/namespaces/kube-system/services';
    expect(said()).toBe(`Kubernetes control plane is running at https://10.0.0.1:6443
dns is running at ${root}/dns:dns/proxy
secure is running at ${root}/https:secure:web/proxy
plain is running at ${root}/plain/proxy
Outside is running at http://10.9.9.9:80 http://10.9.9.9:81${' '}

To further debug and diagnose cluster problems, use 'cleat cluster-info dump'.
`);
  });

  it('is coloured on a terminal only', async () => {
    const coloured = fake({}, {}, true);
    await showCluster(coloured.client, 'kube-system', coloured.io);
    expect(coloured.said()).toContain('\x1b[0;32mKubernetes control plane\x1b[0m is running at \x1b[0;33mhttps://10.0.0.1:6443\x1b[0m\n');
    const plain = fake({}, { NO_COLOR: '1' }, true);
    await showCluster(plain.client, 'kube-system', plain.io);
    expect(plain.said()).not.toContain('\x1b');
  });

  it('dumps objects and logs, to standard output or to files', async () => {
    const objects = { '/api/v1/nodes': [{ metadata: { name: 'host1', managedFields: [{}] } }], '/api/v1/namespaces': [{ metadata: { name: 'a' } }], '/api/v1/namespaces/a/pods': [pod] };
    const { client, io, said } = fake(objects);
    await new ClusterDump(client, io, { output: 'json', managedFields: false, directory: '', namespaces: ['a'] }).write();
    expect(said()).toContain('"name": "host1"');
    expect(said()).not.toContain('managedFields');
    const logs = '==== START logs for container first of pod a/web ====\nlog of first\n==== END logs for container first of pod a/web ====\n==== START logs for container c of pod a/web ====\nlog of c\n==== END logs for container c of pod a/web ====\n==== START logs for container lost of pod a/web ====\nRequest log error: container "lost" is waiting\n==== END logs for container lost of pod a/web ====\n';
    expect(said().endsWith(logs)).toBe(true);
    const files = fake(objects);
    const directory = mkdtempSync(join(tmpdir(), 'cleat-dump-'));
    await new ClusterDump(files.client, files.io, { output: 'yaml', managedFields: true, directory, namespaces: undefined }).write();
    expect(files.said()).toBe(`Cluster info dumped to ${directory}\n`);
    expect(readdirSync(directory, { recursive: true }).map(String).sort()).toEqual(['a', 'a/daemonsets.yaml', 'a/deployments.yaml', 'a/events.yaml', 'a/pods.yaml', 'a/replicasets.yaml', 'a/replication-controllers.yaml', 'a/services.yaml', 'a/web', 'a/web/logs.txt', 'nodes.yaml']);
    expect(readFileSync(join(directory, 'a/web/logs.txt'), 'utf8')).toBe(logs);
    expect(readFileSync(join(directory, 'nodes.yaml'), 'utf8')).toContain('managedFields');
  });

  it('says where it cannot write', async () => {
    const { client, io } = fake({});
    await expect(new ClusterDump(client, io, { output: 'json', managedFields: false, directory: '/dev/null/x', namespaces: [] }).write()).rejects.toThrow('cannot write /dev/null/x/nodes.json: a part of the path is no folder');
  });
});
