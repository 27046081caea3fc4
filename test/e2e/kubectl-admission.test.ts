import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';
import { eventually } from '../support/lab/eventually.ts';

/** What admission does to people, by stock kubectl, the oldest and the newest on this machine, against a control plane alone. */
const versions = await kubectlVersions();
const chosen = [...new Set([versions[0], versions.at(-1)])].flatMap((version) => version ?? []);

let cluster: Cluster;
let caBundle: string;
const dayMs = 86_400_000;
/** Refuses ConfigMaps that say `deny`, and labels the others. */
const webhook = `
import { createServer } from 'node:https';
const [key, cert] = process.argv.slice(1);
createServer({ key, cert }, async (incoming, response) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const { request: { uid, object } } = JSON.parse(Buffer.concat(chunks));
  const patch = Buffer.from(JSON.stringify([{ op: 'add', path: '/metadata/labels', value: { seen: 'yes' } }])).toString('base64');
  const answer = incoming.url.startsWith('/label') ? { allowed: true, patchType: 'JSONPatch', patch } : { allowed: object.data?.deny === undefined, status: { message: 'no thank you', code: 403 }, warnings: ['you are watched'] };
  response.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: { uid, ...answer } }));
}).listen(9443, '127.0.0.1', () => console.log('listening'));
`;

beforeAll(async () => {
  cluster = await Cluster.create({ agents: 0 });
  const [caKey, key] = [makeKey(), makeKey()];
  const certPem = makeCaCertificate(caKey, 'webhook-ca', Date.now(), dayMs);
  const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) };
  caBundle = Buffer.from(certPem).toString('base64');
  const cert = issueCertificate(ca, { subject: { commonName: 'webhook' }, usage: 'server', publicKey: createPublicKey(key), nowMs: Date.now(), lifetimeMs: dayMs, names: ['127.0.0.1'] });
  const process_ = cluster.controlPlaneHost.spawn('webhook', process.execPath, ['--input-type=module', '-e', webhook, '--', key, cert]);
  await eventually(() => process_.output().includes('listening'), { what: 'the webhook to listen', timeoutMs: 20_000, intervalMs: 50, explain: () => process_.output() });
});
afterAll(async () => { await cluster?.destroy(); });

// Older ones take what begins with a brace for JSON.
const pod = (name: string, resources = '{}'): string => `---\n{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {containers: [{name: a, image: i, resources: ${resources}}]}}`;

describe.each(chosen.map((version) => ({ version })))('kubectl 1.$version.minor', ({ version }) => {
  const namespace = `admission-${String(version.minor)}`;
  let kubectl: Kubectl;
  beforeAll(async () => {
    kubectl = new Kubectl(cluster, version, namespace);
    await kubectl.words(`create namespace ${namespace}`);
    await kubectl.until('get serviceaccount default -o name', /default/);
  });

  it('sees limits and quotas', async () => {
    await kubectl.words('apply -f -', '---\n{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, default: {cpu: 200m}, max: {cpu: "1"}}]}}');
    await kubectl.words('create quota q --hard=pods=2,requests.cpu=1');
    await kubectl.words('apply -f -', pod('one'));
    expect(await kubectl.words('get pod one -o jsonpath={.spec.containers[0].resources.limits.cpu}')).toBe('200m');
    expect(await kubectl.fails('apply -f -', pod('large', '{limits: {cpu: 2}}'))).toContain('pods "large" is forbidden: maximum cpu usage per Container is 1, but limit is 2');
    expect(await kubectl.fails('apply -f -', pod('much', '{limits: {cpu: 1}}'))).toContain('pods "much" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=200m, limited: requests.cpu=1');
    await kubectl.until('describe quota q', /pods\s+1\s+2\nrequests\.cpu\s+200m\s+1/);
    expect(await kubectl.words('get quota')).toMatch(/pods: 1\/2, requests\.cpu: 200m\/1/);
    await kubectl.words('delete quota/q limits/l');
  });

  it('sees levels of security', async () => {
    await kubectl.words(`label namespace ${namespace} pod-security.kubernetes.io/warn=restricted`);
    const warned = await kubectl.result(['run', 'warned', '--image=i']);
    expect([warned.exitCode, warned.stderr]).toEqual([0, expect.stringContaining('Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "warned" must set securityContext.allowPrivilegeEscalation=false)') as string]);
    const stricter = await kubectl.result(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted', 'pod-security.kubernetes.io/warn-']);
    expect(stricter.stderr).toContain(`Warning: existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "restricted:latest"`);
    expect(await kubectl.fails('run refused --image=i')).toContain('Error from server (Forbidden): pods "refused" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false');
    await kubectl.words(`label namespace ${namespace} pod-security.kubernetes.io/enforce-`);
  });

  it('hears of webhooks and policies', async () => {
    const hook = (path: string): object => ({
      name: `${path}.example.com`, admissionReviewVersions: ['v1'], sideEffects: 'None', clientConfig: { url: `https://127.0.0.1:9443/${path}`, caBundle }, namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }], matchConditions: [{ name: 'named', expression: "object.metadata.name.startsWith('watched')" }],
    });
    const registration = (kind: string, path: string): string => JSON.stringify({ apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name: `${path}-${namespace}` }, webhooks: [hook(`${path}.guard`)] });
    await kubectl.words('apply -f -', registration('MutatingWebhookConfiguration', 'label'));
    await kubectl.words('apply -f -', registration('ValidatingWebhookConfiguration', 'check'));
    const made = await kubectl.result(['create', 'configmap', 'watched']);
    expect(made.stderr).toContain('Warning: you are watched');
    expect(await kubectl.words('get configmap watched -o jsonpath={.metadata.labels}')).toBe('{"seen":"yes"}');
    for (const dryRun of ['none', 'server']) expect(await kubectl.fails(`create configmap watched-${dryRun} --from-literal=deny=yes --dry-run=${dryRun}`)).toContain('admission webhook "check.guard.example.com" denied the request: no thank you');
    await kubectl.words('create configmap other --from-literal=deny=yes');
    await kubectl.words('apply -f -', `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few-${namespace}}
spec:
  matchConstraints: {resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}
  validations: [{expression: object.spec.replicas <= 2, messageExpression: "'at most 2, not ' + string(object.spec.replicas)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few-${namespace}}
spec: {policyName: few-${namespace}, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ${namespace}}}}}
`);
    expect(await kubectl.fails('create deployment web --image=i --replicas=3')).toContain(`ValidatingAdmissionPolicy 'few-${namespace}' with binding 'few-${namespace}' denied request: at most 2, not 3`);
    await kubectl.words('create deployment web --image=i --replicas=2');
  });
});

