import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { copyJson, type JsonRecord } from '../meta/json.ts';
import { mergePatch } from '../meta/patch.ts';
import { renderTable } from '../meta/table.ts';
import type { KubeObject } from '../meta/object.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, validate } from './engine.ts';
import { kinds } from './registry.ts';

/** A kind's sample with a change, and what is then wrong with it in Kubernetes' words. */
type Case = readonly [change: JsonRecord, ...problems: (string | RegExp)[]];

function of(name: string): { kind: NonNullable<(typeof kinds)[string]>; sample: JsonRecord } {
  const kind = kinds[name];
  if (!kind) throw new Error(`${name} is not registered`);
  const folder = kind.resource.kind.replaceAll(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '-').toLowerCase();
  return { kind, sample: JSON.parse(readFileSync(new URL(`${folder}/sample.json`, import.meta.url), 'utf8')) as JsonRecord };
}

function make(name: string, change: JsonRecord = {}): KubeObject {
  const { kind, sample } = of(name);
  return applyDefaults(kind, prepareCreate(kind, decode(kind, mergePatch(sample, change)).object));
}

function problems(name: string, change: JsonRecord, update: boolean): string[] {
  const { kind, sample } = of(name);
  const old = make(name);
  const object = update ? prepareUpdate(kind, applyDefaults(kind, decode(kind, mergePatch(sample, change)).object), old) : make(name, change);
  return validate(kind, object, update ? old : undefined).map(({ field, message }) => `${field}: ${message}`);
}

function check(name: string, cases: readonly Case[], update = false): void {
  for (const [change, ...expected] of cases) {
    const found = problems(name, change, update);
    expect(found, JSON.stringify(change)).toEqual(expected.map((text) => (typeof text === 'string' ? text : expect.stringMatching(text) as string)));
  }
}

const cells = (name: string, change: JsonRecord = {}, status?: JsonRecord): unknown[] =>
  renderTable(of(name).kind, [{ ...make(name, change), ...(status && { status }) } as KubeObject], 0).rows[0]?.cells.slice(0, -1) ?? [];
const path = (value: JsonRecord): JsonRecord => ({ spec: { rules: [{ http: { paths: [{ pathType: 'Prefix', path: '/', backend: { service: { name: 'a', port: { number: 80 } } }, ...value }] } }] } });

