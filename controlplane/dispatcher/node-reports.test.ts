import { expect, it } from 'vitest';
import { nodes } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { FakeApi } from '#test/support/fake-api.ts';
import { contradicts, mergeNodeStatus, storeNodeReport } from './node-reports.ts';

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

it('hands on by what an agent runs pods', async () => {
  const api = new FakeApi({ clock: new ManualClock() });
  for (const [text, shown] of [['ctr unix:///run/containerd/containerd.sock', 'ctr unix:///run/containerd/containerd.sock'], ['docker unix:///var/run/docker.sock', 'docker unix:///var/run/docker.sock'], ['x'.repeat(600), 'docker unix:///var/run/docker.sock'], [{}, 'docker unix:///var/run/docker.sock']] as const) {
    await storeNodeReport(api, { name: 'a', publicKeySha256: 'k', expired: false }, { labels: {}, status: reported, annotations: { 'cleat.dev/runtime': text } }, 0);
    expect((await api.get(nodes, undefined, 'a')).metadata?.annotations?.['cleat.dev/runtime']).toBe(shown);
  }
});

it('hands on what an agent tells of the images that it has pulled, unless that is too much', async () => {
  const api = new FakeApi({ clock: new ManualClock() });
  const told = async (text: unknown): Promise<string | undefined> => {
    await storeNodeReport(api, { name: 'a', publicKeySha256: 'k', expired: false }, { labels: {}, status: reported, annotations: { 'cleat.dev/pulled-image-platforms': text, 'other': 'x' } }, 0);
    const { annotations } = (await api.get(nodes, undefined, 'a')).metadata ?? {};
    expect(annotations?.['other']).toBeUndefined();
    return annotations?.['cleat.dev/pulled-image-platforms'];
  };
  expect(await told('{"app:1":["linux/arm64"]}')).toBe('{"app:1":["linux/arm64"]}');
  expect(await told('{}')).toBe('{}');
  expect(await told('x'.repeat(20_000))).toBe('{}');
  expect(await told(7)).toBe('{}');
});
