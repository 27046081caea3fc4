import { expect, test } from 'vitest';
import type { ConfigMap, Pod } from '#api/gen/types.ts';
import { RestClient } from '../client.ts';
import { describeAny } from './any.ts';
import { describerOf } from './kinds.ts';
import { DescribeWriter } from './writer.ts';

const context = { client: new RestClient({ server: 'https://127.0.0.1:1', namespace: 'default' } as ConstructorParameters<typeof RestClient>[0]), nowMs: Date.parse('2026-01-01T00:01:00Z') };

async function text(kind: string, object: object): Promise<string> {
  const writer = new DescribeWriter();
  await describerOf(kind)(writer, object, context);
  return writer.toString();
}

test('a column is as wide as its widest neighbour; a line without the cell ends it', () => {
  const writer = new DescribeWriter().row(0, 'Name:', 'a').row(0, 'Long name:', 'b').row(0, 'Title:').row(1, 'x', 'y', 'z').row(1, 'xxx', '', 'z').flush().row(0, 'Events:', 'none');
  expect(writer.toString()).toBe([
    'Name:       a', 'Long name:  b', 'Title:', '  x    y  z', '  xxx     z', 'Events:  none', '',
  ].join('\n'));
});

test('nothing an object says reaches the terminal as a control sequence', () => {
  expect(new DescribeWriter().row(0, 'Name:', 'a\u001b[2J').toString()).toBe('Name:  a [2J\n');
});

test('a pod reads as kubectl shows it', async () => {
  const pod: Pod = {
    metadata: { name: 'web', namespace: 'default', labels: { b: '2', a: '1' }, annotations: { long: 'x'.repeat(150), note: 'n' }, ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'u', controller: true }] },
    spec: {
      nodeName: 'n1', serviceAccountName: 'default', priority: 0, tolerations: [{ key: 'k', value: 'v', effect: 'NoExecute', tolerationSeconds: 5 }, { operator: 'Exists' }],
      containers: [{
        name: 'c', image: 'a:1', command: ['sh'], ports: [{ containerPort: 80 }], resources: { requests: { memory: '16Mi', cpu: '10m' } },
        readinessProbe: { httpGet: { port: 80, path: '/' } },
        env: [{ name: 'A', value: '1' }, { name: 'NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }],
        volumeMounts: [{ name: 'v', mountPath: '/v', readOnly: true }],
      }],
      volumes: [{ name: 'v', emptyDir: {} }],
    },
    status: {
      phase: 'Running', hostIP: '10.0.0.1', podIP: '10.42.0.2', podIPs: [{ ip: '10.42.0.2' }], qosClass: 'Burstable', conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: 'c', image: 'a:1', imageID: 'sha256:1', containerID: 'containerd://1', ready: true, restartCount: 1, state: { waiting: { reason: 'CrashLoopBackOff' } } }],
    },
  };
  expect(await text('Pod', pod)).toBe(`Name:             web
Namespace:        default
Priority:         0
Service Account:  default
Node:             n1/10.0.0.1
Labels:           a=1
                  b=2
Annotations:      long:
                    ${'x'.repeat(138)}...
                  note: n
Status:           Running
IP:               10.42.0.2
IPs:
  IP:           10.42.0.2
Controlled By:  ReplicaSet/rs
Containers:
  c:
    Container ID:  containerd://1
    Image:         a:1
    Image ID:      sha256:1
    Port:          80/TCP
    Host Port:     0/TCP
    Command:
      sh
    State:          Waiting
      Reason:       CrashLoopBackOff
    Ready:          True
    Restart Count:  1
    Requests:
      cpu:      10m
      memory:   16Mi
    Readiness:  http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3
    Environment:
      A:     1
      NAME:  web (v1:metadata.name)
    Mounts:
      /v from v (ro)
Conditions:
  Type    Status
  Ready   True 
Volumes:
  v:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:      
    SizeLimit:   <unset>
QoS Class:       Burstable
Node-Selectors:  <none>
Tolerations:     op=Exists
                 k=v:NoExecute for 5s
`);
});

test('a secret shows sizes, never values', async () => {
  expect(await text('Secret', { metadata: { name: 's' }, type: 'Opaque', data: { key: Buffer.from('hush').toString('base64') } })).toContain('key:  4 bytes');
});

test('a config map shows its data', async () => {
  const map: ConfigMap = { metadata: { name: 'm', namespace: 'default' }, data: { b: '2', a: '1\n2' } };
  expect(await text('ConfigMap', map)).toContain('\nData\n====\na:\n----\n1\n2\n\nb:\n----\n2\n\n\nBinaryData\n====\n');
});