it('has an object for each address of a Service, and one for their range', async () => {
  const newest = chosen.at(-1);
  if (!newest) throw new Error('no kubectl');
  const kubectl = new Kubectl(cluster, newest, 'default');
  const address = await kubectl.words('get service kubernetes -o jsonpath={.spec.clusterIP}');
  await kubectl.until(`get ipaddress ${address}`, /services\/default\/kubernetes/);
  expect(await kubectl.words('get servicecidr')).toMatch(/^kubernetes\s+10\.43\.0\.0\/16/m);
  await kubectl.words('create service clusterip gone --tcp=80');
  const other = await kubectl.words('get service gone -o jsonpath={.spec.clusterIP}');
  await kubectl.until(`get ipaddress ${other}`, /services\/default\/gone/);
  await kubectl.words('delete service gone');
  await kubectl.until(`get ipaddress ${other} --ignore-not-found -o name`, '');
});

// The columns come from the server: one kubectl is enough.
describe('tables', () => {
  const newest = chosen.at(-1);

  it.each([
    ['ingress', 'NAME CLASS HOSTS ADDRESS PORTS AGE', 'web edge shop.example.com 80, 443'], ['ingress-class', 'NAME CONTROLLER PARAMETERS AGE', 'edge example.com/edge EdgeParameters.example.com/default'],
    ['network-policy', 'NAME POD-SELECTOR AGE', 'db app=db'], ['ip-address', 'NAME PARENTREF AGE', '10.43.0.20 services/default/web'], ['service-cidr', 'NAME CIDRS AGE', 'more 10.44.0.0/16'],
    ['priority-class', 'NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY', 'high 1000 false'], ['runtime-class', 'NAME HANDLER AGE', 'sandboxed runsc'],
    ['storage-class', 'NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE', 'fast example.com/disk Delete Immediate true'],
    ['csi-driver', 'NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE', 'disk.example.com false false false vault false Persistent'],
    ['csi-node', 'NAME DRIVERS AGE', 'host-1 1'], ['csi-storage-capacity', 'NAME STORAGECLASSNAME CAPACITY AGE', 'zone-a fast 100Gi'], ['volume-attachment', 'NAME ATTACHER PV NODE ATTACHED AGE', 'data-on-host-1 disk.example.com data host-1 false'],
    ['volume-attributes-class', 'NAME DRIVERNAME AGE', 'gold disk.example.com'], ['flow-schema', 'NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL', 'health exempt 1000 ByUser'],
    ['priority-level-configuration', 'NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE', 'batch Limited 5 16 4 50'],
  ])('prints %s', async (folder, header, row) => {
    if (!newest) throw new Error('no kubectl');
    const kubectl = new Kubectl(cluster, newest, 'default');
    const sample = JSON.parse(readFileSync(new URL(`../../api/kinds/${folder}/sample.json`, import.meta.url), 'utf8')) as { kind: string; metadata: { name: string; namespace?: string } };
    delete sample.metadata.namespace;
    await kubectl.words('apply -f -', JSON.stringify(sample));
    const [top = '', line = ''] = (await kubectl.words(`get ${sample.kind} ${sample.metadata.name}`)).split('\n');
    expect([top.trim().replaceAll(/\s+/g, ' '), line.trim().replaceAll(/\s+/g, ' ')]).toEqual([header, expect.stringContaining(row) as string]);
    await kubectl.words(`delete ${sample.kind} ${sample.metadata.name}`);
  });
});
