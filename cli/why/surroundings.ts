import type { Node, Pod, PodCondition } from '#api/gen/types.ts';
import { humanAge } from '../printing/age.ts';
import { lastEvent, sentence } from './containers.ts';
import type { ClaimFacts, Finding, PodFacts } from './types.ts';

/** What is wrong with the node that the pod is on. */
export function explainNode({ pod, nodes, lease, nowMs }: PodFacts): readonly Finding[] {
  const name = pod.spec?.nodeName;
  if (name === undefined || name === '') return [];
  const node = nodes.find(({ metadata }) => metadata?.name === name);
  if (!node) return [{ cause: 'Node', says: `Its node ${name} is not part of the cluster any more.`, helps: [`Start the agent on ${name} again, or delete the pod: a controller makes another elsewhere.`] }];
  const condition = (type: string) => node.status?.conditions?.find((one) => one.type === type);
  const ready = condition('Ready');
  const findings: Finding[] = [];
  if (ready?.status !== 'True') {
    const heard = lease?.spec?.renewTime;
    const silent = ready?.status !== 'False';
    findings.push({
      cause: 'Node',
      says: silent ? `The agent of its node ${name} is not heard of${heard === undefined ? '' : `, for ${humanAge(nowMs - Date.parse(heard))}`}: what is known of the pod is from then. Its containers may well run on.` : `Its node ${name} is not ready: ${sentence(ready.message ?? ready.reason ?? '')}`,
      helps: [...(silent ? [`See whether ${name} is on, on the network, and runs its agent (cleat agent).`] : [`See what it says: cleat describe node ${name}`]), ...movesWhen(pod, node, nowMs)],
    });
  }
  for (const [type, of] of [['MemoryPressure', 'memory'], ['DiskPressure', 'disk'], ['PIDPressure', 'process ids']] as const) {
    if (condition(type)?.status === 'True') findings.push({ cause: 'Node', says: `Its node ${name} is short of ${of}: ${sentence(condition(type)?.message ?? '')}`, helps: [`Free some ${of} there: cleat top pods -A, cleat describe node ${name}`] });
  }
  return findings;
}

/** When a pod is replaced because of its node's NoExecute taints. */
function movesWhen(pod: Pod, node: Node, nowMs: number): string[] {
  const moves = (node.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute').map((taint) => {
    const tolerations = (pod.spec?.tolerations ?? []).filter(({ key, operator, value, effect }) => (key === undefined || key === taint.key) && (effect === undefined || effect === '' || effect === taint.effect) && (operator === 'Exists' || (value ?? '') === (taint.value ?? '')));
    if (tolerations.length === 0) return 0;
    const seconds = tolerations.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
    return seconds.length === 0 ? Number.POSITIVE_INFINITY : Math.max(0, Date.parse(taint.timeAdded ?? '') + Math.min(...seconds) * 1000 - nowMs);
  });
  if (moves.length === 0) return [];
  const first = Math.min(...moves);
  if (first === Number.POSITIVE_INFINITY) return ['The pod tolerates that for ever: it is not replaced elsewhere until somebody deletes it.'];
  return [first <= 0 || Number.isNaN(first) ? 'The pod is being replaced elsewhere, where a controller keeps it.' : `Else the pod is replaced elsewhere in ${humanAge(first)}, where a controller keeps it.`];
}

/** Volumes, network and what else must be there before containers start. Only for a pod whose containers have not. */
export function explainPreparation({ pod, events, claims }: PodFacts): readonly Finding[] {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const creating = statuses.length === 0 || statuses.some(({ state }) => state?.waiting?.reason === 'ContainerCreating' || state?.waiting?.reason === 'PodInitializing');
  if (!creating || !pod.spec?.nodeName) return claims.flatMap(explainClaim);
  const findings: Finding[] = claims.flatMap(explainClaim);
  const scheduled = lastEvent(events, 'Scheduled');
  const fresh = scheduled ? events.slice(events.indexOf(scheduled)) : events;
  const mount = lastEvent(fresh, 'FailedMount') ?? lastEvent(fresh, 'FailedAttachVolume') ?? lastEvent(fresh, 'FailedMapVolume');
  if (mount) findings.push({ cause: 'Volume', says: `A volume cannot be made ready: ${sentence(mount.message ?? '')}`, helps: volumeHelp(mount.message ?? '', pod) });
  const sandbox = lastEvent(fresh, 'FailedCreatePodSandBox') ?? lastEvent(fresh, 'NetworkNotReady');
  if (sandbox) findings.push({ cause: 'Sandbox', says: `The node cannot make the pod's sandbox: ${sentence(sandbox.message ?? '')}`, helps: [`See the runtime and the network of the node: cleat describe node ${pod.spec.nodeName}`] });
  return findings;
}

function volumeHelp(message: string, { metadata }: Pod): string[] {
  const [, kind, name] = /(secret|configmap|persistentvolumeclaim) "([^"]+)" not found/i.exec(message) ?? [];
  if (kind !== undefined) return [`Make it: ${kind.toLowerCase() === 'secret' ? 'a Secret' : kind.toLowerCase() === 'configmap' ? 'a ConfigMap' : 'a PersistentVolumeClaim'} ${name ?? ''} in namespace ${metadata?.namespace ?? ''}. The pod goes on by itself then.`, 'Or mark the volume optional.'];
  if (/hostPath type check failed/.test(message)) return ['Make the path on the host, or use type: DirectoryOrCreate.'];
  return ['Mend what it says; the pod goes on by itself then.'];
}

