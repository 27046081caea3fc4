import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Deployment, HorizontalPodAutoscaler } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

const image = 'cleat-hello:1';
let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create({ agents: 1 });
  await cluster.importImage();
});
afterAll(async () => { await cluster?.destroy(); });

const until = <T>(what: string, condition: () => Promise<T>): Promise<unknown> => eventually(condition, { what, timeoutMs: 90_000, intervalMs: 500, explain: () => cluster.diagnostics() });

it('a HorizontalPodAutoscaler follows what real containers use', async () => {
  const script = 'trap exit TERM; while [ ! -e /tmp/rest ]; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.02; done; while :; do sleep 1 & wait $!; done';
  await cluster.apply({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'busy' },
    spec: { selector: { matchLabels: { app: 'busy' } }, template: { metadata: { labels: { app: 'busy' } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image, command: ['sh', '-c', script], resources: { requests: { cpu: '10m' } } }] } } },
  });
  await cluster.kubectl(['rollout', 'status', 'deployment/busy', '--timeout=60s'], { timeoutMs: 70_000 });
  await cluster.kubectl(['autoscale', 'deployment/busy', '--min=1', '--max=2', '--cpu-percent=50']);
  await until('a second pod', async () => (await cluster.json<Deployment>(['get', 'deployment', 'busy'])).spec?.replicas === 2);
  const { status } = await cluster.json<HorizontalPodAutoscaler>(['get', 'hpa.v2.autoscaling', 'busy']);
  expect(status?.conditions).toContainEqual(expect.objectContaining({ type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' }));
  expect(await cluster.kubectl(['describe', 'hpa', 'busy'])).toMatch(/SuccessfulRescale .*New size: 2; reason: cpu resource utilization \(percentage of request\) above target/);
  await cluster.kubectl(['delete', 'hpa/busy', 'deployment/busy']);
});
