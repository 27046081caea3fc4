import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeKey, pem } from '#common/pki/certificate.ts';
import { makeSigningRequest } from '#common/pki/signing-request.ts';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';
import { eventually } from '../support/lab/eventually.ts';

/** Who may do what, with stock kubectl: the oldest that asks who one is as version 1 does, and the newest. */
const all = await kubectlVersions();
const versions = all.filter(({ minor }) => minor >= 28);
const chosen = [...new Set([versions[0], versions.at(-1)])].flatMap((version) => version ?? []);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create({ agents: 0, allInOne: true });
  await cluster.importImage();
});
afterAll(async () => { await cluster?.destroy(); });

/** A kubeconfig file on the control plane's host for somebody else than the administrator; returns its path there. */
async function kubeconfigFor(name: string, user: Record<string, string>): Promise<string> {
  const path = `/tmp/${name}.kubeconfig`;
  const [, ca = ''] = /certificate-authority-data: (\S+)/.exec(await readFile(cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'), 'utf8')) ?? [];
  writeFileSync(cluster.controlPlaneHost.path(path), JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'c', contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:6443', 'certificate-authority-data': ca } }], users: [{ name: 'u', user }],
  }));
  return path;
}

describe.each(chosen.map((version) => [version.minor, version] as const))('kubectl 1.%i', (minor, version) => {
  const namespace = `auth-${String(minor)}`;
  let kubectl: Kubectl;
  beforeAll(async () => {
    kubectl = new Kubectl(cluster, version, namespace);
    await kubectl.words(`create namespace ${namespace}`);
  });

  const as = async (kubeconfig: string, line: string) => {
    const { exitCode, stdout, stderr } = await kubectl.result(line.split(' '), { env: { KUBECONFIG: kubeconfig } });
    return { exitCode, text: stdout + stderr };
  };
  const canI = async (line: string): Promise<string> => (await kubectl.result(`auth can-i ${line}`.split(' '))).stdout.trim();
  const whoami = async (kubeconfig: string): Promise<{ status: { userInfo: { username: string; groups: string[]; extra?: Record<string, string[]> } } }> => JSON.parse((await as(kubeconfig, 'auth whoami -o json')).text) as Awaited<ReturnType<typeof whoami>>;

  it('grants and takes back with roles and bindings', async () => {
    expect(await canI('list pods')).toBe('yes');
    expect(await canI('list pods --as jane')).toBe('no');
    await kubectl.words('create role reader --verb=get,list --resource=pods,pods/log,deployments.apps/scale');
    await kubectl.words('create rolebinding jane --role=reader --user=jane');
    expect(await canI('list pods --as jane')).toBe('yes');
    expect(await canI('get pods --subresource=log --as jane')).toBe('yes');
    expect(await canI('get deployments.apps/x --subresource=scale --as jane')).toBe('yes');
    expect(await canI('delete pods --as jane')).toBe('no');
    expect(await canI('list pods -A --as jane')).toBe('no');
    expect(await canI('get /metrics --as jane')).toBe('no');
    expect(await kubectl.words('auth can-i --list --as jane')).toMatch(/^pods\s+\[\]\s+\[\]\s+\[get list\]/m);
    expect(await kubectl.fails('get secrets --as jane')).toContain(`secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "${namespace}"`);
    expect(await kubectl.words('describe rolebinding jane')).toContain('reader');
    expect(await kubectl.words('get roles,rolebindings -o wide')).toContain('Role/reader');
    await kubectl.words('delete rolebinding jane');
    expect(await canI('list pods --as jane')).toBe('no');
    await kubectl.words('create rolebinding viewers --clusterrole=view --group=viewers');
    expect(await canI('list deployments.apps --as u --as-group viewers')).toBe('yes');
    expect(await canI('list secrets --as u --as-group viewers')).toBe('no');
  });

  it('refuses to give away what one does not have', async () => {
    await kubectl.words('create role maker --verb=create,get,patch --resource=roles.rbac.authorization.k8s.io');
    await kubectl.words('create rolebinding maker --role=maker --user=max');
    expect(await kubectl.fails('create role more --verb=get --resource=secrets --as max')).toContain('user "max" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}');
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'reconciled', namespace }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] };
    expect(await kubectl.words('auth reconcile -f -', JSON.stringify(role))).toContain('reconciled');
  });

  it('makes tokens of service accounts that work until they should not', async () => {
    await kubectl.words('create serviceaccount robot');
    const token = (await kubectl.words('create token robot --duration=10m')).trim();
    const config = await kubeconfigFor(`robot-${String(minor)}`, { token });
    expect((await whoami(config)).status.userInfo).toMatchObject({ username: `system:serviceaccount:${namespace}:robot`, groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'] });
    expect((await as(config, 'get pods')).text).toContain(`User "system:serviceaccount:${namespace}:robot" cannot list resource "pods"`);
    await kubectl.words(`create rolebinding robot --role=reader --serviceaccount=${namespace}:robot`);
    expect((await as(config, 'get pods')).exitCode).toBe(0);
    expect(await kubectl.fails('create token robot --duration=1m')).toContain('may not specify a duration less than 10 minutes');
    await kubectl.words('delete serviceaccount robot');
    expect((await as(config, 'get pods')).text).toMatch(/Unauthorized|must be logged in/);
    const forged = await kubeconfigFor(`forged-${String(minor)}`, { token: `${token.slice(0, -6)}AAAAAA` });
    expect((await as(forged, 'get pods')).text).toMatch(/Unauthorized|must be logged in/);
  });

  it('approves and denies certificates', async () => {
    const key = makeKey();
    const name = `olga-${String(minor)}`;
    const request = (as: string) => JSON.stringify({
      apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: as },
      spec: { request: Buffer.from(pem('CERTIFICATE REQUEST', makeSigningRequest(key, { commonName: 'olga', organizations: ['viewers'] }))).toString('base64'), signerName: 'kubernetes.io/kube-apiserver-client', expirationSeconds: 3600, usages: ['client auth'] },
    });
    await kubectl.words('apply -f -', request(name));
    expect(await kubectl.words(`get csr ${name}`)).toMatch(/kubernetes\.io\/kube-apiserver-client\s+admin\s+60m\s+Pending/);
    expect(await kubectl.words(`certificate approve ${name}`)).toContain('approved');
    await kubectl.until(`get csr ${name}`, /Approved,Issued/);
    const certificate = await kubectl.words(`get csr ${name} -o jsonpath={.status.certificate}`);
    const config = await kubeconfigFor(name, { 'client-certificate-data': certificate, 'client-key-data': Buffer.from(key).toString('base64') });
    expect((await whoami(config)).status.userInfo).toMatchObject({ username: 'olga', groups: ['viewers', 'system:authenticated'] });
    expect((await as(config, 'get deployments')).exitCode).toBe(0);
    expect((await as(config, 'get secrets')).text).toContain('User "olga" cannot list resource "secrets"');
    await kubectl.words('apply -f -', request(`${name}-no`));
    expect(await kubectl.words(`certificate deny ${name}-no`)).toContain('denied');
    expect(await kubectl.words(`get csr ${name}-no`)).toContain('Denied');
  });

  it('finds in every pod what a client library looks for there', async () => {
    const at = '/var/run/secrets/kubernetes.io/serviceaccount';
    const command = ['sh', '-c', `cat ${at}/token; echo; cat ${at}/namespace; echo; echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT; cat ${at}/ca.crt; trap exit TERM; while :; do sleep 1 & wait $!; done`];
    await kubectl.words('apply -f -', JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'client' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'cleat-hello:1', command }] } }));
    const logs = await kubectl.until('logs client', /END CERTIFICATE/, 60_000);
    const [token = '', found, server, ...ca] = logs.split('\n');
    expect([found, server]).toEqual([namespace, '10.43.0.1:443']);
    const own = await readFile(cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'), 'utf8');
    expect(own).toContain(Buffer.from(`${ca.join('\n').trimEnd()}\n`).toString('base64'));
    const config = await kubeconfigFor(`pod-${String(minor)}`, { token });
    expect((await whoami(config)).status.userInfo).toMatchObject({ username: `system:serviceaccount:${namespace}:default`, extra: { 'authentication.kubernetes.io/pod-name': ['client'], 'authentication.kubernetes.io/node-name': [cluster.controlPlaneHost.name] } });
    await kubectl.words('delete pod client --wait');
    await eventually(async () => (await as(config, 'auth whoami')).exitCode !== 0, { what: 'the token of a pod that is gone to be refused', timeoutMs: 10_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    const bare = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bare' }, spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'cleat-hello:1' }] } };
    await kubectl.words('apply -f -', JSON.stringify(bare));
    expect(await kubectl.words('get pod bare -o jsonpath={.spec.volumes}')).toBe('');
    await kubectl.words('delete pod bare --wait=false --grace-period=1');
  });
});

