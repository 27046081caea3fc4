import { expect, it } from 'vitest';
import { contradicts, mergeNodeStatus } from './node-reports.ts';

const reported = { capacity: { cpu: '2', pods: '110' }, allocatable: { cpu: '1', pods: '110' } };

it('makes extended resources that an operator added allocatable, and keeps them until they are taken away', () => {
  const written = { ...reported, capacity: { ...reported.capacity, 'example.com/dongle': '4', 'node.kubernetes.io/x': '1' } };
  expect(contradicts({ status: written }, { labels: {}, status: reported })).toBe(true);
  const merged = mergeNodeStatus(written, reported, 0);
  expect(merged).toEqual({ capacity: { cpu: '2', pods: '110', 'example.com/dongle': '4' }, allocatable: { cpu: '1', pods: '110', 'example.com/dongle': '4' } });
  expect(contradicts({ status: merged }, { labels: {}, status: reported })).toBe(false);
  const removed = { ...merged, capacity: reported.capacity };
  expect(contradicts({ status: removed }, { labels: {}, status: reported })).toBe(true);
  expect(mergeNodeStatus(removed, reported, 0)).toEqual(reported);
});

it('lets the node have the last word on what it reports itself', () => {
  expect(mergeNodeStatus({ capacity: { cpu: '64', 'example.com/gpu': '9' } }, { capacity: { cpu: '2', 'example.com/gpu': '0' } }, 0)).toEqual({ capacity: { cpu: '2', 'example.com/gpu': '0' } });
});
