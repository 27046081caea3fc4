import { expect, it } from 'vitest';
import { copyJson } from './json.ts';
import { omitEmpty } from './omit-empty.ts';
import { schemaNamed } from './schema.ts';

it.each([
  ['Pod', { spec: { hostNetwork: false, priority: 0, hostname: '', automountServiceAccountToken: false, containers: [{ name: 'c', stdin: false, env: [{ name: 'E', value: '' }], ports: [{ containerPort: 80, hostPort: 0, protocol: '' }], securityContext: { privileged: false, runAsUser: 0 }, volumeMounts: [{ name: 'v', mountPath: '/v', readOnly: false, subPath: '' }] }], tolerations: [{ key: '', value: '', tolerationSeconds: 0 }], volumes: [{ name: 'v', emptyDir: { medium: '' } }] } },
    { spec: { priority: 0, automountServiceAccountToken: false, containers: [{ name: 'c', env: [{ name: 'E' }], ports: [{ containerPort: 80 }], securityContext: { privileged: false, runAsUser: 0 }, volumeMounts: [{ name: 'v', mountPath: '/v' }] }], tolerations: [{ tolerationSeconds: 0 }], volumes: [{ name: 'v', emptyDir: {} }] } }],
  ['Deployment', { spec: { replicas: 0, paused: false, minReadySeconds: 0, selector: {}, template: {} }, status: { replicas: 0, collisionCount: 0 } }, { spec: { replicas: 0, selector: {}, template: {} }, status: { collisionCount: 0 } }],
  ['PersistentVolumeClaim', { spec: { storageClassName: '', volumeName: '', resources: { requests: { storage: '0' } } } }, { spec: { storageClassName: '', resources: { requests: { storage: '0' } } } }],
  ['Service', { spec: { ports: [{ port: 80, targetPort: 0, nodePort: 0, name: '' }], publishNotReadyAddresses: false, allocateLoadBalancerNodePorts: false } }, { spec: { ports: [{ port: 80, targetPort: 0 }], allocateLoadBalancerNodePorts: false } }],
  ['ObjectMeta', { name: 'x', generateName: '', labels: { empty: '' }, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: false }] }, { name: 'x', labels: { empty: '' }, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: false }] }],
])('drops from a %s what Go would not write, and nothing else', (name, given, expected) => {
  const value = copyJson<unknown>(given);
  omitEmpty(schemaNamed(name), value);
  expect(value).toEqual(expected);
});