/** Kubernetes' own library for JavaScript as it is, run in a container by Node and libraries of the host. */
describe('a stock client library in a pod', () => {
  const modules = join(import.meta.dirname, '../../node_modules');
  const program = `
    import { CoreV1Api, KubeConfig } from '${modules}/@kubernetes/client-node/dist/index.js';
    const config = new KubeConfig();
    config.loadFromCluster();
    const api = config.makeApiClient(CoreV1Api);
    for (;;) {
      const answer = await api.listNamespacedPod({ namespace: 'library' }).then(({ items }) => 'sees ' + items[0].metadata.name, (error) => 'refused with ' + (error.code ?? error));
      console.log(answer);
      if (answer.startsWith('sees')) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }`;

  it('finds the API by itself, and may do what its service account may', async () => {
    const kubectl = new Kubectl(cluster, all.at(-1)!, 'library');
    await kubectl.words('create namespace library');
    const folders = [modules, '/lib', '/usr/lib', '/lib64'].filter((folder) => existsSync(folder));
    await kubectl.words('apply -f -', JSON.stringify({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'program' },
      spec: {
        restartPolicy: 'Never', terminationGracePeriodSeconds: 1,
        containers: [{ name: 'c', image: 'cleat-hello:1', command: [join(modules, 'node/bin/node'), '--input-type=module', '-e', program], volumeMounts: folders.map((mountPath, i) => ({ name: `host-${String(i)}`, mountPath, readOnly: true })) }],
        volumes: folders.map((path, i) => ({ name: `host-${String(i)}`, hostPath: { path } })),
      },
    }));
    await kubectl.until('logs program', /refused with 403/, 60_000);
    await kubectl.words('create rolebinding view --clusterrole=view --serviceaccount=library:default');
    await kubectl.until('logs program', /sees program/, 30_000);
    await kubectl.words('delete namespace library --wait=false');
  });
});
