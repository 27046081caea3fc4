import { expect, test } from 'vitest';
import type { Pod, PodSpec } from '#api/gen/types.ts';
import { podInfo } from './pod-info.ts';
import { schedulerPlugins } from './registry.ts';
import { cluster, fakeApi, FakeInformer, node, pod, type NodeOptions } from './testing.ts';
import type { ClusterEvent, ClusterEventType, Plugin } from './types.ts';

/** For each plugin: after which events a pod that it refused is tried again. */
const plugins = new Map(Object.values(schedulerPlugins).map((make): [string, Plugin] => {
  const plugin = make({ api: fakeApi(new FakeInformer<Pod>()) });
  return [plugin.name, plugin];
}));

interface Change { readonly type: ClusterEventType; readonly node?: NodeOptions; readonly on?: readonly Pod[]; readonly pod?: Pod; readonly oldPod?: Pod }

function helps(name: string, waiting: Pod, change: Change): boolean {
  const plugin = plugins.get(name);
  if (!plugin?.events.includes(change.type)) return false;
  const cache = cluster({ nodes: [node('n', change.node)], pods: { n: change.on ?? [] } });
  const event: ClusterEvent = { type: change.type, node: cache.node('n'), pod: change.pod && podInfo(change.pod), oldPod: change.oldPod && podInfo(change.oldPod) };
  return plugin.helps?.(podInfo(waiting), event) ?? true;
}

const big = pod({ name: 'big', requests: { cpu: '3' }, spec: { priority: 5 } });
const gone = (cpu: string, priority = 0): Pod => pod({ name: 'gone', requests: { cpu }, spec: { priority } });
const low = pod({ name: 'low', requests: { cpu: '2' } });
const equal = pod({ name: 'equal', requests: { cpu: '2' }, spec: { priority: 5 } });
const labelled = (app: string, spec: Partial<PodSpec> = {}, namespace = 'default'): Pod => pod({ name: app, namespace, labels: { app }, spec });
const term = { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'web' } } };
const near = labelled('db', { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } });
const apart = labelled('db', { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } });
const spread = labelled('web', { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } } }] });
const web = labelled('web');
const other = labelled('other');
const taint = { key: 'k', effect: 'NoSchedule' };

test.each<[string, Pod, Change, boolean]>([
  ['NodeResourcesFit', big, { type: 'node-added' }, true],
  ['NodeResourcesFit', big, { type: 'node-added', node: { allocatable: { cpu: '2' } } }, false],
  ['NodeResourcesFit', big, { type: 'node-allocatable-changed', on: [low] }, true],
  ['NodeResourcesFit', big, { type: 'node-allocatable-changed', on: [equal] }, false],
  ['NodeResourcesFit', big, { type: 'assigned-pod-deleted', pod: gone('1') }, true],
  ['NodeResourcesFit', big, { type: 'assigned-pod-deleted', pod: gone('1'), on: [equal] }, false],
  ['NodeResourcesFit', big, { type: 'assigned-pod-deleted', pod: gone('1', 5), on: [low] }, true],
  ['NodeResourcesFit', big, { type: 'assigned-pod-deleted', pod: gone('1', 0), on: [low] }, false],
  ['NodeResourcesFit', big, { type: 'assigned-pod-updated', oldPod: gone('2'), pod: gone('2') }, false],
  ['NodeResourcesFit', big, { type: 'assigned-pod-updated', oldPod: gone('2'), pod: gone('1') }, true],
  ['NodeResourcesFit', big, { type: 'node-labels-changed' }, false],
  ['NodePorts', pod({ hostPort: 80 }), { type: 'assigned-pod-deleted', pod: pod({ name: 'x', hostPort: 80 }) }, true],
  ['NodePorts', pod({ hostPort: 80 }), { type: 'assigned-pod-deleted', pod: pod({ name: 'x', hostPort: 81 }) }, false],
  ['NodePorts', pod({ hostPort: 80 }), { type: 'node-added', on: [pod({ name: 'x', hostPort: 80 })] }, false],
  ['TaintToleration', pod(), { type: 'node-taints-changed', node: { taints: [taint] } }, false],
  ['TaintToleration', pod(), { type: 'node-taints-changed' }, true],
  ['NodeUnschedulable', pod(), { type: 'node-taints-changed', node: { unschedulable: true } }, false],
  ['NodeUnschedulable', pod(), { type: 'node-taints-changed' }, true],
  ['NodeAffinity', pod({ spec: { nodeSelector: { disk: 'ssd' } } }), { type: 'node-labels-changed', node: { labels: { disk: 'hdd' } } }, false],
  ['NodeAffinity', pod({ spec: { nodeSelector: { disk: 'ssd' } } }), { type: 'node-labels-changed', node: { labels: { disk: 'ssd' } } }, true],
  ['NodeName', pod({ spec: { nodeName: 'm' } }), { type: 'node-added' }, false],
  ['NodeName', pod({ spec: { nodeName: 'n' } }), { type: 'node-added' }, true],
  ['InterPodAffinity', near, { type: 'assigned-pod-added', pod: web }, true],
  ['InterPodAffinity', near, { type: 'assigned-pod-added', pod: other }, false],
  ['InterPodAffinity', near, { type: 'assigned-pod-added', pod: labelled('web', {}, 'elsewhere') }, false],
  ['InterPodAffinity', near, { type: 'node-added' }, false],
  ['InterPodAffinity', near, { type: 'node-added', node: { labels: { zone: 'x' } } }, true],
  ['InterPodAffinity', apart, { type: 'assigned-pod-added', pod: web }, false],
  ['InterPodAffinity', apart, { type: 'assigned-pod-deleted', pod: web }, true],
  ['InterPodAffinity', apart, { type: 'assigned-pod-deleted', pod: other }, false],
  ['InterPodAffinity', web, { type: 'assigned-pod-deleted', pod: apart }, true],
  ['InterPodAffinity', apart, { type: 'assigned-pod-updated', oldPod: web, pod: other }, true],
  ['PodTopologySpread', spread, { type: 'assigned-pod-added', pod: web }, true],
  ['PodTopologySpread', spread, { type: 'assigned-pod-added', pod: other }, false],
  ['PodTopologySpread', spread, { type: 'assigned-pod-deleted', pod: labelled('web', {}, 'elsewhere') }, false],
  ['PodTopologySpread', spread, { type: 'node-added' }, false],
  ['PodTopologySpread', spread, { type: 'node-added', node: { labels: { zone: 'x' } } }, true],
])('%s: %#', (name, waiting, change, expected) => { expect(helps(name, waiting, change)).toBe(expected); });
