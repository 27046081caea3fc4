import { describe, expect, test } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { podInfo } from './pod-info.ts';
import { prioritySort } from './plugins/priority-sort/plugin.ts';
import { SchedulingQueue } from './queue.ts';
import { pod } from './testing.ts';

function setup() {
  const clock = new ManualClock();
  const sort = prioritySort();
  const queue = new SchedulingQueue({
    clock, comesFirst: (a, b) => sort.queueSort?.(a, b) ?? false, isGated: ({ pod: { spec } }) => (spec?.schedulingGates?.length ?? 0) > 0,
    watches: (plugin, type) => plugin === 'Fit' && type === 'assigned-pod-deleted', mayHelp: (_plugin, event, waiting) => event.pod === undefined || event.pod.priority <= waiting.priority,
  });
  const add = (name: string, priority = 0) => { queue.set(podInfo(pod({ name, spec: { priority } })), true); };
  return { clock, queue, add, pop: () => queue.pop()?.pod.name };
}

describe('scheduling queue', () => {
  test('priority, then age', () => {
    const { add, pop } = setup();
    add('a'); add('b', 5); add('c'); add('d', 5);
    expect([pop(), pop(), pop(), pop(), pop()]).toEqual(['b', 'd', 'a', 'c', undefined]);
  });

  test('the back-off doubles from 1 s to 10 s', async () => {
    const { clock, queue, add } = setup();
    add('a');
    for (const seconds of [1, 2, 4, 8, 10, 10]) {
      queue.retry(queue.pop()!);
      await clock.advance(seconds * 1000 - 1);
      expect(queue.lengths).toMatchObject({ active: 0, backoff: 1 });
      await clock.advance(1);
      expect(queue.lengths).toMatchObject({ active: 1, backoff: 0 });
    }
  });

  test('an unschedulable pod waits for an event that helps, and for its back-off', async () => {
    const { clock, queue, add, pop } = setup();
    add('a');
    queue.refuse(queue.pop()!, new Set(['Fit']));
    queue.on({ type: 'node-labels-changed' });
    expect(queue.lengths).toMatchObject({ active: 0, backoff: 0, unschedulable: 1 });
    queue.on({ type: 'assigned-pod-deleted' });
    expect(queue.lengths).toMatchObject({ active: 0, backoff: 1, unschedulable: 0 });
    await clock.advance(1000);
    queue.refuse(queue.pop()!, new Set(['Fit']));
    await clock.advance(5000);
    queue.on({ type: 'assigned-pod-deleted' });
    expect(pop()).toBe('a');
  });

  test('an unschedulable pod is tried again after five minutes', async () => {
    const { clock, queue, add } = setup();
    add('a');
    queue.refuse(queue.pop()!, new Set(['Other']));
    await clock.advance(299_999);
    expect(queue.lengths.unschedulable).toBe(1);
    await clock.advance(1);
    expect(queue.lengths.active).toBe(1);
  });

  test('a pod deleted in flight does not come back', () => {
    const { queue, add } = setup();
    add('a');
    const entry = queue.pop()!;
    queue.delete(entry.pod.uid);
    queue.retry(entry);
    queue.refuse(entry, new Set(['Fit']));
    expect(queue.lengths).toMatchObject({ active: 0, backoff: 0, unschedulable: 0 });
  });

  test('a pod deleted from the middle of the heap leaves the order intact', () => {
    const { queue, add, pop } = setup();
    for (let i = 0; i < 20; i++) add(`p${String(i)}`, (i * 7) % 20);
    for (let i = 0; i < 20; i += 3) queue.delete(`uid-p${String(i)}`);
    const order = Array.from({ length: 13 }, pop).map((name) => (Number(name?.slice(1)) * 7) % 20);
    expect(order).toEqual(order.toSorted((a, b) => b - a));
    expect(pop()).toBeUndefined();
  });

  test('waiting ends with a pod or with the signal', async () => {
    const { queue, add } = setup();
    const ready = queue.ready(new AbortController().signal);
    add('a');
    await ready;
    queue.pop();
    const abort = new AbortController();
    const waiting = queue.ready(abort.signal);
    abort.abort();
    await expect(waiting).rejects.toThrow('abort');
  });
});
