import { describe, expect, it } from 'vitest';
import type { ContainerState, ContainerStatus, Event, Node, PersistentVolumeClaim, Pod, PodCondition } from '#api/gen/types.ts';
import { explainPod } from './explain.ts';
import { reasonsOf } from './scheduling.ts';
import type { PodFacts } from './types.ts';
import { explainRefusal, explainWorkload, type WorkloadFacts } from './workload.ts';

const nowMs = Date.parse('2026-01-01T12:00:00Z');
const ago = (seconds: number): string => new Date(nowMs - seconds * 1000).toISOString();

const node = (name: string, change: { arch?: string; ready?: string; spec?: Node['spec']; cpu?: string } = {}): Node => ({
  metadata: { name, ...(change.arch !== undefined && { labels: { 'kubernetes.io/arch': change.arch } }) }, spec: change.spec ?? {}, status: { allocatable: { cpu: change.cpu ?? '2', memory: '1Gi' }, conditions: [{ type: 'Ready', status: change.ready ?? 'True', message: 'the runtime is down' }] },
});
const condition = (type: string, status: string, reason?: string, message?: string): PodCondition => ({ type, status, reason, message });
const event = (reason: string, message: string, container?: string): Event => ({ metadata: {}, involvedObject: { fieldPath: container && `spec.containers{${container}}` }, reason, message, type: 'Warning' });
const container = (state: ContainerState, change: Partial<ContainerStatus> = {}): ContainerStatus => ({ name: 'c', image: 'web:1', imageID: '', ready: false, restartCount: 0, state, ...change });
const waiting = (reason: string, message = ''): ContainerStatus => container({ waiting: { reason, message } });

interface Given {
  readonly spec?: Partial<NonNullable<Pod['spec']>>;
  readonly metadata?: Pod['metadata'];
  readonly status?: Pod['status'];
  readonly facts?: Partial<PodFacts>;
}
function told({ spec, metadata, status, facts }: Given): { state: string; says: string; helps: string; causes: string[] } {
  const pod: Pod = { metadata: { name: 'p', namespace: 'a', ...metadata }, spec: { containers: [{ name: 'c', image: 'web:1' }], ...spec }, status: { phase: 'Pending', ...status } };
  const { state, findings } = explainPod({ pod, events: [], nodes: [node('n1'), node('n2')], lease: undefined, neighbours: [], claims: [], nowMs, ...facts });
  return { state, says: findings.map(({ says }) => says).join(' '), helps: findings.flatMap(({ helps }) => helps).join(' '), causes: findings.map(({ cause }) => cause) };
}
const unschedulable = (message: string): Pod['status'] => ({ conditions: [condition('PodScheduled', 'False', 'Unschedulable', message)] });
const onNode = { nodeName: 'n1' };
const asks = (requests: Record<string, string>): NonNullable<Given['spec']> => ({ containers: [{ name: 'c', image: 'web:1', resources: { requests } }] });

