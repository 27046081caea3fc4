import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { configMaps, leases, nodes, pods, secrets, services } from '#api/kinds/resources.ts';
import { EdgeLab } from './edge-lab.ts';

let lab: EdgeLab;
beforeEach(async () => { lab = await EdgeLab.start(); });
afterEach(async () => { await lab.close(); });

const pod = (name: string, nodeName: string, more: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name }, spec: { nodeName, containers: [{ name: 'c', image: 'i' }], ...more },
});
const names = (objects: readonly { metadata?: { name?: string | undefined } | undefined }[]): string[] => objects.map((o) => o.metadata?.name ?? '').sort();

describe('a node', () => {
  it('joins, shows up as a Node with a Lease, and gets what it needs and nothing else', async () => {
    lab.cluster.put(secrets, { metadata: { namespace: 'default', name: 'used' }, data: { a: 'YQ==' } });
    lab.cluster.put(secrets, { metadata: { namespace: 'default', name: 'unused' } });
    lab.cluster.put(configMaps, { metadata: { namespace: 'default', name: 'late' } });
    lab.cluster.put(services, { metadata: { namespace: 'default', name: 'svc' } });
    lab.cluster.put(pods, pod('mine', 'a', { containers: [{ name: 'c', image: 'i', envFrom: [{ secretRef: { name: 'used' } }] }] }));
    lab.cluster.put(pods, pod('other', 'b'));
    const agent = await lab.agent('a');
    await lab.until(() => agent.checkpoint.known && lab.cluster.find(nodes, undefined, 'a')?.status?.capacity !== undefined, 'the node');
    expect(names(agent.checkpoint.list(pods))).toEqual(['mine']);
    expect(names(agent.checkpoint.list(secrets))).toEqual(['used']);
    expect(names(agent.checkpoint.list(services))).toEqual(['svc']);
    const node = lab.cluster.find(nodes, undefined, 'a')!;
    expect(node.metadata?.labels).toEqual({ 'kubernetes.io/hostname': 'a', 'kubernetes.io/os': 'linux' });
    expect(node.metadata?.annotations?.['cleat.dev/public-key-sha256']).toMatch(/^[0-9a-f]{64}$/);
    await lab.until(() => lab.cluster.find(leases, 'kube-node-lease', 'a') !== undefined, 'the lease');
    await lab.until(() => names(agent.checkpoint.list(nodes)).includes('a'), 'itself');

    lab.cluster.put(pods, pod('second', 'a', { volumes: [{ name: 'v', configMap: { name: 'late' } }] }));
    await lab.until(() => agent.checkpoint.get(configMaps, 'default', 'late') !== undefined, 'the config map');
    lab.cluster.put(configMaps, { metadata: { namespace: 'default', name: 'late' }, data: { k: 'v' } });
    await lab.until(() => agent.checkpoint.get(configMaps, 'default', 'late')?.data?.['k'] === 'v', 'the change');
    lab.cluster.remove(pods, 'default', 'second');
    await lab.until(() => agent.checkpoint.list(configMaps).length === 0, 'the removal');
    expect(names(agent.checkpoint.list(pods))).toEqual(['mine']);
  });
});
