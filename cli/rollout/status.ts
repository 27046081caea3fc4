/** What is read of a Deployment, DaemonSet or StatefulSet to tell how its rollout goes. */
export interface Rolling {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly generation?: number; readonly uid?: string };
  readonly spec?: {
    readonly replicas?: number;
    readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number; readonly updatedReplicas?: number; readonly readyReplicas?: number; readonly availableReplicas?: number;
    readonly desiredNumberScheduled?: number; readonly updatedNumberScheduled?: number; readonly numberAvailable?: number;
    readonly updateRevision?: string; readonly currentRevision?: string;
    readonly conditions?: readonly { readonly type: string; readonly reason?: string }[];
  };
}

export interface RolloutStatus {
  readonly text: string;
  readonly done: boolean;
  /** It will not come to an end. */
  readonly failed?: string;
}

/** How far a rollout is, in kubectl's words. */
export function rolloutStatus(kind: string, object: Rolling): RolloutStatus {
  if (kind === 'DaemonSet') return daemonSet(object);
  return kind === 'StatefulSet' ? statefulSet(object) : deployment(object);
}

const going = (text: string): RolloutStatus => ({ text: `${text}\n`, done: false });
const ended = (text: string): RolloutStatus => ({ text: `${text}\n`, done: true });

function deployment({ metadata = {}, spec = {}, status = {} }: Rolling): RolloutStatus {
  const name = JSON.stringify(metadata.name ?? '');
  if ((metadata.generation ?? 0) > (status.observedGeneration ?? 0)) return going('Waiting for deployment spec update to be observed...');
  if (status.conditions?.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded')) return { ...going(''), text: '', failed: `deployment ${name} exceeded its progress deadline` };
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status;
  const wanted = spec.replicas ?? 1;
  if (updatedReplicas < wanted) return going(`Waiting for deployment ${name} rollout to finish: ${String(updatedReplicas)} out of ${String(wanted)} new replicas have been updated...`);
  if (replicas > updatedReplicas) return going(`Waiting for deployment ${name} rollout to finish: ${String(replicas - updatedReplicas)} old replicas are pending termination...`);
  if (availableReplicas < updatedReplicas) return going(`Waiting for deployment ${name} rollout to finish: ${String(availableReplicas)} of ${String(updatedReplicas)} updated replicas are available...`);
  return ended(`deployment ${name} successfully rolled out`);
}

function daemonSet({ metadata = {}, spec = {}, status = {} }: Rolling): RolloutStatus {
  const name = JSON.stringify(metadata.name ?? '');
  if (spec.updateStrategy?.type === 'OnDelete') return { text: '', done: true, failed: 'rollout status is only available for RollingUpdate strategy type' };
  if ((metadata.generation ?? 0) > (status.observedGeneration ?? 0)) return going('Waiting for daemon set spec update to be observed...');
  const { updatedNumberScheduled = 0, desiredNumberScheduled = 0, numberAvailable = 0 } = status;
  if (updatedNumberScheduled < desiredNumberScheduled) return going(`Waiting for daemon set ${name} rollout to finish: ${String(updatedNumberScheduled)} out of ${String(desiredNumberScheduled)} new pods have been updated...`);
  if (numberAvailable < desiredNumberScheduled) return going(`Waiting for daemon set ${name} rollout to finish: ${String(numberAvailable)} of ${String(desiredNumberScheduled)} updated pods are available...`);
  return ended(`daemon set ${name} successfully rolled out`);
}

function statefulSet({ metadata = {}, spec = {}, status = {} }: Rolling): RolloutStatus {
  if (spec.updateStrategy?.type === 'OnDelete') return { text: '', done: true, failed: 'rollout status is only available for RollingUpdate strategy type' };
  if ((status.observedGeneration ?? 0) === 0 || (metadata.generation ?? 0) > (status.observedGeneration ?? 0)) return going('Waiting for statefulset spec update to be observed...');
  const { readyReplicas = 0, updatedReplicas = 0, updateRevision = '', currentRevision = '' } = status;
  const wanted = spec.replicas ?? 1;
  if (readyReplicas < wanted) return going(`Waiting for ${String(wanted - readyReplicas)} pods to be ready...`);
  const partition = spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  if (partition > 0) {
    return updatedReplicas < wanted - partition ? going(`Waiting for partitioned roll out to finish: ${String(updatedReplicas)} out of ${String(wanted - partition)} new pods have been updated...`)
      : ended(`partitioned roll out complete: ${String(updatedReplicas)} new pods have been updated...`);
  }
  if (updateRevision !== currentRevision) return going(`waiting for statefulset rolling update to complete ${String(updatedReplicas)} pods at revision ${updateRevision}...`);
  return ended(`statefulset rolling update complete ${String(status.replicas ?? 0)} pods at revision ${currentRevision}...`);
}