describe('a pod without a node', () => {
  const fits = (reason: string): Pod['status'] => unschedulable(`0/2 nodes are available: ${reason}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.`);

  it('has the reasons that the scheduler counted', () => {
    expect(reasonsOf("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 no.")).toEqual([{ count: 1, text: 'Insufficient cpu' }, { count: 2, text: "node(s) didn't match Pod's node affinity/selector" }]);
    expect(reasonsOf('0/1 nodes are available: persistentvolumeclaim "x" not found.')).toEqual([{ count: undefined, text: 'persistentvolumeclaim "x" not found' }]);
  });

  it.each<[string, Given, RegExp, RegExp]>([
    ['too large for any node', { spec: asks({ cpu: '4' }), status: fits('2 Insufficient cpu') }, /asks for 4 of cpu, and the largest node has 2 .* never fit/, /requests\.cpu.*larger node/],
    ['too large for what is left', { spec: asks({ cpu: '1500m' }), status: fits('2 Insufficient cpu'), facts: { neighbours: [{ metadata: {}, spec: { nodeName: 'n1', ...asks({ cpu: '1' }) } as Pod['spec'] }, { metadata: {}, spec: { nodeName: 'n2', ...asks({ cpu: '600m' }) } as Pod['spec'] }] } }, /All 2 nodes have too little cpu left: it asks for 1500m, and n2 has the most left, 1400m of 2/, /Make room/],
    ['a device that no node has', { spec: asks({ 'example.com/gpu': '1' }), status: fits('2 Insufficient example.com/gpu') }, /which no node has/, /has it/],
    ['cordoned nodes', { status: fits('1 node(s) were unschedulable'), facts: { nodes: [node('n1', { spec: { unschedulable: true } }), node('n2')] } }, /The node n1 is cordoned/, /cleat uncordon n1/],
    ['tainted nodes', { status: fits('1 node(s) had untolerated taint {dedicated: db}'), facts: { nodes: [node('n1', { spec: { taints: [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }] } })] } }, /n1 is tainted dedicated=db/, /cleat taint nodes n1 dedicated-/],
    ['nodes that are not heard of', { status: fits('1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }'), facts: { nodes: [node('n1', { spec: { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }] } })] } }, /n1 is not heard of/, /cleat describe node n1/],
    ['labels', { spec: { nodeSelector: { disk: 'ssd' } }, status: fits("2 node(s) didn't match Pod's node affinity/selector") }, /All 2 nodes lack the labels that it asks for: disk=ssd/, /cleat label node NAME disk=ssd/],
    ['ports', { spec: { containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, hostPort: 80 }] }] }, status: fits("2 node(s) didn't have free ports for the requested pod ports") }, /no free host port 80\/TCP/, /NodePort/],
    ['anti-affinity', { status: fits("2 node(s) didn't match pod anti-affinity rules") }, /refuses to stand beside/, /preferred/],
    ['spreading', { spec: { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }] }, status: fits("2 node(s) didn't match pod topology spread constraints") }, /spreading over zone/, /ScheduleAnyway/],
    ['a claim that is not there', { status: fits('persistentvolumeclaim "data" not found'), facts: { claims: [{ name: 'data', claim: undefined, events: [] }] } }, /^Its claim data does not exist\.$/, /PersistentVolumeClaim data/],
    ['a claim that is not bound', { status: fits('pod has unbound immediate PersistentVolumeClaims'), facts: { claims: [{ name: 'data', claim: { metadata: {}, spec: { storageClassName: 'fast', resources: { requests: { storage: '1Gi' } } }, status: { phase: 'Pending' } } as PersistentVolumeClaim, events: [event('ProvisioningFailed', 'storageclass.storage.k8s.io "fast" not found')] }] } }, /^Its claim data \(1Gi, class fast\) is not bound to a volume: storageclass/, /Make the StorageClass fast/],
    ['a reason that nobody knows', { status: fits('2 node(s) are haunted') }, /Of 2 nodes, 2: node\(s\) are haunted/, /^$/],
    ['no nodes', { facts: { nodes: [] } }, /has no node yet/, /cleat token create/],
    ['another scheduler', { spec: { schedulerName: 'other' } }, /scheduler "other"/, /schedulerName/],
  ])('%s', (_, given, says, helps) => {
    const found = told(given);
    expect(found.says).toMatch(says);
    expect(found.helps).toMatch(helps);
    expect(found.state).toBe('broken');
  });

  it('waits for gates, and for pods that make room', () => {
    expect(told({ spec: { schedulingGates: [{ name: 'example.com/g' }] }, status: { conditions: [condition('PodScheduled', 'False', 'SchedulingGated')] } })).toMatchObject({ state: 'waiting', says: 'It is held back by 1 scheduling gate: example.com/g.' });
    expect(told({ status: { ...fits('2 Insufficient cpu'), nominatedNodeName: 'n1' } })).toMatchObject({ state: 'waiting', says: expect.stringContaining('Room is being made for it on n1') as string });
  });
});

