import { expect, it } from 'vitest';
import { referencesOf } from './references.ts';
import { trimNode, trimPod } from './trim.ts';

it('finds every Secret and ConfigMap of a pod', () => {
  const name = (n: string) => ({ name: n, key: 'k' });
  expect(referencesOf({
    metadata: { namespace: 'ns' },
    spec: {
      imagePullSecrets: [{ name: 'pull' }, {}],
      initContainers: [{ name: 'i', env: [{ name: 'E', valueFrom: { secretKeyRef: name('init') } }] }],
      containers: [{ name: 'c', env: [{ name: 'P', value: 'plain' }, { name: 'E', valueFrom: { configMapKeyRef: name('env') } }], envFrom: [{ secretRef: { name: 'from' } }, { configMapRef: { name: 'from' } }] }],
      ephemeralContainers: [{ name: 'e', envFrom: [{ configMapRef: { name: 'debug' } }] }],
      volumes: [{ name: 'v', secret: { secretName: 'vol' } }, { name: 'w', configMap: { name: 'vol' } }, { name: 'p', projected: { sources: [{ secret: { name: 'pro' } }, { configMap: { name: 'pro' } }, { downwardAPI: {} }] } }, { name: 'x', emptyDir: {} }],
    },
  }).sort()).toEqual([
    'configmaps ns/debug', 'configmaps ns/env', 'configmaps ns/from', 'configmaps ns/pro', 'configmaps ns/vol',
    'secrets ns/from', 'secrets ns/init', 'secrets ns/pro', 'secrets ns/pull', 'secrets ns/vol',
  ]);
  expect(referencesOf({})).toEqual([]);
});

it('sends of a pod what must outlive a reboot, of a node what peers need', () => {
  const pod = { metadata: { name: 'p', resourceVersion: '7' }, spec: { containers: [] }, status: { phase: 'Running', podIP: '1.2.3.4', startTime: 't', conditions: [{ type: 'Ready', status: 'True' }, { type: 'gate', status: 'True' }], containerStatuses: [{ name: 'c', image: 'i', imageID: 'x', ready: true, restartCount: 3 }, { name: 'd', image: 'i', imageID: 'x', ready: true, restartCount: 0 }] } };
  expect(trimPod(pod)).toEqual({
    apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [] },
    status: { startTime: 't', conditions: [{ type: 'gate', status: 'True' }], containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 3 }] },
  });
  expect(trimPod({ ...pod, status: { phase: 'Failed', reason: 'Evicted' } }).status).toEqual({ phase: 'Failed', reason: 'Evicted' });
  expect(JSON.parse(JSON.stringify(trimNode({ metadata: { name: 'n', resourceVersion: '9', labels: { a: 'b' } }, spec: { podCIDR: '10.42.0.0/24', unschedulable: true }, status: { addresses: [{ type: 'InternalIP', address: '1.1.1.1' }], conditions: [] } })))).toEqual({
    apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', labels: { a: 'b' } }, spec: { podCIDR: '10.42.0.0/24' }, status: { addresses: [{ type: 'InternalIP', address: '1.1.1.1' }] },
  });
});
