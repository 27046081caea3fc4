import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';

/** An aggregated API server that runs in a pod, with its certificate, its service account and stock kubectl: `test/support/wardle-server.ts`. */
const dayMs = 86_400_000;
const root = join(import.meta.dirname, '../..');

function servingCertificate(name: string): { ca: string; key: string; cert: string } {
  const [caKey, key] = [makeKey(), makeKey()];
  const certPem = makeCaCertificate(caKey, 'wardle-ca', Date.now(), dayMs);
  const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) };
  return { ca: certPem, key, cert: issueCertificate(ca, { subject: { commonName: 'wardle' }, usage: 'server', publicKey: createPublicKey(createPrivateKey(key)), nowMs: Date.now(), lifetimeMs: dayMs, names: [name] }) };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('an API server in a pod', () => {
  let cluster: Cluster;
  let kubectl: Kubectl;
  const tls = servingCertificate('api.wardle.svc');
  const mounts = ['node_modules', 'test/support'].map((folder) => join(root, folder)).concat(['/lib', '/usr/lib', '/lib64'].filter((folder) => existsSync(folder)));

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 1 });
    await cluster.importImage();
    kubectl = new Kubectl(cluster, (await kubectlVersions()).at(-1)!, 'wardle');
  });
  afterAll(async () => { await cluster?.destroy(); });

  const pod = {
    serviceAccountName: 'api', terminationGracePeriodSeconds: 1,
    containers: [{
      name: 'api', image: 'cleat-hello:1', command: [join(root, 'node_modules/node/bin/node'), '--disable-warning=ExperimentalWarning', join(root, 'test/support/wardle-server.ts'), '/tls'], ports: [{ containerPort: 7443 }],
      readinessProbe: { tcpSocket: { port: 7443 }, periodSeconds: 1 },
      volumeMounts: [{ name: 'tls', mountPath: '/tls', readOnly: true }, ...mounts.map((mountPath, i) => ({ name: `host-${String(i)}`, mountPath, readOnly: true }))],
    }],
    volumes: [{ name: 'tls', secret: { secretName: 'tls' } }, ...mounts.map((path, i) => ({ name: `host-${String(i)}`, hostPath: { path } }))],
  };
  const bound = (kind: 'Role' | 'ClusterRole', name: string, namespace?: string): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1', kind: namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding', metadata: { name: `wardle-${name.replace(':', '-')}`, ...(namespace !== undefined && { namespace }) },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name }, subjects: [{ kind: 'ServiceAccount', namespace: 'wardle', name: 'api' }],
  });
  const available = (answer: RegExp): Promise<string> => kubectl.until('get apiservice v1.wardle.example.com -o jsonpath={.status.conditions[0].status}:{.status.conditions[0].reason}', answer, 60_000);

  it('becomes available when it stands, as stock ones do: with what the cluster tells of its proxies and its users', async () => {
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'wardle' } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'api', namespace: 'wardle' } },
      { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'tls', namespace: 'wardle' }, data: { 'tls.key': base64(tls.key), 'tls.crt': base64(tls.cert) } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'api', namespace: 'wardle' }, spec: { selector: { app: 'api' }, ports: [{ port: 443, targetPort: 7443 }] } },
      { apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: 'v1.wardle.example.com' }, spec: { group: 'wardle.example.com', version: 'v1', groupPriorityMinimum: 1000, versionPriority: 15, service: { namespace: 'wardle', name: 'api' }, caBundle: base64(tls.ca) } },
    ]);
    await available(/^False:(EndpointsNotFound|MissingEndpoints)$/);
    await cluster.apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'api', namespace: 'wardle' }, spec: { selector: { matchLabels: { app: 'api' } }, template: { metadata: { labels: { app: 'api' } }, spec: pod } } });
    // Without leave to read who may be believed it says so, and does not come up.
    await kubectl.until('logs deployment/api', /not allowed to learn whom to believe yet: 403/, 60_000);
    await cluster.apply([bound('Role', 'extension-apiserver-authentication-reader', 'kube-system'), bound('ClusterRole', 'system:auth-delegator')]);
    await available(/^True:Passed$/);
  }, 180_000);

  it('serves its kinds to kubectl beside all others', async () => {
    expect(await kubectl.words('api-resources --api-group=wardle.example.com --no-headers')).toMatch(/^flunders +fl +wardle\.example\.com\/v1 +true +Flunder/);
    await kubectl.words('create --validate=false -f -', '{"apiVersion":"wardle.example.com/v1","kind":"Flunder","metadata":{"name":"one"},"spec":{"size":3}}');
    expect(await kubectl.words('get fl one -o jsonpath={.spec.size}')).toBe('3');
    expect(await kubectl.words('get flunders')).toMatch(/^NAME +AGE\none +\d+s\n$/);
    expect(await kubectl.words('logs deployment/api')).toMatch(/^(?:kubernetes-)?admin GET \/apis\/wardle\.example\.com\/v1\/namespaces\/wardle\/flunders\/one 201$/m);
    expect(await kubectl.fails('get flunders --as=nobody')).toContain('User "nobody" cannot list resource "flunders" in API group "wardle.example.com"');
    // Who comes without the cluster's certificate is nobody, whatever the headers say.
    const address = await kubectl.words('get pods -l app=api -o jsonpath={.items[0].status.podIP}');
    const direct = `fetch('https://${address}:7443/apis/wardle.example.com/v1/flunders', { headers: { 'X-Remote-User': 'admin', 'X-Remote-Group': 'system:masters' } }).then(({ status }) => console.log(status))`;
    expect((await cluster.agentHost(0).execOk(process.execPath, ['-e', direct], { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' } })).trim()).toBe('401');
  });

  it('loses what it keeps with the namespaces and owners of it', async () => {
    await kubectl.words('create namespace doomed');
    await kubectl.words('create --validate=false -f -', '{"apiVersion":"wardle.example.com/v1","kind":"Flunder","metadata":{"name":"two","namespace":"wardle"}}');
    const uid = await kubectl.words('get flunder two -o jsonpath={.metadata.uid}');
    await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned', namespace: 'wardle', ownerReferences: [{ apiVersion: 'wardle.example.com/v1', kind: 'Flunder', name: 'two', uid }] } });
    await cluster.kubectl(['create', '--validate=false', '-n', 'doomed', '-f', '-'], { input: '{"apiVersion":"wardle.example.com/v1","kind":"Flunder","metadata":{"name":"there","namespace":"doomed"}}' });
    await kubectl.words('delete flunder two --wait=false');
    await kubectl.until('get configmap owned --ignore-not-found -o name', '', 60_000);
    await kubectl.words('delete namespace doomed --timeout=60s');
    expect(await kubectl.words('get flunders -A -o name')).toBe('flunder.wardle.example.com/one\n');
  }, 120_000);

  it('may be asked by admission, through its Service', async () => {
    await cluster.apply({
      apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration', metadata: { name: 'wardle' },
      webhooks: [{ name: 'admit.wardle.example.com', admissionReviewVersions: ['v1'], sideEffects: 'None', clientConfig: { service: { namespace: 'wardle', name: 'api', path: '/admit' }, caBundle: base64(tls.ca) },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }], namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'wardle' } } }],
    });
    expect(await kubectl.fails('create configmap bad --from-literal=deny=yes')).toContain('admission webhook "admit.wardle.example.com" denied the request: not in this house');
    expect(await kubectl.words('create configmap good --from-literal=a=b')).toBe('configmap/good created\n');
    await kubectl.words('delete validatingwebhookconfiguration wardle');
  });

  it('is missed when it goes, without harm to the rest, and found again when it comes back', async () => {
    await kubectl.words('scale deployment/api --replicas=0');
    await available(/^False:MissingEndpoints$/);
    expect(await kubectl.fails('get --raw /apis/wardle.example.com/v1/flunders')).toContain('the server is currently unable to handle the request');
    expect(await kubectl.words('get configmaps -o name')).toContain('configmap/kube-root-ca.crt');
    await kubectl.words('scale deployment/api --replicas=1');
    await available(/^True:Passed$/);
    expect(await kubectl.words('get flunders -A -o name')).toBe('');
  }, 180_000);
});
