import { describe, expect, it } from 'vitest';
import type { ConfigMap, Deployment, Event, Namespace, Node, Secret, Service } from '../gen/types.ts';
import { copyJson } from '../meta/json.ts';
import type { KubeObject } from '../meta/object.ts';
import { renderTable } from '../meta/table.ts';
import { configMap } from './config-map/kind.ts';
import { deployment } from './deployment/kind.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, strictError, validate } from './engine.ts';
import { event } from './event/kind.ts';
import { namespace } from './namespace/kind.ts';
import { node } from './node/kind.ts';
import { secret } from './secret/kind.ts';
import { service } from './service/kind.ts';
import type { KindDefinition } from './types.ts';

const metadata = { name: 'web', namespace: 'default' };
function make<T extends KubeObject>(kind: KindDefinition<T>, value: object): T {
  return applyDefaults(kind, prepareCreate(kind, decode(kind, { metadata, ...value }).object));
}
function problems<T extends KubeObject>(kind: KindDefinition<T>, value: object, old?: T): string[] {
  const object = old === undefined ? make(kind, value) : prepareUpdate(kind, applyDefaults(kind, decode(kind, { metadata, ...value }).object), old);
  return validate(kind, object, old).map(({ field, message }) => `${field}: ${message}`);
}
const cells = <T extends KubeObject>(kind: KindDefinition<T>, object: object): unknown[] => renderTable(kind, [object as T], Date.parse('2026-01-01T00:01:00Z')).rows[0]?.cells ?? [];

describe('Deployment', () => {
  const spec = { selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'a' }] } } };

  it('has Kubernetes\' defaults', () => {
    const { template, ...rest } = make(deployment, { spec }).spec as NonNullable<Deployment['spec']>;
    expect(rest).toEqual({ selector: spec.selector, replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } } });
    expect(template.spec?.enableServiceLinks).toBeUndefined();
    expect(template.spec?.restartPolicy).toBe('Always');
  });

  it('checks selector, template and strategy', () => {
    expect(problems(deployment, { spec: { template: spec.template } })).toEqual(['spec.selector: Required value']);
    expect(problems(deployment, { spec: { ...spec, selector: { matchLabels: { app: 'other' } } } })).toEqual(['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`']);
    expect(problems(deployment, { spec: { ...spec, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } } })).toEqual(['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0']);
    expect(problems(deployment, { spec: { ...spec, strategy: { type: 'Recreate', rollingUpdate: {} } } })).toEqual(["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]);
    expect(problems(deployment, { spec: { ...spec, replicas: -1, progressDeadlineSeconds: 5, minReadySeconds: 5 } })).toEqual(['spec.replicas: Invalid value: -1: must be greater than or equal to 0', 'spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds']);
    expect(problems(deployment, { spec: { ...spec, template: { ...spec.template, spec: { ...spec.template.spec, restartPolicy: 'Never' } } } })).toEqual(['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"']);
    expect(problems(deployment, {})).toEqual(['spec.selector: Required value', 'spec.template: Required value']);
  });

  it('keeps its selector', () => {
    const labels = { app: 'web', more: 'x' };
    const next = { spec: { selector: { matchLabels: labels }, template: { ...spec.template, metadata: { labels } } } };
    expect(problems(deployment, next, make(deployment, { spec }))).toEqual(['spec.selector: Invalid value: {"matchLabels":{"app":"web","more":"x"}}: field is immutable']);
  });

  it('prints', () => {
    expect(cells(deployment, { metadata, spec: { ...spec, replicas: 3 }, status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 } })).toEqual(['web', '2/3', 3, 1, '<unknown>', 'a', 'a', 'app=web']);
  });
});

