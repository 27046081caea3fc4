import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, PodStatus } from '../../gen/types.ts';
import { copyJson } from '../../meta/json.ts';
import { renderTable } from '../../meta/table.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, validate } from '../engine.ts';
import { pod } from './kind.ts';

const container = (more: Partial<Container> = {}): Container => ({ name: 'web', image: 'web:1', ...more });
function make(spec: Partial<PodSpec> = {}): Pod {
  const { object } = decode(pod, { metadata: { name: 'web', namespace: 'default' }, spec: { containers: [container()], ...spec } });
  return applyDefaults(pod, prepareCreate(pod, object));
}
const problems = (spec: Partial<PodSpec>): string[] => validate(pod, make(spec)).map(({ field, message }) => `${field}: ${message}`);

describe('defaults', () => {
  it('are those of Kubernetes', () => {
    expect(make({ containers: [container({ ports: [{ containerPort: 80 }], readinessProbe: { httpGet: { port: 80 } }, resources: { limits: { cpu: '1' } } })] })).toEqual({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'default', generation: 1 }, status: { phase: 'Pending', qosClass: 'Burstable' },
      spec: {
        containers: [{
          name: 'web', image: 'web:1', imagePullPolicy: 'IfNotPresent', terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File',
          ports: [{ containerPort: 80, protocol: 'TCP' }], resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
          readinessProbe: { httpGet: { path: '/', port: 80, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
        }],
        restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler', terminationGracePeriodSeconds: 30, securityContext: {}, enableServiceLinks: true,
      },
    });
  });

  it.each([
    ['web', 'Always'], ['web:latest', 'Always'], ['web:1', 'IfNotPresent'], ['host:5000/web', 'Always'], ['host:5000/web:1', 'IfNotPresent'], ['web@sha256:abc', 'IfNotPresent'], ['web:latest@sha256:abc', 'Always'],
  ])('pull %s: %s', (image, policy) => expect(make({ containers: [container({ image })] }).spec?.containers[0]?.imagePullPolicy).toBe(policy));

  it('are profiles of AppArmor that annotations name, as before v1.30', () => {
    const of = (annotation: string, appArmorProfile?: { type: string }) => {
      const { object } = decode(pod, { metadata: { name: 'web', annotations: { 'container.apparmor.security.beta.kubernetes.io/web': annotation } }, spec: { containers: [container({ securityContext: { runAsUser: 1, ...(appArmorProfile && { appArmorProfile }) } })] } });
      return prepareCreate(pod, object).spec?.containers[0]?.securityContext;
    };
    expect(of('localhost/mine')).toEqual({ runAsUser: 1, appArmorProfile: { type: 'Localhost', localhostProfile: 'mine' } });
    expect(of('runtime/default')?.appArmorProfile).toEqual({ type: 'RuntimeDefault' });
    expect(of('localhost/mine', { type: 'Unconfined' })?.appArmorProfile).toEqual({ type: 'Unconfined' });
    expect(of('else')?.appArmorProfile).toBeUndefined();
  });

  it('fill in volumes, references, host ports and the old name of the service account', () => {
    const { spec } = make({
      hostNetwork: true, serviceAccount: 'robot', volumes: [{ name: 'a' }, { name: 'b', hostPath: { path: '/b' } }, { name: 'c', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }],
      containers: [container({ ports: [{ containerPort: 80 }], env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }] })],
    });
    expect(spec?.volumes).toEqual([{ name: 'a', emptyDir: {} }, { name: 'b', hostPath: { path: '/b', type: '' } }, { name: 'c', projected: { defaultMode: 420, sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 3600 } }] } }]);
    expect(spec?.containers[0]?.ports?.[0]?.hostPort).toBe(80);
    expect(spec?.containers[0]?.env?.[0]?.valueFrom?.fieldRef?.apiVersion).toBe('v1');
    expect(spec?.serviceAccountName).toBe('robot');
  });
});

it('drop what Kubernetes has switched off', () => {
  const { spec } = make({
    volumes: [{ name: 'v', projected: { sources: [{ clusterTrustBundle: { path: 'p' } }] } }],
    containers: [container({ env: [{ name: 'x', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'p', key: 'k' } } }] })],
  });
  expect([spec?.volumes?.[0]?.projected?.sources, spec?.containers[0]?.env?.[0]?.valueFrom]).toEqual([[{}], {}]);
});

