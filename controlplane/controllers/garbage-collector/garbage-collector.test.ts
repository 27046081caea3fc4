import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OwnerReference } from '#api/gen/types.ts';
import { configMaps, deployments, namespaces, pods, replicaSets, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { controllerReference } from '../owner-refs.ts';

let lab: RunningControllers;
beforeEach(() => { lab = runControllers(['garbage-collector']); });
afterEach(() => lab.stop());

async function create(resource: Resource, name: string, ownerReferences: OwnerReference[] = [], finalizers: string[] = []): Promise<KubeObject> {
  return lab.api.create(resource, { metadata: { name, namespace: 'default', ownerReferences, finalizers } });
}

/** Deployment → ReplicaSet → two Pods. */
async function chain(finalizers: string[] = []): Promise<void> {
  const deployment = await create(deployments, 'web');
  const set = await create(replicaSets, 'web-1', [controllerReference(deployments, deployment)]);
  await create(pods, 'web-1-a', [controllerReference(replicaSets, set)], finalizers);
  await create(pods, 'web-1-b', [controllerReference(replicaSets, set)]);
}

const names = (): string[] => [deployments, replicaSets, pods, configMaps].flatMap((resource: Resource) => lab.api.all(resource).map((object) => object.metadata?.name ?? ''));

it('deletes what hangs on a deleted owner, level by level', async () => {
  await chain();
  await create(configMaps, 'alone');
  await lab.start();
  await lab.api.delete(deployments, 'default', 'web');
  await lab.clock.advance(100);
  expect(names()).toEqual(['alone']);
});

it('finds at its start what lost its owner while nobody looked', async () => {
  await chain();
  await lab.api.delete(deployments, 'default', 'web');
  await lab.start();
  expect(names()).toEqual([]);
});

it('keeps an owner in foreground deletion until its dependents are gone', async () => {
  await chain(['example.com/wait']);
  await lab.start();
  await lab.api.delete(deployments, 'default', 'web', { propagationPolicy: 'Foreground' });
  await lab.clock.advance(100);
  expect(names()).toEqual(['web', 'web-1', 'web-1-a']);
  await lab.api.patch(pods, 'default', 'web-1-a', 'merge', { metadata: { finalizers: [] } });
  await lab.clock.advance(100);
  expect(names()).toEqual([]);
});

it('ends a circle of owners in foreground deletion', async () => {
  await lab.start();
  const circle = await Promise.all(['a', 'b', 'c'].map(async (name) => create(pods, name)));
  for (const [i, pod] of circle.entries()) {
    const owner = circle[(i + 2) % 3] ?? {};
    await lab.api.patch(pods, 'default', pod.metadata?.name ?? '', 'merge', { metadata: { ownerReferences: [controllerReference(pods, owner)] } });
  }
  await lab.clock.advance(100);
  await lab.api.delete(pods, 'default', 'a', { propagationPolicy: 'Foreground' });
  await lab.clock.advance(1000);
  expect(names()).toEqual([]);
});

it('lets dependents go free when asked to orphan them', async () => {
  await chain();
  await lab.start();
  await lab.api.delete(deployments, 'default', 'web', { propagationPolicy: 'Orphan' });
  await lab.clock.advance(100);
  expect(names()).toEqual(['web-1', 'web-1-a', 'web-1-b']);
  expect(lab.api.all(replicaSets)[0]?.metadata?.ownerReferences).toEqual([]);
});

it('believes the API and not its cache that an owner is absent', async () => {
  await lab.start();
  const owner = await create(configMaps, 'owner');
  await create(pods, 'kept', [controllerReference(configMaps, owner)]);
  await create(pods, 'lost', [{ ...controllerReference(configMaps, owner), uid: 'of-an-earlier-owner' }]);
  await lab.clock.advance(0);
  expect(names()).toEqual(['kept', 'owner']);
});

it('keeps an object while one owner is left, and one whose owner nobody knows', async () => {
  const [first, second] = [await create(configMaps, 'first'), await create(configMaps, 'second')];
  await create(pods, 'two', [first, second].map((owner) => controllerReference(configMaps, owner)));
  await create(pods, 'foreign', [{ apiVersion: 'example.com/v1', kind: 'Thing', name: 'x', uid: 'y' }]);
  await lab.start();
  await lab.api.delete(configMaps, 'default', 'first');
  await lab.clock.advance(0);
  expect(names()).toEqual(['two', 'foreign', 'second']);
  expect(lab.api.find(pods, 'default', 'two')?.metadata?.ownerReferences?.map((r) => r.name)).toEqual(['second']);
});

it('takes an owner in another namespace for none, and says so', async () => {
  const owner = await lab.api.create(configMaps as Resource, { metadata: { name: 'owner', namespace: 'other' } });
  const reference = controllerReference(configMaps, owner);
  await create(pods, 'lost', [reference]);
  await lab.api.create(namespaces as Resource, { metadata: { name: 'kept', ownerReferences: [reference] } });
  await lab.start();
  await lab.clock.advance(100);
  expect([names(), lab.api.all(namespaces).length]).toEqual([['owner'], 1]);
  expect(lab.api.recorded.sort()).toEqual([
    `garbage-collector-controller: Namespace/kept Warning OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: , name: owner, uid: ${reference.uid}] does not exist in namespace ""`,
    `garbage-collector-controller: Pod/lost Warning OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: ${reference.uid}] does not exist in namespace "default"`,
  ]);
});

it('does not look at all that go each time that one has gone', async () => {
  const deployment = await create(deployments, 'web');
  for (let i = 0; i < 300; i++) await create(pods, `p${String(i)}`, [controllerReference(deployments, deployment)], ['example.com/wait']);
  await lab.start();
  await lab.api.delete(deployments, 'default', 'web', { propagationPolicy: 'Foreground' });
  await lab.clock.advance(100);
  const looked = lab.manager().metrics['garbage-collector']!.processed;
  for (const pod of lab.api.all(pods)) {
    await lab.api.patch(pods, 'default', pod.metadata?.name ?? '', 'merge', { metadata: { finalizers: [] } });
    await lab.clock.advance(0);
  }
  await lab.clock.advance(5000);
  expect(names()).toEqual([]);
  expect(lab.manager().metrics['garbage-collector']!.processed - looked).toBeLessThan(1500);
});
