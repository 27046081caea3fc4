import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer } from '../test-server.ts';

/** What Kubernetes v1.34 says of itself, by the reference of its API; plural, singular, kind, short names, categories. */
const core = [
  'bindings binding Binding', 'componentstatuses componentstatus ComponentStatus cs', 'configmaps configmap ConfigMap cm', 'endpoints endpoints Endpoints ep', 'events event Event ev',
  'limitranges limitrange LimitRange limits', 'namespaces namespace Namespace ns', 'namespaces/finalize  Namespace', 'namespaces/status  Namespace', 'nodes node Node no', 'nodes/proxy  NodeProxyOptions', 'nodes/status  Node',
  'persistentvolumeclaims persistentvolumeclaim PersistentVolumeClaim pvc', 'persistentvolumeclaims/status  PersistentVolumeClaim', 'persistentvolumes persistentvolume PersistentVolume pv', 'persistentvolumes/status  PersistentVolume',
  'pods pod Pod po all', 'pods/attach  PodAttachOptions', 'pods/binding  Binding', 'pods/ephemeralcontainers  Pod', 'pods/eviction  Eviction', 'pods/exec  PodExecOptions', 'pods/log  Pod', 'pods/portforward  PodPortForwardOptions',
  'pods/proxy  PodProxyOptions', 'pods/resize  Pod', 'pods/status  Pod', 'podtemplates podtemplate PodTemplate', 'replicationcontrollers replicationcontroller ReplicationController rc all', 'replicationcontrollers/scale  Scale',
  'replicationcontrollers/status  ReplicationController', 'resourcequotas resourcequota ResourceQuota quota', 'resourcequotas/status  ResourceQuota', 'secrets secret Secret', 'serviceaccounts serviceaccount ServiceAccount sa',
  'serviceaccounts/token  TokenRequest', 'services service Service svc all', 'services/proxy  ServiceProxyOptions', 'services/status  Service',
];

interface Entry { readonly name: string; readonly singularName: string; readonly kind: string; readonly verbs: string[]; readonly shortNames?: string[]; readonly categories?: string[] }

describe('discovery', () => {
  let server: TestServer;
  beforeAll(async () => { server = await TestServer.start(); });
  afterAll(async () => { await server.stop(); });
  const resources = async (path: string): Promise<Entry[]> => (await server.ask(path)).json<{ resources: Entry[] }>().resources;

  it('names all of v1 as Kubernetes does', async () => {
    const found = await resources('/api/v1');
    expect(found.map(({ name, singularName, kind, shortNames = [], categories = [] }) => [name, singularName, kind, ...shortNames, ...categories].join(' '))).toEqual(core);
    expect(found.find(({ name }) => name === 'bindings')?.verbs).toEqual(['create']);
    expect(found.find(({ name }) => name === 'namespaces')?.verbs).toEqual(['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']);
    expect((await server.ask('/api/v1/namespaces', { method: 'DELETE' })).status).toBe(405);
  });

  it('serves every group version that is stable in v1.34', async () => {
    const { groups } = (await server.ask('/apis')).json<{ groups: { versions: { groupVersion: string }[] }[] }>();
    expect(groups.flatMap(({ versions }) => versions.map(({ groupVersion }) => groupVersion)).sort()).toEqual([
      'admissionregistration.k8s.io/v1', 'apiextensions.k8s.io/v1', 'apiregistration.k8s.io/v1', 'apps/v1', 'authentication.k8s.io/v1', 'authorization.k8s.io/v1', 'autoscaling/v1', 'autoscaling/v2', 'batch/v1',
      'certificates.k8s.io/v1', 'coordination.k8s.io/v1', 'discovery.k8s.io/v1', 'events.k8s.io/v1', 'flowcontrol.apiserver.k8s.io/v1', 'metrics.k8s.io/v1beta1', 'networking.k8s.io/v1', 'node.k8s.io/v1', 'policy/v1',
      'rbac.authorization.k8s.io/v1', 'resource.k8s.io/v1', 'scheduling.k8s.io/v1', 'storage.k8s.io/v1',
    ]);
  });
});

describe('a binding', () => {
  let server: TestServer;
  beforeAll(async () => { server = await TestServer.start(); });
  afterAll(async () => { await server.stop(); });
  const pods = '/api/v1/namespaces/default/pods';
  const make = async (name: string, spec: object = {}): Promise<{ uid: string; resourceVersion: string }> => (await server.ask(pods, { method: 'POST', body: { metadata: { name }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } } })).json<{ metadata: { uid: string; resourceVersion: string } }>().metadata;
  const bind = (metadata: object, path = '/api/v1/namespaces/default/bindings') => server.ask(path, { method: 'POST', body: { apiVersion: 'v1', kind: 'Binding', metadata, target: { kind: 'Node', name: 'n1' } } });

  it('may be posted by itself, brings its annotations, and keeps to its preconditions', async () => {
    const { uid, resourceVersion } = await make('a');
    expect((await bind({ name: 'a', resourceVersion: '1' })).json()).toMatchObject({ code: 409 });
    expect((await bind({ name: 'a', uid, resourceVersion, annotations: { said: 'yes' } })).status).toBe(201);
    expect((await server.ask(`${pods}/a`)).json()).toMatchObject({ metadata: { annotations: { said: 'yes' } }, spec: { nodeName: 'n1' } });
    expect((await bind({})).json()).toMatchObject({ code: 422, message: 'Binding "" is invalid: metadata.name: Required value: name or generateName is required' });
    expect((await bind({ name: 'other' }, `${pods}/a/binding`)).json()).toMatchObject({ code: 400 });
  });

  it('waits for the gates of the pod', async () => {
    await make('gated', { schedulingGates: [{ name: 'example.com/wait' }] });
    expect((await bind({ name: 'gated' })).json()).toMatchObject({ code: 409, message: expect.stringContaining('pod gated has non-empty .spec.schedulingGates') as string });
  });
});

describe('what is empty', () => {
  it('is not kept where it says no more than nothing', async () => {
    const server = await TestServer.start();
    const body = {
      metadata: { name: 'empty', ownerReferences: [], finalizers: [], labels: {}, annotations: {} },
      spec: { nodeSelector: {}, tolerations: [], securityContext: {}, containers: [{ name: 'c', image: 'i', args: [], env: [], resources: { limits: {} }, securityContext: {} }], volumes: [{ name: 'v', emptyDir: {} }] },
    };
    const { metadata, spec } = (await server.ask('/api/v1/namespaces/default/pods', { method: 'POST', body })).json<{ metadata: Record<string, unknown>; spec: { containers: Record<string, unknown>[] } & Record<string, unknown> }>();
    for (const field of ['ownerReferences', 'finalizers', 'labels', 'annotations']) expect(metadata).not.toHaveProperty(field);
    expect(spec).not.toHaveProperty('nodeSelector');
    expect(spec).toMatchObject({ securityContext: {}, volumes: [{ name: 'v', emptyDir: {} }, {}], containers: [{ resources: {}, securityContext: {} }] });
    for (const field of ['args', 'env']) expect(spec.containers[0]).not.toHaveProperty(field);
    expect(spec.containers[0]?.['resources']).toEqual({});
    const policy = { metadata: { name: 'none' }, spec: { podSelector: {}, ingress: [], policyTypes: ['Ingress'] } };
    const sent = (await server.ask('/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', { method: 'POST', body: policy })).json<{ spec: object }>();
    expect(sent.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress'] });
    await server.stop();
  });
});
