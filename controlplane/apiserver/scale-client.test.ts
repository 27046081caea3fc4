import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Deployment } from '#api/gen/types.ts';
import { customResourceDefinitions } from '#api/kinds/resources.ts';
import { TestServer } from './test-server.ts';
import type { ScaleClient } from './types.ts';

const deployments = '/apis/apps/v1/namespaces/default/deployments';
const widgets = '/apis/example.com/v1/namespaces/default/widgets';
let server: TestServer;
let scales: ScaleClient;
beforeAll(async () => {
  server = await TestServer.start();
  scales = server.api.scaleClient({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
});
afterAll(async () => { await server.stop(); });

it('scales Deployments, and refuses what has changed meanwhile', async () => {
  const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  await server.ask(deployments, { method: 'POST', body: { metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template } } });
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const scale = await scales.get(target, 'default');
  expect(scale).toMatchObject({ metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 2 }, status: { selector: 'app=web' } });
  await scales.update(target, { ...scale, spec: { replicas: 5 } });
  const now = (await server.ask(`${deployments}/web`)).json<Deployment>();
  expect(now).toMatchObject({ spec: { replicas: 5, template }, metadata: { generation: 2 } });
  await expect(scales.update(target, { ...scale, spec: { replicas: 7 } })).rejects.toMatchObject({ code: 'Conflict' });
});

it('scales custom resources by the paths of their definition', async () => {
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { size: { type: 'integer' } } }, status: { type: 'object', properties: { size: { type: 'integer' }, selector: { type: 'string' } } } } } };
  const scale = { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size', labelSelectorPath: '.status.selector' };
  const names = { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' };
  const client = server.api.client({ name: 'test', groups: ['system:masters'] });
  const made = await client.create(customResourceDefinitions, { metadata: { name: 'widgets.example.com' }, spec: { group: 'example.com', scope: 'Namespaced', names, versions: [{ name: 'v1', served: true, storage: true, schema, subresources: { status: {}, scale } }] } });
  const served = new Promise<void>((resolve) => { server.api.customResources.subscribe(resolve); });
  // What the controller of definitions does.
  await client.update(customResourceDefinitions, { ...made, status: { ...made.status, acceptedNames: names, conditions: [{ type: 'Established', status: 'True' }] } }, 'status');
  await served;
  await server.ask(widgets, { method: 'POST', body: { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec: { size: 1 } } });
  const target = { apiVersion: 'example.com/v1', kind: 'Widget', name: 'w' };
  await scales.update(target, { ...await scales.get(target, 'default'), spec: { replicas: 3 } });
  expect((await server.ask(`${widgets}/w`)).json()).toMatchObject({ spec: { size: 3 } });
});

it('says what cannot be scaled', async () => {
  await expect(scales.get({ apiVersion: 'v1', kind: 'ConfigMap', name: 'x' }, 'default')).rejects.toMatchObject({ code: 'NotFound' });
  await expect(scales.get({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'none' }, 'default')).rejects.toMatchObject({ code: 'NotFound' });
});
