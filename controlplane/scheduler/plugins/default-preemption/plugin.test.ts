import { expect, test } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { podInfo } from '../../pod-info.ts';
import { cluster, node, pod } from '../../testing.ts';
import { CycleState } from '../../types.ts';
import { defaultPreemption } from './plugin.ts';

test.each([
  ['equal priorities', pod(), 'preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling'],
  ['lower priority on the node', pod({ spec: { priority: 5 } }), 'preemption: 0/2 nodes are available: 1 Preemption is not helpful for scheduling, 1 Preemption of lower-priority pods is not supported yet'],
  ['policy Never', pod({ spec: { preemptionPolicy: 'Never' } }), 'preemption: not eligible due to preemptionPolicy=Never'],
])('%s', (_name, incoming: Pod, message) => {
  const cache = cluster({ nodes: [node('a'), node('b')], pods: { a: [pod({ name: 'x' })] } });
  const rejections = new Map(cache.nodes.map((item) => [item, { reasons: ['r'], resolvable: item.name === 'a' }]));
  expect(defaultPreemption().postFilter?.(podInfo(incoming), rejections, cache, new CycleState())?.message).toBe(message);
});
