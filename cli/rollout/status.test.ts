import { describe, expect, it } from 'vitest';
import { rolloutStatus, type Rolling } from './status.ts';

const seen = (status: Rolling['status'], spec: Rolling['spec'] = { replicas: 3 }): Rolling => ({ metadata: { name: 'w', generation: 2 }, spec, status: { observedGeneration: 2, ...status } });

describe('the status of a rollout', () => {
  it.each<[string, string, Rolling, string, boolean]>([
    ['not seen yet', 'Deployment', { metadata: { name: 'w', generation: 2 }, status: { observedGeneration: 1 } }, 'Waiting for deployment spec update to be observed...', false],
    ['some updated', 'Deployment', seen({ updatedReplicas: 1, replicas: 4 }), 'Waiting for deployment "w" rollout to finish: 1 out of 3 new replicas have been updated...', false],
    ['old ones left', 'Deployment', seen({ updatedReplicas: 3, replicas: 4 }), 'Waiting for deployment "w" rollout to finish: 1 old replicas are pending termination...', false],
    ['not available', 'Deployment', seen({ updatedReplicas: 3, replicas: 3, availableReplicas: 2 }), 'Waiting for deployment "w" rollout to finish: 2 of 3 updated replicas are available...', false],
    ['done', 'Deployment', seen({ updatedReplicas: 3, replicas: 3, availableReplicas: 3 }), 'deployment "w" successfully rolled out', true],
    ['daemons updated', 'DaemonSet', seen({ updatedNumberScheduled: 1, desiredNumberScheduled: 2 }), 'Waiting for daemon set "w" rollout to finish: 1 out of 2 new pods have been updated...', false],
    ['daemons available', 'DaemonSet', seen({ updatedNumberScheduled: 2, desiredNumberScheduled: 2, numberAvailable: 1 }), 'Waiting for daemon set "w" rollout to finish: 1 of 2 updated pods are available...', false],
    ['daemons done', 'DaemonSet', seen({ updatedNumberScheduled: 2, desiredNumberScheduled: 2, numberAvailable: 2 }), 'daemon set "w" successfully rolled out', true],
    ['stateful pods not ready', 'StatefulSet', seen({ readyReplicas: 1 }), 'Waiting for 2 pods to be ready...', false],
    ['stateful partition', 'StatefulSet', seen({ readyReplicas: 3, updatedReplicas: 0 }, { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } }), 'Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...', false],
    ['stateful update', 'StatefulSet', seen({ readyReplicas: 3, updatedReplicas: 1, updateRevision: 'w-2', currentRevision: 'w-1' }), 'waiting for statefulset rolling update to complete 1 pods at revision w-2...', false],
    ['stateful done', 'StatefulSet', seen({ readyReplicas: 3, replicas: 3, updateRevision: 'w-2', currentRevision: 'w-2' }), 'statefulset rolling update complete 3 pods at revision w-2...', true],
  ])('%s', (_, kind, object, text, done) => {
    expect(rolloutStatus(kind, object)).toEqual({ text: `${text}\n`, done });
  });

  it('tells what will not end', () => {
    expect(rolloutStatus('Deployment', seen({ conditions: [{ type: 'Progressing', reason: 'ProgressDeadlineExceeded' }] })).failed).toBe('deployment "w" exceeded its progress deadline');
    expect(rolloutStatus('DaemonSet', seen({}, { updateStrategy: { type: 'OnDelete' } })).failed).toMatch(/RollingUpdate/);
  });
});