it('selectors say what the pod\'s own labels add to them', () => {
  const term = { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'web' } }, matchLabelKeys: ['rev', 'none'], mismatchLabelKeys: ['tenant'] };
  const spec = { containers: [container()], affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } }, topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {}, matchLabelKeys: ['rev'] }] };
  const made = prepareCreate(pod, decode(pod, { metadata: { name: 'web', labels: { rev: '1', tenant: 't' } }, spec }).object).spec;
  expect(made?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.[0]?.labelSelector?.matchExpressions).toEqual([{ key: 'rev', operator: 'In', values: ['1'] }, { key: 'tenant', operator: 'NotIn', values: ['t'] }]);
  expect(made?.topologySpreadConstraints?.[0]?.labelSelector).toEqual({ matchExpressions: [{ key: 'rev', operator: 'In', values: ['1'] }] });
});

it.each<[string, Partial<PodSpec>, string[]]>([
  ['no containers', { containers: [] }, ['spec.containers: Required value']],
  ['no image, bad name', { containers: [{ name: 'My' }] }, ["spec.containers[0].name: Invalid value: \"My\": a lowercase RFC 1123 label must consist", 'spec.containers[0].image: Required value']],
  ['names twice', { initContainers: [container()] }, ['spec.initContainers[0].name: Duplicate value: "web"']],
  ['mount of no volume', { containers: [container({ volumeMounts: [{ name: 'x', mountPath: '/x' }] })] }, ['spec.containers[0].volumeMounts[0].name: Not found: "x"']],
  ['same path twice', { volumes: [{ name: 'x' }], containers: [container({ volumeMounts: [{ name: 'x', mountPath: '/x' }, { name: 'x', mountPath: '/x', subPath: '../y' }] })] },
    ['spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique', "spec.containers[0].volumeMounts.subPath: Invalid value: \"../y\": must not contain '..'"]],
  ['two volume types', { volumes: [{ name: 'x', emptyDir: {}, hostPath: { path: '/x' } }] }, ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type']],
  ['volume without what it needs', { volumes: [{ name: 'x', secret: {} }, { name: 'y', configMap: { items: [{ key: 'k', path: '/abs' }] } }] },
    ['spec.volumes[0].secret.secretName: Required value', 'spec.volumes[1].configMap.name: Required value', 'spec.volumes[1].configMap.items[0].path: Invalid value: "/abs": must be a relative path']],
  ['env from two places and none', { containers: [container({ env: [{ name: 'A', valueFrom: {} }, { name: 'B', value: 'x', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }] })] },
    ['spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`', 'spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty']],
  ['unknown field reference', { containers: [container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.nope' } } }] })] },
    ['spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope']],
  ['requests above limits', { containers: [container({ resources: { limits: { memory: '64Mi' }, requests: { memory: '65Mi' } } })] },
    ['spec.containers[0].resources.requests: Invalid value: "65Mi": must be less than or equal to memory limit of 64Mi']],
  ['device not by the piece', { containers: [container({ resources: { limits: { 'nvidia.com/gpu': '500m' } } })] }, ['spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer', 'spec.containers[0].resources.requests[nvidia.com/gpu]']],
  ['probes', { containers: [container({ livenessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 0 }, successThreshold: 2 }, startupProbe: {} })] },
    ['spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type',
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1', 'spec.containers[0].startupProbe: Required value: must specify a handler type']],
  ['ports', { containers: [container({ ports: [{ containerPort: 70_000, name: 'x' }, { containerPort: 1, name: 'x', protocol: 'QUIC' }] })] },
    ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive', 'spec.containers[0].ports[1].name: Duplicate value: "x"', 'spec.containers[0].ports[1].protocol: Unsupported value: "QUIC": supported values: "SCTP", "TCP", "UDP"']],
  ['tolerations', { tolerations: [{ operator: 'Equal' }, { key: 'a', operator: 'Exists', tolerationSeconds: 1 }] },
    ['spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty', "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"]],
  ['affinity', { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } }, podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: '' }] } } },
    ['spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term', 'spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty', '[0].topologyKey: Invalid value: "": name part must be non-empty']],
  ['labels that no node can have', { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'In', values: ['b c'] }] }] } } } },
    ['nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "b c": a valid label must be an empty string']],
  ['policies', { restartPolicy: 'Sometimes', dnsPolicy: 'Mine', preemptionPolicy: 'Maybe' }, ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    'spec.dnsPolicy: Unsupported value: "Mine": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"', 'spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"']],
  ['restart rules', { containers: [container({ restartPolicyRules: [{ action: 'Stop' }] }), container({ name: 'b', restartPolicy: 'Sometimes', restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'On', values: [] } }] })] },
    ['spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used', 'spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart"', 'spec.containers[0].restartPolicyRules[0].exitCodes: Required value',
      'spec.containers[1].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"', 'spec.containers[1].restartPolicyRules[0].exitCodes.operator: Unsupported value: "On": supported values: "In", "NotIn"', 'spec.containers[1].restartPolicyRules[0].exitCodes.values: Required value']],
  ['gates', { schedulingGates: [{ name: 'a/b' }, { name: 'a/b' }], readinessGates: [{ conditionType: '' }] }, ['spec.readinessGates[0].conditionType: Invalid value: "": name part must be non-empty', 'spec.schedulingGates[1]: Duplicate value: "a/b"']],
  ['the host\'s namespaces without its users', { hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true }, ['spec.hostNetwork: Forbidden: when `hostUsers` is false', 'spec.HostPID: Forbidden: when `hostUsers` is false', 'spec.HostIPC: Forbidden: when `hostUsers` is false']],
  ['the host\'s disks without its users', { hostUsers: false, volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'd' } }], initContainers: [container({ name: 'i', volumeDevices: [{ name: 'd', devicePath: '/dev/d' }] })], containers: [container({}), container({ name: 'b', volumeDevices: [{ name: 'd', devicePath: '/dev/d' }] })] },
    ['spec.initContainers[0].volumeDevices: Forbidden: when `hostUsers` is false', 'spec.containers[1].volumeDevices: Forbidden: when `hostUsers` is false']],
  ['security contexts', { securityContext: { seccompProfile: { type: 'Localhost' }, sysctls: [{ name: 'Bad', value: '1' }], fsGroupChangePolicy: 'Never' }, containers: [container({ securityContext: { procMount: 'Unmasked', appArmorProfile: { type: 'RuntimeDefault', localhostProfile: 'x' } } })] },
    ['spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`', 'spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: "x": can only be set when AppArmor type is Localhost',
      'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"', 'spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost', 'spec.securityContext.sysctls[0].name: Invalid value: "Bad": must have at most 253 characters']],
  ['devices that are no claims', { volumes: [{ name: 'x' }], containers: [container({ volumeDevices: [{ name: 'x', devicePath: '/dev/x' }, { name: 'y', devicePath: '/dev/../y' }] })] },
    ['spec.containers[0].volumeDevices[0].name: Invalid value: "x": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode', 'spec.containers[0].volumeDevices[1].name: Not found: "y"', "spec.containers[0].volumeDevices[1].devicePath: Invalid value: \"/dev/../y\": can not contain backsteps ('..')"]],
  ['an ephemeral claim without a size', { volumes: [{ name: 'x', ephemeral: { volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'] } } } }] }, ['spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value']],
  ['divisors that fit nothing', { containers: [container({ env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '2' } } }] })] },
    ["spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"]],
  ['less for the pod than for its containers', { resources: { requests: { cpu: '1' }, limits: { cpu: '1' } }, containers: [container({ resources: { requests: { cpu: '800m' }, limits: { cpu: '2' } } }), container({ name: 'b', resources: { requests: { cpu: '300m' } } })] },
    ['spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1100m', 'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1']],
  ['what comes later', { nodeName: 'n', schedulingGates: [{ name: 'a' }], ephemeralContainers: [{ name: 'e', image: 'i' }] }, ['spec.ephemeralContainers: Forbidden: cannot be set on create', 'spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared']],
])('refuses %s', (_, spec, expected) => {
  const found = problems(spec);
  expect(found).toHaveLength(expected.length);
  for (const [index, text] of expected.entries()) expect(found[index]).toContain(text);
});

