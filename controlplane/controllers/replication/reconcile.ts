import type { ReplicaSet, ReplicationController } from '#api/gen/types.ts';

/** The oldest of the workloads differs from a ReplicaSet in its selector only, which is a plain map of labels. */
export function asReplicaSet({ metadata, spec, status }: ReplicationController): ReplicaSet {
  return {
    metadata, status,
    spec: { replicas: spec?.replicas, minReadySeconds: spec?.minReadySeconds, template: spec?.template, selector: { matchLabels: spec?.selector ?? {} } },
  };
}