describe('networking', () => {
  it('checks Ingresses', () => {
    check('ingresses.networking.k8s.io', [
      [{ spec: { rules: null } }, 'spec: Invalid value: []: either `defaultBackend` or `rules` must be specified'],
      [{ spec: { rules: [{ host: '10.0.0.1' }] } }, 'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
      [{ spec: { rules: [{ host: '*.example.com' }] } }],
      [{ spec: { rules: [{ host: 'a.*.com' }] } }, /^spec\.rules\[0\]\.host: Invalid value: "a\.\*\.com": a wildcard DNS-1123 subdomain must start with/],
      [path({ pathType: null }), 'spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified'],
      [path({ pathType: 'Odd' }), 'spec.rules[0].http.paths[0].pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix"'],
      [path({ path: '/a//b' }), 'spec.rules[0].http.paths[0].path: Invalid value: "/a//b": must not contain \'//\''],
      [path({ path: 'a' }), 'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path'],
      [path({ backend: {} }), 'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required'],
      [path({ backend: { service: { name: 'a', port: {} } } }), 'spec.rules[0].http.paths[0].backend: Required value: port name or number is required'],
      [{ metadata: { annotations: { 'kubernetes.io/ingress.class': 'x' } } }, 'annotations.kubernetes.io/ingress.class: Invalid value: "x": can not be set when the class field is also set'],
    ]);
    const many = { spec: { rules: ['a', 'b', 'c', 'd'].map((host) => ({ host: `${host}.example.com` })) } };
    expect(cells('ingresses.networking.k8s.io', many, { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'lb.example.com' }] } })).toEqual(['web', 'edge', 'a.example.com,b.example.com,c.example.com + 1 more...', '192.0.2.1,lb.example.com', '80, 443']);
  });

  it('checks IngressClasses, policies, addresses and ranges', () => {
    check('ingressclasses.networking.k8s.io', [
      [{ spec: { controller: 'edge' } }, 'spec.controller: Invalid value: "edge": must be a domain-prefixed path (such as "acme.io/foo")'],
      [{ spec: { parameters: { namespace: 'x' } } }, "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    ]);
    check('ingressclasses.networking.k8s.io', [[{ spec: { controller: 'example.com/other' } }, 'spec.controller: Invalid value: "example.com/other": field is immutable']], true);
    const policy = (rule: JsonRecord): JsonRecord => ({ spec: { ingress: [rule] } });
    check('networkpolicies.networking.k8s.io', [
      [policy({ from: [{}] }), 'spec.ingress[0].from[0]: Required value: must specify a peer'],
      [policy({ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }), 'spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer'],
      [policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }), 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'],
      [policy({ from: [{ ipBlock: { cidr: '2001:db8::/32', except: ['2001:db8:1::/48'] } }] })],
      [policy({ ports: [{ port: 'web', endPort: 90 }] }), 'spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric'],
      [policy({ ports: [{ protocol: 'ICMP' }] }), 'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"'],
    ]);
    expect(make('networkpolicies.networking.k8s.io', { spec: { policyTypes: null, egress: null } })).toMatchObject({ spec: { policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP' }, { protocol: 'UDP' }] }] } });
    expect(cells('networkpolicies.networking.k8s.io')).toEqual(['db', 'app=db']);
    check('ipaddresses.networking.k8s.io', [[{ metadata: { name: 'web' } }, /^metadata\.name: Invalid value: "web": must be a valid IP address/], [{ spec: { parentRef: null } }, 'spec.parentRef: Required value']]);
    expect(cells('ipaddresses.networking.k8s.io')).toEqual(['10.43.0.20', 'services/default/web']);
    check('servicecidrs.networking.k8s.io', [[{ spec: { cidrs: [] } }, 'spec.cidrs: Required value: at least one CIDR required'], [{ spec: { cidrs: ['10.0.0.0/8', '11.0.0.0/8'] } }, /^spec\.cidrs: Invalid value: .*may specify no more than one IP for each IP family/]]);
    check('servicecidrs.networking.k8s.io', [[{ spec: { cidrs: ['10.45.0.0/16'] } }, 'spec.cidrs: Invalid value: ["10.45.0.0/16"]: field is immutable']], true);
  });
});

describe('discovery and coordination', () => {
  it('checks hints and topology of endpoints', () => {
    const endpoint = (change: JsonRecord): JsonRecord => ({ endpoints: [{ addresses: ['10.0.0.1'], ...change }] });
    check('endpointslices.discovery.k8s.io', [
      [endpoint({ hints: { forZones: [{ name: 'a' }, { name: 'a' }] } }), 'endpoints[0].hints.forZones[1].name: Duplicate value: "a"'],
      [endpoint({ hints: { forNodes: Array.from({ length: 9 }, (_, i) => ({ name: `n${i}` })) } }), /^endpoints\[0\]\.hints\.forNodes: Too many: 9: must have at most 8 items$/],
      [endpoint({ deprecatedTopology: { 'topology.kubernetes.io/zone': 'a' } }), 'endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]: Invalid value: "a": reserved key cannot be set in deprecatedTopology'],
    ]);
    check('leases.coordination.k8s.io', [[{ spec: { leaseDurationSeconds: 0, leaseTransitions: -1 } }, 'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0', 'spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0']]);
  });
});

describe('classes', () => {
  it('checks PriorityClasses and RuntimeClasses', () => {
    check('priorityclasses.scheduling.k8s.io', [
      [{ value: 1_000_000_001 }, 'value: Forbidden: maximum allowed value of a user defined priority is 1000000000'],
      [{ metadata: { name: 'system-x' } }, "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"],
      [{ metadata: { name: 'system-node-critical' }, value: 2_000_001_000 }],
      [{ preemptionPolicy: 'Maybe' }, 'preemptionPolicy: Unsupported value: "Maybe": supported values: "Never", "PreemptLowerPriority"'],
    ]);
    check('priorityclasses.scheduling.k8s.io', [[{ value: 5, preemptionPolicy: 'Never' }, 'value: Forbidden: may not be changed in an update.', 'preemptionPolicy: Invalid value: "Never": field is immutable']], true);
    check('runtimeclasses.node.k8s.io', [
      [{ handler: 'Run.c' }, /^handler: Invalid value: "Run\.c": a lowercase RFC 1123 label/],
      [{ overhead: { podFixed: { cpu: '-1' } } }, 'overhead.podFixed.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ]);
    check('runtimeclasses.node.k8s.io', [[{ handler: 'kata' }, 'handler: Invalid value: "kata": field is immutable']], true);
  });

  it('checks what storage has', () => {
    check('storageclasses.storage.k8s.io', [
      [{ provisioner: '' }, 'provisioner: Required value'],
      [{ reclaimPolicy: 'Recycle' }, 'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
    ]);
    check('storageclasses.storage.k8s.io', [[{ parameters: { kind: 'hdd' }, volumeBindingMode: 'WaitForFirstConsumer' }, 'parameters: Forbidden: updates to parameters are forbidden.', 'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable']], true);
    expect(cells('storageclasses.storage.k8s.io', { metadata: { annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } } })).toEqual(['fast (default)', 'example.com/disk', 'Delete', 'Immediate', true]);
    check('csidrivers.storage.k8s.io', [[{ spec: { tokenRequests: [{ audience: 'a', expirationSeconds: 1 }, { audience: 'a' }] } }, 'spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes', 'spec.tokenRequests[1].audience: Duplicate value: "a"']]);
    check('csidrivers.storage.k8s.io', [[{ spec: { attachRequired: true } }, 'spec.attachRequired: Invalid value: true: field is immutable']], true);
    expect(cells('csidrivers.storage.k8s.io')).toEqual(['disk.example.com', false, false, false, 'vault', false, 'Persistent']);
    check('csinodes.storage.k8s.io', [[{ spec: { drivers: [{ name: 'a' }] } }, 'spec.drivers[0].nodeID: Required value']]);
    check('volumeattachments.storage.k8s.io', [[{ spec: { source: { persistentVolumeName: null } } }, 'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName']]);
    check('volumeattachments.storage.k8s.io', [[{ spec: { nodeName: 'host-2' } }, /^spec: Invalid value: .*: field is immutable$/]], true);
    check('csistoragecapacities.storage.k8s.io', [[{ capacity: '-1' }, 'capacity: Invalid value: "-1": must be greater than or equal to 0']]);
    check('volumeattributesclasses.storage.k8s.io', [[{ parameters: null }, 'parameters: Required value: must contain at least one key/value pair']]);
    check('volumeattributesclasses.storage.k8s.io', [[{ driverName: 'x.example.com' }, 'driverName: Forbidden: updates to driverName are forbidden.']], true);
  });
});

describe('admission and flow control', () => {
  const hook = (change: JsonRecord): JsonRecord => ({ webhooks: [mergePatch((of('mutatingwebhookconfigurations.admissionregistration.k8s.io').sample['webhooks'] as unknown[])[0], change)] });

  it('defaults and checks webhooks', () => {
    expect(make('mutatingwebhookconfigurations.admissionregistration.k8s.io')).toMatchObject({ metadata: { generation: 1 }, webhooks: [{
      failurePolicy: 'Fail', matchPolicy: 'Equivalent', timeoutSeconds: 10, reinvocationPolicy: 'Never', namespaceSelector: {}, objectSelector: {}, rules: [{ scope: '*' }], clientConfig: { service: { port: 443 } },
    }] });
    check('mutatingwebhookconfigurations.admissionregistration.k8s.io', [
      [hook({ name: 'a.b' }), 'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots'],
      [hook({ sideEffects: 'Some' }), 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
      [hook({ timeoutSeconds: 31 }), 'webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds'],
      [hook({ admissionReviewVersions: ['v0'] }), 'webhooks[0].admissionReviewVersions: Invalid value: ["v0"]: must include at least one of v1, v1beta1'],
      [hook({ clientConfig: { url: 'https://x' } }), 'webhooks[0].clientConfig: Required value: exactly one of url or service is required'],
      [hook({ clientConfig: { service: null, url: 'http://x/?a=b' } }), /'https' is the only allowed URL scheme/, /query parameters are not permitted/],
      [hook({ rules: [{ operations: ['*', 'CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['*/*', 'pods'] }] }), /if '\*' is present, must not specify other operations$/, /if '\*\/\*' is present, must not specify other resources$/],
    ]);
  });

  it('checks policies and their bindings', () => {
    check('validatingadmissionpolicies.admissionregistration.k8s.io', [
      [{ spec: { matchConstraints: null } }, 'spec.matchConstraints: Required value'],
      [{ spec: { validations: [{ expression: ' ', reason: 'Odd' }] } }, 'spec.validations[0].expression: Required value: expression is not specified', 'spec.validations[0].reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"'],
      [{ spec: { variables: [{ name: '1a', expression: 'true' }] } }, 'spec.variables[0].name: Invalid value: "1a": name is not a valid CEL identifier'],
    ]);
    check('validatingadmissionpolicybindings.admissionregistration.k8s.io', [
      [{ spec: { validationActions: ['Deny', 'Warn'] } }, /must not contain both Deny and Warn/],
      [{ spec: { paramRef: { name: null } } }, 'spec.paramRef: Required value: one of name or selector must be specified'],
    ]);
    expect(cells('validatingadmissionpolicies.admissionregistration.k8s.io')).toEqual(['few-replicas', 1, 'v1/ConfigMap']);
    expect(cells('validatingadmissionpolicybindings.admissionregistration.k8s.io')).toEqual(['few-replicas', 'few-replicas', 'default/limits']);
  });

  it('checks APIServices, flow schemas and priority levels', () => {
    check('apiservices.apiregistration.k8s.io', [
      [{ metadata: { name: 'x' } }, 'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.wardle.example.com"'],
      [{ spec: { versionPriority: 0 } }, 'spec.versionPriority: Invalid value: 0: must be positive and less than 1000'],
    ]);
    expect(cells('apiservices.apiregistration.k8s.io', {}, { conditions: [{ type: 'Available', status: 'False', reason: 'MissingEndpoints' }] })).toEqual(['v1.wardle.example.com', 'default/wardle', 'False (MissingEndpoints)']);
    check('flowschemas.flowcontrol.apiserver.k8s.io', [
      [{ spec: { rules: [{ subjects: [{ kind: 'User' }] }] } }, "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'", 'spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty'],
      [{ spec: { matchingPrecedence: 0 } }, 'spec.matchingPrecedence: Invalid value: 0: must be a value between 1 and 10000, inclusive'],
    ]);
    check('prioritylevelconfigurations.flowcontrol.apiserver.k8s.io', [[{ spec: { limited: null } }, 'spec.limited: Required value: must not be empty when type is Limited'], [{ metadata: { name: 'exempt' } }, /if and only if name is 'exempt'/]]);
    expect(copyJson(make('prioritylevelconfigurations.flowcontrol.apiserver.k8s.io'))).toMatchObject({ spec: { limited: { lendablePercent: 0, limitResponse: { queuing: { queueLengthLimit: 50 } } } } });
  });
});