describe('updates', () => {
  const changed = (change: (spec: PodSpec) => void, old = make({ activeDeadlineSeconds: 10, tolerations: [{ key: 'a', operator: 'Exists' }] })): string[] => {
    const next = copyJson(old);
    change(next.spec as PodSpec);
    return validate(pod, prepareUpdate(pod, next, old), old).map(({ field, message }) => `${field}: ${message}`);
  };

  it('may change images, add tolerations and shorten the deadline', () => {
    expect(changed((spec) => {
      (spec.containers[0] as Container).image = 'web:2';
      spec.tolerations?.push({ key: 'b', operator: 'Exists' });
      spec.activeDeadlineSeconds = 5;
    })).toEqual([]);
  });

  it('may change nothing else', () => {
    expect(changed((spec) => { spec.nodeName = 'other'; })[0]).toContain('spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`');
    expect(changed((spec) => { spec.containers.push(container({ name: 'more', imagePullPolicy: 'Never', terminationMessagePolicy: 'File' })); })).toEqual(['spec.containers: Forbidden: pod updates may not add or remove containers']);
    expect(changed((spec) => { spec.tolerations = []; })[0]).toContain('existing toleration can not be modified');
    expect(changed((spec) => { spec.activeDeadlineSeconds = 11; })).toEqual(['spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value']);
  });

  it('may narrow where a gated pod goes, until its gates open', () => {
    const required = (values: string[]): PodSpec['affinity'] => ({ nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values }] }] } } });
    const gated = make({ schedulingGates: [{ name: 'a' }, { name: 'b' }], nodeSelector: { disk: 'ssd' } });
    expect(changed((spec) => { Object.assign(spec, { schedulingGates: [{ name: 'b' }], nodeSelector: { disk: 'ssd', zone: 'x' }, affinity: required(['x']) }); }, gated)).toEqual([]);
    expect(changed((spec) => { Object.assign(spec, { schedulingGates: [{ name: 'c' }], nodeSelector: {} }); }, gated)).toEqual([
      "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'", 'spec.nodeSelector: Forbidden: only additions to spec.nodeSelector are allowed (no mutations or deletions)',
    ]);
    expect(changed((spec) => { spec.affinity = required(['y']); }, make({ schedulingGates: [{ name: 'a' }], affinity: required(['x']) }))).toEqual([expect.stringContaining('nodeSelectorTerms[0]: Invalid value: ')]);
    expect(changed((spec) => { spec.nodeSelector = { disk: 'ssd' }; })[0]).toContain('spec: Forbidden');
  });

  it('keep status and spec apart, and count generations of the spec', () => {
    const old = { ...make(), status: { phase: 'Running' } };
    const next = copyJson(old);
    next.status = { phase: 'Failed' };
    (next.spec as PodSpec).containers = [container({ ...next.spec?.containers[0], image: 'web:2' })];
    expect(prepareUpdate(pod, copyJson(next), old)).toMatchObject({ status: { phase: 'Running' }, spec: { containers: [{ image: 'web:2' }] }, metadata: { generation: 2 } });
    expect(prepareUpdate(pod, copyJson(next), old, 'status')).toMatchObject({ status: { phase: 'Failed' }, spec: { containers: [{ image: 'web:1' }] }, metadata: { generation: 1 } });
  });

  it.each<[string, Partial<PodStatus>, string[]]>([
    ['one of each family', { podIP: '10.42.0.5', podIPs: [{ ip: '10.42.0.5' }, { ip: 'fd00::5' }], hostIP: '192.0.2.1', hostIPs: [{ ip: '192.0.2.1' }] }, []],
    ['what is none', { podIPs: [{ ip: '10.1.1.1 }\nadd table ip x' }] }, ['status.podIPs[0] must be a valid IP address']],
    ['none where one is said to be', { hostIPs: [{ ip: '' }] }, ['status.hostIPs[0] must be a valid IP address']],
    ['one alone that is none', { podIP: 'here' }, ['status.podIP must be a valid IP address']],
    ['two of one family', { podIPs: [{ ip: '10.42.0.5' }, { ip: '10.42.0.6' }] }, ['status.podIPs may specify no more than one IP for each IP family']],
    ['one twice', { podIPs: [{ ip: '10.42.0.5' }, { ip: '10.42.0.5' }] }, ['status.podIPs[1] Duplicate value']],
  ])('of a status take addresses: %s', (_what, status, expected) => {
    const old = make();
    const told = validate(pod, prepareUpdate(pod, { ...copyJson(old), status }, old, 'status'), old, 'status').map(({ field, message }) => `${field} ${message.replace(/^Invalid value: .*?: (?=m)/s, '')}`);
    expect(told).toEqual(expected.map((text) => expect.stringContaining(text) as string));
  });

  it('bind through the binding subresource only', () => {
    const old = make();
    const bound = copyJson(old);
    (bound.spec as PodSpec).nodeName = 'host-1';
    expect(validate(pod, prepareUpdate(pod, bound, old, 'binding'), old, 'binding')).toEqual([]);
  });
});

