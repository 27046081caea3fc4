import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Namespace, Pod } from '#api/gen/types.ts';
import { configMaps, namespaces, pods, serviceAccounts, services } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';

let lab: RunningControllers;
beforeEach(async () => {
  lab = runControllers(['namespace', 'service-account', 'root-ca-publisher']);
  for (const name of ['gone', 'kept']) await lab.api.create<Namespace>(namespaces, { metadata: { name }, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
  await lab.start();
});
afterEach(() => lab.stop());

it('gives every namespace its account and its CA, again when they are deleted or changed', async () => {
  const state = (): unknown => [lab.api.all(serviceAccounts).map((a) => a.metadata?.name), lab.api.all(configMaps).map((c) => c.data?.['ca.crt'])];
  expect(state()).toEqual([['default', 'default'], ['PEM', 'PEM']]);
  await lab.api.delete(serviceAccounts, 'gone', 'default');
  await lab.api.patch(configMaps, 'gone', 'kube-root-ca.crt', 'merge', { data: { 'ca.crt': 'other' } });
  await lab.clock.advance(0);
  expect(state()).toEqual([['default', 'default'], ['PEM', 'PEM']]);
});

it('empties a namespace, pods first, says what is left, and leaves others alone', async () => {
  await lab.api.create<Pod>(pods, { metadata: { name: 'web', namespace: 'gone' }, spec: { containers: [], nodeName: 'a' } });
  await lab.api.create(services, { metadata: { name: 'web', namespace: 'gone', finalizers: ['example.com/lb'] } });
  await lab.api.create(services, { metadata: { name: 'web', namespace: 'kept' } });
  await lab.api.delete(namespaces, undefined, 'gone');
  await lab.clock.advance(0);
  const condition = (type: string): unknown => getCondition(lab.api.find(namespaces, undefined, 'gone')?.status?.conditions, type);
  expect(condition('NamespaceContentRemaining')).toMatchObject({ status: 'True', reason: 'SomeResourcesRemain', message: 'Some resources are remaining: pods. has 1 resource instances' });
  expect(lab.api.find(services, 'gone', 'web')?.metadata?.deletionTimestamp).toBeUndefined();

  await lab.api.delete(pods, 'gone', 'web', { gracePeriodSeconds: 0 });
  await lab.clock.advance(0);
  expect(condition('NamespaceFinalizersRemaining')).toMatchObject({ message: 'Some content in the namespace has finalizers remaining: example.com/lb in 1 resource instances' });
  expect(lab.api.all(configMaps).map((c) => c.metadata?.namespace)).toEqual(['kept']);

  await lab.api.patch(services, 'gone', 'web', 'merge', { metadata: { finalizers: [] } });
  await lab.clock.advance(0);
  expect(lab.api.all(namespaces).map((n) => n.metadata?.name)).toEqual(['kept']);
  expect(lab.api.all(services).map((s) => s.metadata?.namespace)).toEqual(['kept']);
});
