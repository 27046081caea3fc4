import { expect, test } from 'vitest';
import { podInfo } from '../../pod-info.ts';
import { pod } from '../../testing.ts';
import { schedulingGates } from './plugin.ts';

test('keeps gated pods out of the queue', () => {
  const plugin = schedulingGates();
  expect(plugin.preEnqueue?.(podInfo(pod()))).toBeUndefined();
  expect(plugin.preEnqueue?.(podInfo(pod({ spec: { schedulingGates: [{ name: 'a' }, { name: 'b' }] } })))?.reasons).toEqual(['waiting for scheduling gates: [a b]']);
});