describe('kubectl get', () => {
  const now = Date.parse('2026-01-01T01:00:00Z');
  const state = (more: object): object => ({ name: 'web', image: 'i', imageID: '', ready: false, restartCount: 0, ...more });
  const row = (status: PodStatus | object, spec: object = {}, metadata: object = {}): unknown[] => {
    const object = { metadata: { name: 'web', creationTimestamp: '2026-01-01T00:55:00Z', ...metadata }, spec: { containers: [container()], ...spec }, status } as Pod;
    return renderTable(pod, [object], now).rows[0]?.cells.slice(1, 5) ?? [];
  };
  const init = { initContainers: [container({ name: 'i1' }), container({ name: 'i2' })] };
  const running = { ready: true, state: { running: {} } };

  it.each<[string, object, object, object, string[]]>([
    ['pending', { phase: 'Pending' }, {}, {}, ['0/1', 'Pending', '0']],
    ['creating', { phase: 'Pending', containerStatuses: [state({ state: { waiting: { reason: 'ContainerCreating' } } })] }, {}, {}, ['0/1', 'ContainerCreating', '0']],
    ['running', { phase: 'Running', containerStatuses: [state(running)] }, {}, {}, ['1/1', 'Running', '0']],
    ['restarted', { phase: 'Running', containerStatuses: [state({ ...running, restartCount: 3, lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T00:57:00Z' } } })] }, {}, {}, ['1/1', 'Running', '3 (3m ago)']],
    ['crashing', { phase: 'Running', containerStatuses: [state({ restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } } })] }, {}, {}, ['0/1', 'CrashLoopBackOff', '2']],
    ['init 2 of 2', { phase: 'Pending', initContainerStatuses: [state({ name: 'i1', state: { terminated: { exitCode: 0 } } }), state({ name: 'i2', state: { running: {} } })] }, init, {}, ['0/1', 'Init:1/2', '0']],
    ['init failed', { phase: 'Pending', initContainerStatuses: [state({ name: 'i1', restartCount: 1, state: { terminated: { exitCode: 3 } } })] }, init, {}, ['0/1', 'Init:ExitCode:3', '1']],
    ['init crashing', { phase: 'Pending', initContainerStatuses: [state({ name: 'i1', state: { waiting: { reason: 'CrashLoopBackOff' } } })] }, init, {}, ['0/1', 'Init:CrashLoopBackOff', '0']],
    ['sidecar', { phase: 'Running', initContainerStatuses: [state({ name: 'side', started: true, ...running })], containerStatuses: [state(running)] }, { initContainers: [container({ name: 'side', restartPolicy: 'Always' })] }, {}, ['2/2', 'Running', '0']],
    ['completed', { phase: 'Succeeded', containerStatuses: [state({ state: { terminated: { exitCode: 0, reason: 'Completed' } } })] }, {}, {}, ['0/1', 'Completed', '0']],
    ['one of two done', { phase: 'Running', containerStatuses: [state({ state: { terminated: { exitCode: 0, reason: 'Completed' } } }), state({ name: 'b', ...running })] }, { containers: [container(), container({ name: 'b' })] }, {}, ['1/2', 'NotReady', '0']],
    ['killed', { phase: 'Failed', containerStatuses: [state({ state: { terminated: { exitCode: 137, signal: 9 } } })] }, {}, {}, ['0/1', 'Signal:9', '0']],
    ['evicted', { phase: 'Failed', reason: 'Evicted' }, {}, {}, ['0/1', 'Evicted', '0']],
    ['deleted', { phase: 'Running', containerStatuses: [state(running)] }, {}, { deletionTimestamp: '2026-01-01T00:59:00Z' }, ['1/1', 'Terminating', '0']],
    ['lost', { phase: 'Running', reason: 'NodeLost' }, {}, { deletionTimestamp: '2026-01-01T00:59:00Z' }, ['0/1', 'Unknown', '0']],
    ['gated', { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }, {}, {}, ['0/1', 'SchedulingGated', '0']],
  ])('%s', (_, status, spec, metadata, expected) => expect(row(status, spec, metadata)).toEqual([...expected, '5m']));
});
