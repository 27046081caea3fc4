import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Ingress, LimitRange, Node, PersistentVolumeClaim, Pod, PodSpec, PriorityClass, RuntimeClass } from '#api/gen/types.ts';
import { ingressClasses, ingresses, limitRanges, namespaces, nodes, persistentVolumeClaims, persistentVolumes, pods, priorityClasses, runtimeClasses, serviceAccounts, storageClasses } from '#api/kinds/resources.ts';
import { TestServer } from '../test-server.ts';
import type { ApiClient } from '../types.ts';

let server: TestServer;
let client: ApiClient;
beforeAll(async () => {
  server = await TestServer.start();
  client = server.api.client({ name: 'test', groups: ['system:masters'] });
});
afterAll(async () => { await server.stop(); });

let count = 0;
async function namespace(): Promise<string> {
  const name = `ns-${String(++count)}`;
  await client.create(namespaces, { metadata: { name } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace: name } });
  return name;
}
const pod = (ns: string, spec: Partial<PodSpec> = {}): Promise<Pod> => client.create<Pod>(pods, { metadata: { name: `pod-${String(++count)}`, namespace: ns }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } });
const resources = (requests: Record<string, string>, limits: Record<string, string> = {}): Partial<PodSpec> => ({ containers: [{ name: 'c', image: 'i', resources: { requests, limits } }] });

describe('limit ranges', () => {
  it('give containers what they do not ask for, and say so', async () => {
    const ns = await namespace();
    await client.create<LimitRange>(limitRanges, { metadata: { name: 'l', namespace: ns }, spec: { limits: [{ type: 'Container', default: { cpu: '200m', memory: '64Mi' }, defaultRequest: { cpu: '100m' } }] } });
    const made = await pod(ns, { containers: [{ name: 'a', image: 'i', resources: { limits: { memory: '1Gi' } } }], initContainers: [{ name: 'b', image: 'i' }] });
    expect(made.spec?.containers[0]?.resources).toEqual({ limits: { memory: '1Gi', cpu: '200m' }, requests: { memory: '1Gi', cpu: '100m' } });
    expect(made.metadata?.annotations?.['kubernetes.io/limit-ranger']).toBe('LimitRanger plugin set: cpu request for container a; cpu limit for container a; cpu, memory request for init container b; cpu, memory limit for init container b');
  });

  it('refuse what is too little, too much or too uneven, in Kubernetes\' words', async () => {
    const ns = await namespace();
    await client.create<LimitRange>(limitRanges, { metadata: { name: 'l', namespace: ns }, spec: { limits: [
      { type: 'Container', min: { cpu: '100m' }, max: { cpu: '1' }, default: { cpu: '500m' }, maxLimitRequestRatio: { cpu: '2' } }, { type: 'Pod', max: { memory: '1Gi' } },
      { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '5Gi' } },
    ] } });
    const memory = { memory: '512Mi' };
    const refusal = async (spec: Partial<PodSpec>): Promise<string> => pod(ns, spec).then(() => 'made', (error: Error) => error.message.replace(/^pods "[^"]*" is forbidden: /, ''));
    expect(await refusal(resources({ cpu: '50m', ...memory }, { cpu: '100m', ...memory }))).toBe('minimum cpu usage per Container is 100m, but request is 50m');
    expect(await refusal(resources({ cpu: '1', ...memory }, { cpu: '2', ...memory }))).toBe('maximum cpu usage per Container is 1, but limit is 2');
    expect(await refusal(resources({ cpu: '100m', ...memory }, { cpu: '1', ...memory }))).toBe('cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000');
    expect(await refusal(resources({ cpu: '500m', memory: '2Gi' }, { cpu: '500m', memory: '2Gi' }))).toBe('maximum memory usage per Pod is 1Gi, but limit is 2Gi');
    expect(await refusal(resources({ cpu: '500m', ...memory }, { cpu: '500m', ...memory }))).toBe('made');
    const claim = (storage: string): Promise<unknown> => client.create<PersistentVolumeClaim>(persistentVolumeClaims, { metadata: { name: `c-${String(++count)}`, namespace: ns }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } } });
    await expect(claim('10Gi')).rejects.toThrow('maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 10Gi');
    await expect(claim('1Mi')).rejects.toThrow('minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi');
    await claim('2Gi');
  });
});