/** A claim that is not bound. */
function explainClaim({ name, claim, events }: ClaimFacts): readonly Finding[] {
  if (!claim) return [{ cause: 'Claim', says: `Its claim ${name} does not exist.`, helps: [`Make the PersistentVolumeClaim ${name}, or name another in spec.volumes.`] }];
  const { status, spec } = claim;
  if (status?.phase === 'Bound') return [];
  const className = spec?.storageClassName;
  if (status?.phase === 'Lost') return [{ cause: 'Claim', says: `Its claim ${name} has lost its volume ${spec?.volumeName ?? ''}.`, helps: ['Restore the volume, or make the claim anew.'] }];
  const event = events.findLast(({ type }) => type === 'Warning') ?? events.at(-1);
  if (event?.reason === 'WaitForFirstConsumer' || event?.reason === 'WaitForPodScheduled') return [];
  return [{
    cause: 'Claim', says: `Its claim ${name} (${spec?.resources?.requests?.['storage'] ?? 'any size'}, ${className === undefined ? 'no class' : `class ${className === '' ? 'none' : className}`}) is not bound to a volume${event?.message ? `: ${sentence(event.message)}` : '.'}`,
    helps: [/storageclass.*not found/i.test(event?.message ?? '') ? `Make the StorageClass ${className ?? ''}, or name one that there is: cleat get storageclass` : 'Make a PersistentVolume that fits, or name a StorageClass that makes volumes: cleat get storageclass', `cleat describe pvc ${name} -n ${claim.metadata?.namespace ?? ''}`],
  }];
}

/** A pod that somebody deleted and that is not gone. */
export function explainDeletion({ pod, nodes, nowMs }: PodFacts): readonly Finding[] {
  const { deletionTimestamp, deletionGracePeriodSeconds = 30, finalizers = [], name = '', namespace = '' } = pod.metadata ?? {};
  if (deletionTimestamp === undefined) return [];
  const leftMs = Date.parse(deletionTimestamp) - nowMs;
  const running = (pod.status?.containerStatuses ?? []).some(({ state }) => state?.running);
  if (finalizers.length > 0 && !running) return [{ cause: 'Deletion', says: `It is deleted, and kept only by ${finalizers.length === 1 ? 'the finalizer' : 'the finalizers'} ${finalizers.join(', ')}.`, helps: ['Whoever set them takes them out when their work is done. Where nobody will:', `cleat patch pod ${name} -n ${namespace} --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`] }];
  const node = nodes.find(({ metadata }) => metadata?.name === pod.spec?.nodeName);
  const silent = node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'Unknown';
  if (silent || (pod.spec?.nodeName !== undefined && !node)) return [{ cause: 'Deletion', says: `It is deleted, but its node ${pod.spec?.nodeName ?? ''} cannot be asked to end it.`, helps: [`If the host is dead for sure: cleat node fence ${pod.spec?.nodeName ?? ''}`, `Or forget the pod: cleat delete pod ${name} -n ${namespace} --force --grace-period=0`] }];
  return [leftMs > 0
    ? { cause: 'Deletion', says: `It is being ended: its containers have ${humanAge(leftMs)} of ${String(deletionGracePeriodSeconds)} s left to stop.`, helps: ['Wait.'] }
    : { cause: 'Deletion', says: `It is being ended, and late: its time was over ${humanAge(-leftMs)} ago.`, helps: [`See what the node says: cleat describe pod ${name} -n ${namespace}`] }];
}

const disruptions: Readonly<Record<string, string>> = {
  PreemptionByScheduler: 'It had to make room for a pod of higher priority',
  DeletionByTaintManager: 'It was taken off its node because of a taint there',
  EvictionByEvictionAPI: 'Somebody evicted it, as draining a node does',
  DeletionByPodGC: 'Its node was gone',
  ImageNotForNode: 'Its image is not made for the architecture of the node that it was put on, and another node can have it',
  TerminationByKubelet: 'Its node ended it, for it was short of something or was shut down',
};

/** Why a pod was ended by somebody other than its user. */
export function explainDisruption({ pod }: PodFacts): readonly Finding[] {
  const found = pod.status?.conditions?.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True');
  if (!found) return [];
  return [{ cause: 'Disruption', says: `${disruptions[found.reason ?? ''] ?? `It was disrupted (${found.reason ?? ''})`}: ${sentence(found.message ?? found.reason ?? '')}`, helps: ['A pod of a Deployment, StatefulSet or Job is replaced; one that stands alone must be made anew.'] }];
}

/** What other programs must say before the pod counts as ready. */
export function explainGates({ pod }: PodFacts): readonly Finding[] {
  const missing = (pod.spec?.readinessGates ?? []).map(({ conditionType }) => [conditionType, pod.status?.conditions?.find(({ type }: PodCondition) => type === conditionType)] as const).filter(([, condition]) => condition?.status !== 'True');
  if (missing.length === 0) return [];
  return [{ cause: 'Probe', says: `It waits for the readiness ${missing.length === 1 ? 'gate' : 'gates'} ${missing.map(([type, condition]) => `${type}${condition?.message ? ` (${condition.message})` : ''}`).join(', ')}.`, helps: ['Whoever owns the condition sets it to True in the pod\'s status.'] }];
}