describe('Service', () => {
  const made = (spec: object): Service => make(service, { spec });

  it('has Kubernetes\' defaults', () => {
    expect(made({ ports: [{ port: 80 }] }).spec).toEqual({ ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }], sessionAffinity: 'None', type: 'ClusterIP', internalTrafficPolicy: 'Cluster' });
    expect(made({ type: 'LoadBalancer', sessionAffinity: 'ClientIP', ports: [{ port: 80, targetPort: 'http' }] }).spec).toMatchObject({
      allocateLoadBalancerNodePorts: true, externalTrafficPolicy: 'Cluster', sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } }, ports: [{ targetPort: 'http' }],
    });
  });

  it('checks what only load balancers have', () => {
    const spec = { ports: [{ port: 80 }], loadBalancerSourceRanges: ['10.0.0.0/8'], healthCheckNodePort: 30_001, trafficDistribution: 'Nowhere' };
    expect(problems(service, { spec })).toEqual([
      "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
      "spec.healthCheckNodePort: Invalid value: 30001: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      'spec.trafficDistribution: Unsupported value: "Nowhere": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"',
    ]);
    expect(problems(service, { spec: { ports: [{ port: 80 }], sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 90_000 } } } })).toEqual(['spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400']);
    const balanced = made({ type: 'LoadBalancer', ports: [{ port: 80 }] });
    const status = (ingress: object[], object = balanced): string[] => validate(service, { ...object, status: { loadBalancer: { ingress } } } as Service, object, 'status').map(({ field, message }) => `${field}: ${message}`);
    expect(status([{ ip: '192.0.2.1' }, { hostname: 'lb.example.com' }])).toEqual([]);
    expect(status([{ hostname: '192.0.2.1' }])).toEqual(['status.loadBalancer.ingress[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address']);
    expect(status([{ ip: '192.0.2.1' }], made({ ports: [{ port: 80 }] }))).toEqual(["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]);
  });

  it('checks ports, names and types', () => {
    expect(problems(service, { spec: {} })).toEqual(['spec.ports: Required value']);
    expect(problems(service, { spec: { clusterIP: 'None' } })).toEqual([]);
    expect(problems(service, { spec: { ports: [{ port: 80 }, { port: 80, name: 'b' }] } })).toEqual(['spec.ports[0].name: Required value', 'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}']);
    expect(problems(service, { spec: { ports: [{ port: 80, nodePort: 30_000 }] } })).toEqual(["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]);
    expect(problems(service, { spec: { type: 'ExternalName' } })).toEqual(['spec.externalName: Required value']);
    expect(problems(service, { metadata: { name: '1web', namespace: 'default' }, spec: { ports: [{ port: 80 }] } })[0]).toContain('metadata.name: Invalid value: "1web": a DNS-1035 label must consist');
    expect(problems(service, { spec: { type: 'Cluster', ports: [{ port: 80 }] } })).toEqual(['spec.type: Unsupported value: "Cluster": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"']);
  });

  const old = made({ type: 'NodePort', clusterIP: '10.43.0.5', ports: [{ port: 80, nodePort: 30_080 }] });
  const update = (spec: object): Service => prepareUpdate(service, applyDefaults(service, decode(service, { metadata, spec }).object), old);

  it('keeps what the server gave out', () => {
    expect(update({ type: 'NodePort', ports: [{ port: 80 }, { name: 'x', port: 81 }] }).spec).toMatchObject({ clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5'], ports: [{ nodePort: 30_080 }, { port: 81 }] });
  });

  it('drops what another type has no use for', () => {
    const next = update({ type: 'ClusterIP', clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5'], externalTrafficPolicy: 'Cluster', ports: [{ port: 80, nodePort: 30_080 }] });
    expect(validate(service, next, old)).toEqual([]);
    expect(next.spec?.ports?.[0]?.nodePort).toBeUndefined();
    expect(update({ type: 'ExternalName', externalName: 'example.com', clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5'] }).spec).toEqual({ type: 'ExternalName', externalName: 'example.com', sessionAffinity: 'None' });
    const dual = made({ type: 'ClusterIP', clusterIP: '10.43.0.5', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports: [{ port: 80 }] });
    const cleared = { type: 'ExternalName', externalName: 'example.com', clusterIP: '', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports: [{ port: 80 }] };
    expect(validate(service, prepareUpdate(service, applyDefaults(service, decode(service, { metadata, spec: cleared }).object), dual), dual)).toEqual([]);
  });

  it('keeps its address', () => {
    const next = update({ type: 'NodePort', clusterIP: '10.43.0.6', ports: [{ port: 80 }] });
    expect(validate(service, next, old).map(({ field, message }) => `${field}: ${message}`)).toEqual(['spec.clusterIPs[0]: Invalid value: "10.43.0.6": may not change once set']);
  });

  it('prints', () => {
    expect(cells(service, { ...old, metadata })).toEqual(['web', 'NodePort', '10.43.0.5', '<none>', '80:30080/TCP', '<unknown>', '<none>']);
    expect(cells(service, { metadata, spec: { type: 'LoadBalancer' }, status: { loadBalancer: {} } })[3]).toBe('<pending>');
  });
});

describe('Secret and ConfigMap', () => {
  it('turn stringData into data', () => {
    expect(make(secret, { data: { a: 'AAE=' }, stringData: { a: 'x', b: 'ü' } })).toMatchObject({ type: 'Opaque', data: { a: 'eA==', b: 'w7w=' } });
    expect(make(secret, { stringData: { a: 'x' } }).stringData).toBeUndefined();
  });

  it('check keys, sizes and what a type promises', () => {
    expect(problems(secret, { type: 'kubernetes.io/tls', data: { 'tls.crt': 'AAE=' } })).toEqual(['data[tls.key]: Required value']);
    expect(problems(secret, { stringData: { big: 'x'.repeat(1024 * 1024 + 1) } })).toEqual(['data: Too long: may not be more than 1048576 bytes']);
    expect(problems(configMap, { data: { 'a b': '', both: '' }, binaryData: { both: '' } })).toHaveLength(2);
    expect(() => decode(secret, { data: { a: 'not base64' } })).toThrow('Secret in version "v1" cannot be handled as a Secret: data.a: Invalid value: "not base64": must be base64');
  });

  it('stay as they are once immutable', () => {
    const old = make<ConfigMap>(configMap, { immutable: true, data: { a: '1' } });
    expect(problems(configMap, { data: { a: '2' } }, old)).toEqual(['immutable: Forbidden: field is immutable when `immutable` is set', 'data: Forbidden: field is immutable when `immutable` is set']);
    expect(problems<Secret>(secret, { type: 'other' }, make(secret, {}))).toEqual(['type: Invalid value: "other": field is immutable']);
  });
});

describe('Namespace and Node', () => {
  it('a namespace carries its name as a label and gives up its finalizer only when finalized', () => {
    const made = make<Namespace>(namespace, { metadata: { name: 'team' } });
    expect(made).toMatchObject({ metadata: { labels: { 'kubernetes.io/metadata.name': 'team' } }, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
    const next = { ...copyJson(made), spec: {} };
    expect(prepareUpdate(namespace, copyJson(next), made).spec).toEqual({ finalizers: ['kubernetes'] });
    expect(prepareUpdate(namespace, copyJson(next), made, 'finalize').spec).toEqual({});
  });

  it('a node keeps its addresses for pods', () => {
    const old = make<Node>(node, { metadata: { name: 'a' }, spec: { podCIDR: '10.42.0.0/24' } });
    expect(old.spec?.podCIDRs).toEqual(['10.42.0.0/24']);
    expect(problems(node, { metadata: { name: 'a' }, spec: { podCIDR: '10.42.1.0/24' } }, old)).toEqual(['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid']);
  });

  it('a node prints', () => {
    const labels = { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/control-plane': '' };
    expect(cells(node, { metadata: { name: 'a', labels }, spec: { unschedulable: true }, status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }).slice(0, 3)).toEqual(['a', 'NotReady,SchedulingDisabled', 'control-plane,worker']);
    expect(cells(node, { metadata: { name: 'a' } }).slice(0, 3)).toEqual(['a', 'Unknown', '<none>']);
  });
});

it('an Event prints when it was seen', () => {
  const seen: Partial<Event> = { metadata: { name: 'e' }, involvedObject: { kind: 'Pod', name: 'web' }, type: 'Warning', reason: 'BackOff', message: ' again\n', count: 4, firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:50Z', source: { component: 'agent', host: 'h' } };
  expect(cells(event, seen)).toEqual(['10s', 'Warning', 'BackOff', 'pod/web', '', 'agent, h', 'again', '60s', 4, 'e']);
});

it('unknown fields are refused in the words that kubectl knows', () => {
  expect(strictError(deployment, ['unknown field "spec.foo"', 'unknown field "bar"']).message).toBe('Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.foo", unknown field "bar"');
});