describe('a pod on a node', () => {
  it.each<[string, Given, string, RegExp, RegExp]>([
    ['an image that is not there', { status: { containerStatuses: [waiting('ImagePullBackOff', 'Back-off pulling image "web:1": docker.io/web:1: not found')] } }, 'Image', /"web:1" does not exist in its registry/, /name and the tag/],
    ['a registry that refuses', { status: { containerStatuses: [waiting('ErrImagePull', 'pull access denied, repository does not exist or may require authorization')] } }, 'Image', /registry refuses/, /imagePullSecrets/],
    ['a registry out of reach', { status: { containerStatuses: [waiting('ErrImagePull', 'dial tcp: lookup reg.example: no such host')] } }, 'Image', /n1 cannot reach the registry/, /resolver/],
    ['an image for another machine', { status: { containerStatuses: [waiting('ErrImagePull', 'no match for platform in manifest: not found')] } }, 'Image', /architecture/, /cleat nodes/],
    ['an image for another machine, of a pod that stands alone', { facts: { nodes: [node('n1', { arch: 'amd64' }), node('n2', { arch: 'arm64' })] }, status: { containerStatuses: [waiting('ImagePullBackOff', 'Back-off pulling image "web:1": ErrImagePull: wrong architecture: image web:1 is for linux/arm64, and this host is linux/amd64; build or choose an image for it')] } }, 'Image', /not made for this node's architecture \(amd64\)\. .*is for linux\/arm64/, /n2 has another architecture\. Nobody makes this pod anew: delete it/],
    ['an image for another machine, of a pod that is replaced', { metadata: { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u', controller: true }] }, facts: { nodes: [node('n1', { arch: 'amd64' }), node('n2', { arch: 'arm64' })] }, status: { containerStatuses: [waiting('ErrImagePull', 'no matching manifest for linux/amd64 in the manifest list entries')] } }, 'Image', /\(amd64\)/, /deleted by the scheduler and made anew by its owner/],
    ['an image that is never pulled', { status: { containerStatuses: [waiting('ErrImageNeverPull')] } }, 'Image', /is not on n1/, /IfNotPresent/],
    ['a Secret that is missing', { status: { containerStatuses: [waiting('CreateContainerConfigError', 'secret "s" not found')] } }, 'Configuration', /secret "s" not found/, /a Secret s in namespace a/],
    ['a command that is missing', { status: { containerStatuses: [container({ waiting: { reason: 'CrashLoopBackOff', message: 'back-off 20s restarting failed container=c' } }, { restartCount: 2, lastState: { terminated: { exitCode: 128, message: 'exec: "x": executable file not found in $PATH' } } })] } }, 'Configuration', /executable file not found.*restarted twice; the next time comes within 20s/, /no such program/],
    ['a crash', { status: { containerStatuses: [container({ waiting: { reason: 'CrashLoopBackOff', message: '' } }, { restartCount: 5, lastState: { terminated: { exitCode: 3, finishedAt: ago(90) } } })] } }, 'Crash', /ended 90s ago with exit code 3\. It has been restarted 5 times/, /cleat logs -n a p -c c --previous/],
    ['a signal', { status: { phase: 'Failed', containerStatuses: [container({ terminated: { exitCode: 139 } })] } }, 'Crash', /by signal 11 \(SIGSEGV/, /cleat logs/],
    ['too much memory', { spec: { containers: [{ name: 'c', image: 'x', resources: { limits: { memory: '10Mi' } } }] }, status: { containerStatuses: [container({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 1, lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } })] } }, 'OutOfMemory', /more memory than it may \(10Mi\)/, /limits\.memory/],
    ['a program that ends by itself', { status: { containerStatuses: [container({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 1, lastState: { terminated: { exitCode: 0 } } })] } }, 'Crash', /by itself, with exit code 0/, /a Job/],
    ['a liveness probe', { facts: { events: [event('Unhealthy', 'Liveness probe failed: refused', 'c'), event('Killing', 'Container c failed liveness probe, will be restarted', 'c')] }, status: { containerStatuses: [container({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 1, lastState: { terminated: { exitCode: 137 } } })] } }, 'Probe', /because its liveness probe failed \(refused\)/, /failureThreshold/],
    ['a readiness probe', { facts: { events: [event('Unhealthy', 'Readiness probe failed: HTTP probe failed with statuscode: 500', 'c')] }, spec: { containers: [{ name: 'c', image: 'x', readinessProbe: { httpGet: { path: '/ok', port: 80 } } }] }, status: { containerStatuses: [container({ running: { startedAt: ago(60) } }, { started: true })] } }, 'Probe', /readiness probe \(GET \/ok on port 80\) fails: HTTP probe failed with statuscode: 500\. It has run for 60s/, /readinessProbe/],
    ['a startup probe', { spec: { containers: [{ name: 'c', image: 'x', startupProbe: { tcpSocket: { port: 80 } } }] }, status: { containerStatuses: [container({ running: { startedAt: ago(5) } }, { started: false })] } }, 'Probe', /startup probe has not succeeded yet/, /asked every 10 s/],
    ['a readiness gate', { spec: { readinessGates: [{ conditionType: 'example.com/lb' }] }, status: { containerStatuses: [container({ running: {} }, { ready: true })] } }, 'Probe', /readiness gate example\.com\/lb/, /status/],
    ['an init container', { spec: { initContainers: [{ name: 'i', image: 'x' }] }, status: { initContainerStatuses: [container({ terminated: { exitCode: 1 } }, { name: 'i' })], containerStatuses: [waiting('PodInitializing')] } }, 'Crash', /^The init container i ended with exit code 1\.$/, /-c i/],
    ['a volume', { facts: { events: [event('FailedMount', 'MountVolume.SetUp failed for volume "v" : configmap "x" not found')] }, status: { containerStatuses: [waiting('ContainerCreating')] } }, 'Volume', /configmap "x" not found/, /a ConfigMap x in namespace a/],
    ['a sandbox', { facts: { events: [event('FailedCreatePodSandBox', 'no network')] }, status: { containerStatuses: [waiting('ContainerCreating')] } }, 'Sandbox', /sandbox: no network/, /cleat describe node n1/],
    ['a node that is silent', { spec: { tolerations: [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }] }, facts: { nodes: [node('n1', { ready: 'Unknown', spec: { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: ago(100) }] } })], lease: { metadata: {}, spec: { renewTime: ago(140) } } }, status: { phase: 'Running', conditions: [condition('Ready', 'False')], containerStatuses: [container({ running: {} }, { ready: true })] } }, 'Node', /not heard of, for 2m20s/, /replaced elsewhere in 3m20s/],
    ['a node that is gone', { facts: { nodes: [] } }, 'Node', /n1 is not part of the cluster any more/, /agent on n1/],
    ['a node that is not ready', { facts: { nodes: [node('n1', { ready: 'False' })] } }, 'Node', /not ready: the runtime is down/, /cleat describe node n1/],
    ['an eviction', { status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory' } }, 'Disruption', /evicted it: The node was low/, /made anew/],
    ['a refusal', { status: { phase: 'Failed', reason: 'OutOfcpu', message: 'not enough' } }, 'Node', /\(OutOfcpu\): not enough/, /made anew/],
    ['a host that its image is not made for', { status: { phase: 'Failed', conditions: [condition('DisruptionTarget', 'True', 'ImageNotForNode', 'image web:1 is not made for it')] } }, 'Disruption', /^Its image is not made for the architecture of the node/, /replaced/],
    ['preemption', { status: { phase: 'Failed', conditions: [condition('DisruptionTarget', 'True', 'PreemptionByScheduler', 'preempted for x')] } }, 'Disruption', /room for a pod of higher priority: preempted for x/, /replaced/],
  ])('%s', (_, { spec, status, ...given }, cause, says, helps) => {
    const found = told({ ...given, spec: { ...onNode, ...spec }, status: { ...status } });
    expect(found.says).toMatch(says);
    expect(found.helps).toMatch(helps);
    expect([found.causes[0], found.state]).toEqual([cause, 'broken']);
  });

  it('is fine when it is ready, and tells of restarts then', () => {
    const ready = [condition('Ready', 'True')];
    expect(told({ spec: onNode, status: { phase: 'Running', conditions: ready, containerStatuses: [container({ running: {} }, { ready: true })] } })).toMatchObject({ state: 'fine', says: '' });
    expect(told({ spec: onNode, status: { phase: 'Running', conditions: ready, containerStatuses: [container({ running: { startedAt: ago(60) } }, { ready: true, restartCount: 1, lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } })] } }))
      .toMatchObject({ state: 'fine', says: expect.stringMatching(/more memory than it may.*runs again since 60s; it has been restarted once/) as string });
    expect(told({ status: { phase: 'Succeeded' } }).state).toBe('finished');
    expect(told({ spec: onNode, status: { containerStatuses: [waiting('ContainerCreating')] } }).state).toBe('waiting');
  });

  it('may be on its way out', () => {
    const gone = { deletionTimestamp: ago(-20), deletionGracePeriodSeconds: 30 };
    expect(told({ spec: onNode, metadata: gone, status: { containerStatuses: [container({ running: {} })] } })).toMatchObject({ state: 'waiting', says: expect.stringContaining('20s of 30 s left') as string });
    expect(told({ spec: onNode, metadata: { ...gone, finalizers: ['example.com/f'] } }).says).toContain('kept only by the finalizer example.com/f');
    expect(told({ spec: onNode, metadata: gone, facts: { nodes: [node('n1', { ready: 'Unknown' })] } }).helps).toMatch(/cleat node fence n1.*--force --grace-period=0/);
  });
});

describe('what admission says', () => {
  it.each([
    ['pods "w-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3', /quota q .* allows pods=3, pods=3 is taken/, /cleat edit resourcequota q -n a/],
    ['pods "w-1" is forbidden: failed quota: q: must specify limits.cpu for: c', /wants every pod to say limits\.cpu/, /LimitRange/],
    ['pods "w-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', /security level restricted:latest: runAsNonRoot/, /securityContext/],
    ['pods "w-1" is forbidden: error looking up service account a/sa: serviceaccount "sa" not found', /service account sa does not exist/, /a ServiceAccount sa in namespace a/],
    ['admission webhook "w.example" denied the request: no', /w\.example refuses it: no/, /webhook/],
    ['Error creating: pods "w-1" is forbidden: because', /^Pods cannot be made: because\.$/, /spec\.template/],
  ])('%s', (message, says, helps) => {
    const found = explainRefusal(message, 'a');
    expect(found.says).toMatch(says);
    expect(found.helps.join(' ')).toMatch(helps);
  });
});

describe('a workload', () => {
  const facts: WorkloadFacts = { object: 'deployment/web', namespace: 'a', wanted: 3, ready: 3, made: 3, paused: false, suspended: false, ended: undefined, refusals: [], complaints: [], pods: [] };
  const sick = { object: 'pod/web-1', namespace: 'a', state: 'broken', summary: 'does not run', findings: [] } as const;
  it.each<[string, Partial<WorkloadFacts>, string, RegExp]>([
    ['all there', {}, 'fine', /complete: 3 of 3 pods are ready/],
    ['none asked for', { wanted: 0, ready: 0, made: 0 }, 'waiting', /no pods/],
    ['refused', { ready: 1, made: 1, refusals: ['exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'] }, 'broken', /1 of 3/],
    ['refused once, long ago', { refusals: ['exceeded quota: q'] }, 'fine', /complete/],
    ['a sick pod', { ready: 2, pods: [sick] }, 'broken', /not complete: 2 of 3/],
    ['on its way', { ready: 0, made: 2 }, 'waiting', /0 of 3/],
    ['paused', { paused: true }, 'waiting', /has all its pods/],
    ['suspended', { suspended: true }, 'waiting', /suspended/],
    ['done', { ended: 'well' }, 'finished', /finished/],
    ['failed', { ended: 'BackoffLimitExceeded: too often' }, 'broken', /failed/],
  ])('%s', (_, change, state, summary) => {
    const told = explainWorkload({ ...facts, ...change });
    expect([told.state, told.summary]).toEqual([state, expect.stringMatching(summary)]);
  });
});