describe('classes', () => {
  it('of priority become numbers', async () => {
    const ns = await namespace();
    expect((await pod(ns, { priorityClassName: 'system-node-critical' })).spec?.priority).toBe(2_000_001_000);
    await expect(pod(ns, { priorityClassName: 'missing' })).rejects.toThrow('no PriorityClass with name missing was found');
    const cls = (name: string, extra: Partial<PriorityClass>): Promise<PriorityClass> => client.create<PriorityClass>(priorityClasses, { metadata: { name }, ...extra });
    await cls('gentle', { value: 7, preemptionPolicy: 'Never' });
    expect((await pod(ns, { priorityClassName: 'gentle' })).spec).toMatchObject({ priority: 7, preemptionPolicy: 'Never' });
    await expect(pod(ns, { priorityClassName: 'gentle', priority: 8 })).rejects.toThrow('the integer value of priority (8) must not be provided in pod spec; priority admission controller computed 7 from the given PriorityClass name');
    expect((await pod(ns)).spec?.priority).toBe(0);
    await cls('usual', { value: 5, globalDefault: true });
    expect((await pod(ns)).spec).toMatchObject({ priority: 5, priorityClassName: 'usual' });
    await expect(cls('other', { value: 6, globalDefault: true })).rejects.toThrow('PriorityClass usual is already marked as default. Only one default can exist');
    await client.delete(priorityClasses, undefined, 'usual');
  });

  it('of runtimes bring their overhead and their place', async () => {
    const ns = await namespace();
    await client.create<RuntimeClass>(runtimeClasses, { metadata: { name: 'vm' }, handler: 'vm', overhead: { podFixed: { memory: '64Mi' } }, scheduling: { nodeSelector: { vm: 'yes' }, tolerations: [{ key: 'vm', operator: 'Exists' }] } });
    const made = await pod(ns, { runtimeClassName: 'vm', nodeSelector: { a: 'b' } });
    expect(made.spec).toMatchObject({ overhead: { memory: '64Mi' }, nodeSelector: { a: 'b', vm: 'yes' } });
    expect(made.spec?.tolerations).toContainEqual({ key: 'vm', operator: 'Exists' });
    await expect(pod(ns, { runtimeClassName: 'none' })).rejects.toThrow('pod rejected: RuntimeClass "none" not found');
    await expect(pod(ns, { overhead: { cpu: '1' } })).rejects.toThrow('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
    await expect(pod(ns, { runtimeClassName: 'vm', nodeSelector: { vm: 'no' } })).rejects.toThrow('conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no');
  });

  it('of storage and ingress are filled in where none is named', async () => {
    const ns = await namespace();
    const claim = (extra: object = {}): Promise<PersistentVolumeClaim> => client.create<PersistentVolumeClaim>(persistentVolumeClaims, {
      metadata: { name: `c-${String(++count)}`, namespace: ns }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...extra } });
    expect((await claim()).spec?.storageClassName).toBe('local-path');
    await client.create(storageClasses, { metadata: { name: 'disk', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } }, provisioner: 'a/b' });
    const made = await claim();
    expect(made.spec?.storageClassName).toBe('disk');
    expect((await claim({ storageClassName: '' })).spec?.storageClassName).toBe('');
    await client.patch(persistentVolumeClaims, ns, made.metadata?.name ?? '', 'merge', { status: { phase: 'Bound' } }, 'status');
    await expect(client.patch(persistentVolumeClaims, ns, made.metadata?.name ?? '', 'merge', { spec: { resources: { requests: { storage: '2Gi' } } } }))
      .rejects.toThrow('only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize');
    await client.create(ingressClasses, { metadata: { name: 'edge', annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } }, spec: { controller: 'a.example.com/b' } });
    const ingress = await client.create<Ingress>(ingresses, { metadata: { name: 'i', namespace: ns }, spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } });
    expect(ingress.spec?.ingressClassName).toBe('edge');
  });
});

describe('what is new', () => {
  it('gets no pods before it is ready, and is not taken away while it is used', async () => {
    const node = await client.create<Node>(nodes, { metadata: { name: 'new' } });
    expect(node.spec?.taints).toEqual([{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
    const volume = await client.create(persistentVolumes, { metadata: { name: 'v' }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], nfs: { server: 's', path: '/' } } });
    expect(volume.metadata?.finalizers).toEqual(['kubernetes.io/pv-protection']);
  });
});
