import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Ingress } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

/** An Ingress as users see it: stock kubectl, a host, a pod, a request from another host. */
describe('an Ingress', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 1 });
    await cluster.importImage();
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', labels: { app: 'web' } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'cleat-hello:1' }] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } },
    ]);
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('without a class is of the default one, is served on the host, says where, and what it lacks', async () => {
    await cluster.kubectl(['create', 'ingress', 'web', '--rule=shop.test/*=web:80,tls=missing']);
    const { address } = cluster.agentHost(0);
    await eventually(async () => (await cluster.json<Ingress>(['get', 'ingress', 'web'])).status?.loadBalancer?.ingress?.[0]?.ip === address, { what: 'an address', timeoutMs: 60_000, explain: () => cluster.diagnostics() });
    await eventually(async () => (await cluster.controlPlaneHost.exec('curl', ['-s', '-m', '2', '-H', 'Host: shop.test', `http://${address}/`])).stdout.includes('Hello from'), { what: 'an answer', timeoutMs: 60_000, explain: () => cluster.diagnostics() });
    expect(await cluster.kubectl(['describe', 'ingress', 'web'])).toMatch(/NoCertificate.*Secret default\/missing does not exist/);
    await cluster.kubectl(['annotate', 'ingress', 'web', 'cleat.dev/ssl-redirect=true']);
    await eventually(async () => (await cluster.controlPlaneHost.exec('curl', ['-s', '-m', '2', '-D', '-', '-o', '/dev/null', '-H', 'Host: shop.test', `http://${address}/a?b`])).stdout.includes('location: https://shop.test/a?b'), { what: 'a redirect', timeoutMs: 60_000, explain: () => cluster.diagnostics() });
  });
});
