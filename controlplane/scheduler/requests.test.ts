import { expect, test } from 'vitest';
import type { ContainerStatus, Pod, PodCondition } from '#api/gen/types.ts';
import { effectiveRequests } from './requests.ts';
import { pod } from './testing.ts';

function resized(asks: string, allocated: string | undefined, has: string | undefined, conditions: PodCondition[] = []): Pod {
  const status: ContainerStatus = {
    name: 'c', image: '', imageID: '', ready: true, restartCount: 0, ...(allocated && { allocatedResources: { cpu: allocated } }), ...(has && { resources: { requests: { cpu: has } } }),
  };
  return pod({ requests: { cpu: asks }, status: { containerStatuses: [status], conditions } });
}
const pending = (reason: string): PodCondition[] => [{ type: 'PodResizePending', status: 'True', reason }];

test.each<[string, Pod, number]>([
  ['as it asks', pod({ requests: { cpu: '1' } }), 1000],
  ['nothing told yet', resized('1', undefined, undefined), 1000],
  ['all the same', resized('1', '1', '1'), 1000],
  ['to grow', resized('2', '1', '1'), 2000],
  ['growing', resized('2', '2', '1'), 2000],
  ['to shrink', resized('1', '2', '2'), 2000],
  ['shrinking', resized('1', '1', '2'), 2000],
  ['to grow later', resized('3', '1', '1', pending('Deferred')), 3000],
  ['never to grow', resized('3', '1', '1', pending('Infeasible')), 1000],
])('%s', (_, of, cpuMillis) => { expect(effectiveRequests(of).cpuMillis).toBe(cpuMillis); });