test('any other object shows its fields', async () => {
  const writer = new DescribeWriter();
  await describeAny(writer, { apiVersion: 'v1', kind: 'Thing', metadata: { name: 't', creationTimestamp: '2026-01-01T00:00:00Z' }, spec: { podCIDR: 'c', items: [{ a: 1 }, 'x'] } } as object, context);
  expect(writer.toString()).toBe(`Name:         t
Labels:       <none>
Annotations:  <none>
API Version:  v1
Kind:         Thing
Metadata:
  Creation Timestamp:  2026-01-01T00:00:00Z
Spec:
  Items:
    A:  1
    x
  Pod CIDR:  c
`);
});

const noPods = { ...context, client: { json: () => Promise.resolve({ items: [] }) } as unknown as RestClient };
async function described(kind: string, object: object): Promise<string[]> {
  const writer = new DescribeWriter();
  await describerOf(kind)(writer, object, noPods);
  return writer.toString().trimEnd().split('\n');
}
const template = { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'db', image: 'db:1' }] } };

test('workloads read as kubectl shows them', async () => {
  const spec = { replicas: 3, selector: { matchLabels: { app: 'db' } }, template, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } }, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }] };
  const lines = await described('StatefulSet', { metadata: { name: 'db', namespace: 'default' }, spec, status: { replicas: 2 } });
  expect(lines.slice(6, 10)).toEqual(['Replicas:           3 desired | 2 total', 'Update Strategy:    RollingUpdate', '  Partition:        1', 'Pods Status:        0 Running / 0 Waiting / 0 Succeeded / 0 Failed']);
  expect(lines.slice(-6)).toEqual(['  Name:          data', '  StorageClass:  ', '  Labels:        <none>', '  Annotations:   <none>', '  Capacity:      1Gi', '  Access Modes:  [ReadWriteOnce]']);
  const job = await described('Job', { metadata: { name: 'j' }, spec: { template, completions: 1 }, status: { startTime: '2026-01-01T00:00:00Z', completionTime: '2026-01-01T00:00:12Z', succeeded: 1, ready: 0 } });
  expect(job).toEqual(expect.arrayContaining([expect.stringMatching(/^Duration: +12s$/), expect.stringMatching(/^Pods Statuses: +0 Active \(0 Ready\) \/ 1 Succeeded \/ 0 Failed$/)]));
});

test('limits read as kubectl shows them', async () => {
  expect(await described('ResourceQuota', { metadata: { name: 'q' }, status: { hard: { pods: '10' }, used: { pods: '3' } } })).toEqual(['Name:     q', 'Resource  Used  Hard', '--------  ----  ----', 'pods      3     10']);
  expect((await described('LimitRange', { metadata: { name: 'l' }, spec: { limits: [{ type: 'Pod', max: { cpu: '1' } }] } }))[3]).toBe('Pod    cpu       -    1    -                -              -');
  const metrics = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }];
  const status = { currentReplicas: 1, desiredReplicas: 2, currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 10, averageValue: '20m' } } }] };
  expect(await described('HorizontalPodAutoscaler', { metadata: { name: 'h' }, spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' }, maxReplicas: 3, metrics }, status })).toEqual(expect.arrayContaining([
    '  resource cpu on pods  (as a percentage of request):  10% (20m) / 50%', expect.stringMatching(/^Deployment pods: +1 current \/ 2 desired$/),
  ]));
});

test('endpoints and their slices read as kubectl shows them', async () => {
  expect(await text('Endpoints', { metadata: { name: 'web', namespace: 'a' }, subsets: [{ addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }] })).toBe(
    'Name:         web\nNamespace:    a\nLabels:       <none>\nAnnotations:  <none>\nSubsets:\n  Addresses:          10.0.0.1,10.0.0.2\n  NotReadyAddresses:  <none>\n  Ports:\n    Name  Port  Protocol\n    ----  ----  --------\n    http  80    TCP\n\n',
  );
  const slice = await text('EndpointSlice', { metadata: { name: 's', namespace: 'a' }, addressType: 'IPv4', ports: [{ port: 81, protocol: 'TCP' }], endpoints: [{ addresses: ['10.0.0.3'], conditions: { ready: false }, targetRef: { kind: 'Pod', name: 'p' } }] });
  expect(slice).toContain('Ports:\n  Name     Port  Protocol\n  ----     ----  --------\n  <unset>  81    TCP\nEndpoints:\n  - Addresses:  10.0.0.3\n    Conditions:\n      Ready:    false\n    Hostname:   <unset>\n    TargetRef:  Pod/p\n');
});
