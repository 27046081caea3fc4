import { expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { FakeApi } from '#test/support/fake-api.ts';
import { storeMirror, storePodReport, type PodReport } from './pod-reports.ts';

const mirror = (spec: object = {}, annotations: Record<string, string> = { 'kubernetes.io/config.mirror': 'h' }): Pod => ({ metadata: { name: 'own-n1', namespace: 'default', annotations, labels: { app: 'own' }, finalizers: ['mine/forever'] }, spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }], ...spec } });
const report = (change: Partial<PodReport>): PodReport => ({ namespace: 'default', name: 'own-n1', uid: 'u', status: {}, gone: false, ...change });

it('shows what a node runs by itself, and removes it when the node says so', async () => {
  const api = new FakeApi({ clock: new ManualClock() });
  await storeMirror(api, 'n1', report({ mirror: mirror() }));
  await storeMirror(api, 'n1', report({ mirror: mirror() }));
  const made = await api.get(pods, 'default', 'own-n1');
  expect(made).toMatchObject({ metadata: { labels: { app: 'own' } }, spec: { nodeName: 'n1' } });
  expect(made.metadata?.finalizers).toBeUndefined();
  await storePodReport(api, 'n1', report({ uid: made.metadata?.uid ?? '', gone: true }), 0);
  await expect(api.get(pods, 'default', 'own-n1')).rejects.toMatchObject({ code: 'NotFound' });
});

it("is the node's, so that nobody whose selector matches it takes it for one of his", async () => {
  const api = new FakeApi({ clock: new ManualClock() });
  const { metadata } = await api.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, spec: {} });
  await storeMirror(api, 'n1', report({ mirror: mirror() }));
  expect((await api.get(pods, 'default', 'own-n1')).metadata?.ownerReferences).toEqual([{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: metadata?.uid, controller: true }]);
});

it.each<[string, Partial<PodReport>]>([
  ['another node\'s', { mirror: mirror({ nodeName: 'n2' }) }], ['no mirror', { mirror: mirror({}, {}) }], ['of any name', { name: 'other', mirror: mirror() }],
  ['an account\'s', { mirror: mirror({ serviceAccountName: 'admin' }) }], ['told secrets', { mirror: mirror({ volumes: [{ name: 'v', secret: { secretName: 's' } }] }) }],
])('refuses to show a pod that is %s', async (_what, change) => {
  await expect(storeMirror(new FakeApi({ clock: new ManualClock() }), 'n1', report(change))).rejects.toMatchObject({ code: 'Forbidden' });
});
