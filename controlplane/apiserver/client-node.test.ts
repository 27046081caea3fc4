import { AppsV1Api, CoreV1Api, KubeConfig, KubernetesObjectApi, makeInformer, PatchStrategy, setHeaderOptions, Watch, type V1ConfigMap, type V1Deployment } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { configMaps } from '#api/kinds/resources.ts';
import { TestServer } from './test-server.ts';

/** The official JavaScript client, as it is: its typed calls, its watch, and its informer over a restart and a 410. */
let server: TestServer;
let config: KubeConfig;
let core: CoreV1Api;
const namespace = 'default';
const admin = { name: 'admin', groups: ['system:masters'] };

beforeAll(async () => {
  server = await TestServer.start();
  config = new KubeConfig();
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  config.loadFromOptions({
    clusters: [{ name: 'c', server: `https://127.0.0.1:${String(server.port)}`, caData: base64(server.caPem) }],
    users: [{ name: 'u', certData: base64(server.admin.cert), keyData: base64(server.admin.key) }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }], currentContext: 'x',
  });
  core = config.makeApiClient(CoreV1Api);
});
afterAll(async () => { await server.stop(); });

const configMap = (name: string, data: Record<string, string> = { a: '1' }): V1ConfigMap => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { app: 'informed' } }, data });
/** Behind HTTP's back, as another client would. */
const create = (name: string): Promise<unknown> => server.api.client(admin).create(configMaps, { metadata: { name, namespace, labels: { app: 'informed' } }, data: { a: '1' } });

describe('@kubernetes/client-node', () => {
  it('creates, reads, lists, patches, replaces and deletes with types', async () => {
    const apps = config.makeApiClient(AppsV1Api);
    const body: V1Deployment = { metadata: { name: 'typed' }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } } };
    const made = await apps.createNamespacedDeployment({ namespace, body });
    expect(made.metadata?.creationTimestamp).toBeInstanceOf(Date);
    const patched = await apps.patchNamespacedDeployment({ namespace, name: 'typed', body: { spec: { replicas: 3 } } }, setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch));
    expect([patched.spec?.replicas, patched.metadata?.generation]).toEqual([3, 2]);
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'typed' });
    scale.spec = { replicas: 1 };
    expect((await apps.replaceNamespacedDeploymentScale({ namespace, name: 'typed', body: scale })).spec?.replicas).toBe(1);
    await expect(apps.replaceNamespacedDeployment({ namespace, name: 'typed', body: made })).rejects.toMatchObject({ code: 409 });
    expect((await apps.listDeploymentForAllNamespaces({ fieldSelector: 'metadata.name=typed' })).items.map(({ metadata }) => metadata?.name)).toEqual(['typed']);
    expect(await apps.deleteNamespacedDeployment({ namespace, name: 'typed' })).toMatchObject({ status: 'Success' });
    await expect(apps.readNamespacedDeployment({ namespace, name: 'typed' })).rejects.toMatchObject({ code: 404 });
  });

  it('finds its way by discovery alone', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    await objects.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace } });
    expect(await objects.read({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace } })).toMatchObject({ kind: 'ConfigMap' });
    await objects.delete({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace } });
  });

  it('pages', async () => {
    for (const name of ['p1', 'p2', 'p3']) await core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels: { paged: 'yes' } } } });
    const names: string[] = [];
    let next: string | undefined;
    do {
      const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'paged', limit: 2, ...(next !== undefined && { _continue: next }) });
      names.push(...page.items.map(({ metadata }) => metadata?.name ?? ''));
      next = page.metadata?._continue;
    } while (next);
    expect(names).toEqual(['p1', 'p2', 'p3']);
  });

  it('watches', async () => {
    const seen: string[] = [];
    const controller = await new Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`, { resourceVersion: String(server.store.revision) },
      (type: string, object: V1ConfigMap) => { seen.push(`${type} ${object.metadata?.name ?? ''}`); }, () => undefined);
    await core.createNamespacedConfigMap({ namespace, body: configMap('watched') });
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await vi.waitFor(() => { expect(seen).toEqual(['ADDED watched', 'DELETED watched']); });
    controller.abort();
  });

  it('keeps an informer true over a restart of the server and a history that is gone', async () => {
    const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace, labelSelector: 'app=informed' }), 'app=informed');
    let again = true;
    const seen: string[] = [];
    // As the client's manual has it: an informer that lost its watch is started again by its owner.
    informer.on('error', () => { if (again) setTimeout(() => { void informer.start().catch(() => undefined); }, 20); });
    for (const verb of ['add', 'update', 'delete'] as const) informer.on(verb, (object) => { seen.push(`${verb} ${object.metadata?.name ?? ''}`); });
    const names = (): string[] => informer.list(namespace).map(({ metadata }) => metadata?.name ?? '').sort();
    await create('one');
    await informer.start();
    await vi.waitFor(() => { expect(names()).toEqual(['one']); });

    await server.restart();
    await create('two');
    await vi.waitFor(() => { expect(names()).toEqual(['one', 'two']); }, { timeout: 10_000 });

    // Everything that the informer could resume from is compacted while the server is away.
    await server.restart(async () => {
      const key = (await server.store.list({ prefix: 'core/configmaps/default/' })).entries.find(({ key: k }) => k.endsWith('/one'));
      if (key) await server.store.write({ key: key.key, type: 'delete', expect: key.modRevision, encode: () => key.value });
      await server.store.compact(server.store.revision);
    });
    await create('three');
    await vi.waitFor(() => { expect(names()).toEqual(['three', 'two']); }, { timeout: 10_000 });
    expect(seen).toContain('delete one');
    again = false;
    await informer.stop();
  }, 30_000);
});
