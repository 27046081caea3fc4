import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Pod, PodSpec } from '#api/gen/types.ts';
import { TestServer } from '../test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  const account = (name: string, more: object): Promise<unknown> => server.ask('/api/v1/namespaces/default/serviceaccounts', { method: 'POST', body: { metadata: { name }, ...more } });
  await account('quiet', { automountServiceAccountToken: false });
  await account('puller', { imagePullSecrets: [{ name: 'registry' }] });
});
afterAll(async () => { await server.stop(); });

const at = '/var/run/secrets/kubernetes.io/serviceaccount';
async function made(spec: Partial<PodSpec>, metadata: Pod['metadata'] = {}): Promise<PodSpec> {
  const answer = await server.ask('/api/v1/namespaces/default/pods', { method: 'POST', body: { metadata: { generateName: 'p-', ...metadata }, spec: { containers: [{ name: 'a', image: 'i' }], ...spec } } });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.json<Pod & { spec: PodSpec }>().spec;
}

it('mounts token, CA and namespace into every container', async () => {
  const { volumes = [], containers, initContainers, serviceAccountName, serviceAccount } = await made({ initContainers: [{ name: 'i', image: 'i' }], volumes: [{ name: 'own', emptyDir: {} }] });
  expect([serviceAccountName, serviceAccount]).toEqual(['default', 'default']);
  expect(volumes.map(({ name }) => name)).toEqual(['own', expect.stringMatching(/^kube-api-access-[a-z0-9]{5}$/)]);
  expect(volumes[1]?.projected).toEqual({ defaultMode: 0o644, sources: [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
  ] });
  for (const container of [...containers, ...initContainers ?? []]) expect(container.volumeMounts).toEqual([{ name: volumes[1]?.name, readOnly: true, mountPath: at }]);
});

it('leaves alone who says so: the pod first, then its account', async () => {
  expect((await made({ automountServiceAccountToken: false })).volumes ?? []).toEqual([]);
  expect((await made({ serviceAccountName: 'quiet' })).volumes ?? []).toEqual([]);
  expect((await made({ serviceAccountName: 'quiet', automountServiceAccountToken: true })).volumes).toHaveLength(1);
});

it('keeps what a container mounts there itself', async () => {
  const own = { name: 'mine', mountPath: at };
  const { containers, volumes } = await made({ containers: [{ name: 'a', image: 'i', volumeMounts: [own] }], volumes: [{ name: 'mine', emptyDir: {} }] });
  expect([containers[0]?.volumeMounts, volumes]).toEqual([[own], [{ name: 'mine', emptyDir: {} }]]);
});

it('gives pods the pull secrets of their account, unless they name some', async () => {
  expect((await made({ serviceAccountName: 'puller' })).imagePullSecrets).toEqual([{ name: 'registry' }]);
  expect((await made({ serviceAccountName: 'puller', imagePullSecrets: [{ name: 'own' }] })).imagePullSecrets).toEqual([{ name: 'own' }]);
});

it('refuses an account that is not there', async () => {
  await expect(made({ serviceAccountName: 'nobody' })).rejects.toThrow('error looking up service account default/nobody: serviceaccount \\"nobody\\" not found');
});

it('leaves it to others to refuse a volume without a name', async () => {
  await expect(made(JSON.parse('{"volumes":[{"emptyDir":{}}]}') as PodSpec)).rejects.toThrow('spec.volumes[0].name: Required value');
});
