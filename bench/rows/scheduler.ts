import type { Pod } from '#api/gen/types.ts';
import { schedule } from '#controlplane/scheduler/cycle.ts';
import { Framework } from '#controlplane/scheduler/framework.ts';
import { Nominator } from '#controlplane/scheduler/nominator.ts';
import { podInfo } from '#controlplane/scheduler/pod-info.ts';
import { schedulerPlugins } from '#controlplane/scheduler/registry.ts';
import { cluster, fakeApi, FakeInformer, node, pod } from '#controlplane/scheduler/testing.ts';
import type { Row } from '../row.ts';

const nodeCount = 1000;
const podCount = 10_000;
const deployments = 50;

/** Pods per second through cycles with every plugin, on simulated nodes and without I/O. */
export async function run(): Promise<Row[]> {
  await Promise.resolve();
  return [measure('scheduler: pods/s at 1,000 nodes', () => ({})), measure('scheduler: pods/s at 1,000 nodes, hard zone spreading and anti-affinity', constrained)];
}

function constrained(app: string): Partial<NonNullable<Pod['spec']>> {
  const labelSelector = { matchLabels: { app } };
  return {
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector }],
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector }] } },
  };
}

function measure(name: string, specOf: (app: string) => Partial<NonNullable<Pod['spec']>>): Row {
  const cache = cluster({
    nodes: Array.from({ length: nodeCount }, (_, i) => node(`node-${String(i)}`, { labels: { 'topology.kubernetes.io/zone': `zone-${String(i % 3)}` }, allocatable: { cpu: '16', memory: '64Gi' } })),
  });
  const api = fakeApi(new FakeInformer<Pod>());
  const framework = new Framework(Object.values(schedulerPlugins).map((make) => make({ api })));
  const pods = Array.from({ length: podCount }, (_, i) => {
    const app = `app-${String(i % deployments)}`;
    return pod({ name: `pod-${String(i)}`, owner: app, labels: { app }, requests: { cpu: '100m', memory: '128Mi' }, spec: specOf(app) });
  });
  let start = 0;
  let placed = 0;
  const began = performance.now();
  for (const item of pods) {
    const info = podInfo(item);
    const decision = schedule({ framework, nominator: new Nominator(), random: Math.random }, cache, info, start);
    if (decision.type === 'no-fit') continue;
    start = decision.nextStart;
    placed++;
    cache.assume(info, decision.node.name);
    cache.setPod(podInfo({ ...item, spec: { containers: [], ...item.spec, nodeName: decision.node.name } }), decision.node.name);
  }
  const seconds = (performance.now() - began) / 1000;
  if (placed !== podCount) throw new Error(`only ${String(placed)} of ${String(podCount)} pods fit`);
  return { name, value: Math.round(podCount / seconds), unit: 'pods/s', budget: { at: 'least', of: 'value', bound: 1500 } };
}
