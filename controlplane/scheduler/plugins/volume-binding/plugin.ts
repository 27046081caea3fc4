import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { persistentVolumeClaims, persistentVolumes } from '#api/kinds/resources.ts';
import { keyOf } from '#api/meta/object.ts';
import { compareQuantities } from '#api/meta/quantity.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { annotations, findVolume, isFor, isFullyBound, storageClassOf } from '#api/volumes/binding.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { matchesTerm } from '#api/pod-spec/node-selector.ts';
import { PluginArgs } from '../../plugin-args.ts';
import type { CycleState, NodeInfo, Plugin, PluginHandle, PodInfo, Rejection, StateKey, Storage } from '../../types.ts';

const noProvisioner = 'kubernetes.io/no-provisioner';
/** How long volumes may take to be made before the pod is tried anew, perhaps elsewhere. */
const bindTimeoutSeconds = 600;

const conflict: Rejection = { reasons: ["node(s) didn't match PersistentVolume's node affinity"], resolvable: false };
const noVolumes: Rejection = { reasons: ["node(s) didn't find available persistent volumes to bind"], resolvable: false };
const noSpace: Rejection = { reasons: ['node(s) did not have enough free storage'], resolvable: false };
const lost: Rejection = { reasons: ['node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)'], resolvable: false };

/** A pod's claims: those that have a volume, and those that wait for the pod to have a node. */
interface Claims { readonly bound: readonly PersistentVolumeClaim[]; readonly waiting: readonly PersistentVolumeClaim[] }
/** By claim, the volume that the node has for it; none: one is to be made there. */
type Choice = ReadonlyMap<PersistentVolumeClaim, PersistentVolume | undefined>;

const claimsKey: StateKey<Claims> = { plugin: 'VolumeBinding' };
const choicesKey: StateKey<Map<string, Choice>> = { plugin: 'VolumeBinding' };

/** Keeps pods where their volumes are, and has volumes bound, or made, where pods go. */
export function volumeBinding({ api, storage, args, clock = systemClock, assumedVolumes: assumed = new Map<string, string>() }: PluginHandle): Plugin {
  const timeoutMs = 1000 * new PluginArgs(args, 'VolumeBinding', ['bindTimeoutSeconds']).integer('bindTimeoutSeconds', { default: bindTimeoutSeconds, min: 0 });
  return {
    name: 'VolumeBinding',
    events: ['claim-changed', 'volumes-changed', 'node-added', 'node-labels-changed', 'assigned-pod-deleted'],
    helps(pod, { type, claim }) {
      return type !== 'claim-changed' || claim === undefined
        || (claim.metadata?.namespace === pod.namespace && pod.claimNames.includes(claim.metadata?.name ?? ''));
    },
    preFilter(pod, _, state) {
      if (storage === undefined || pod.claimNames.length === 0) return 'skip';
      const found = claimsOf(storage, pod, namesOf(pod));
      if ('reasons' in found) return { rejection: found };
      state.set(claimsKey, found);
      state.set(choicesKey, new Map());
      return undefined;
    },
    filter(pod, node, state) {
      const claims = state.get(claimsKey);
      if (storage === undefined || claims === undefined) return undefined;
      for (const claim of claims.bound) {
        const volume = storage.volumes.get(undefined, claim.spec?.volumeName ?? '');
        if (volume === undefined) return lost;
        if (!isReachable(volume, node)) return conflict;
      }
      const choice = choose(storage, claims.waiting, node, (volume) => (assumed.get(volume) ?? pod.uid) === pod.uid);
      if ('reasons' in choice) return choice;
      state.get(choicesKey)?.set(node.name, choice);
      return undefined;
    },
    reserve(pod, nodeName, state) {
      for (const volume of chosen(state, nodeName)) assumed.set(volume, pod.uid);
      return undefined;
    },
    unreserve(pod) {
      for (const [volume, uid] of assumed) if (uid === pod.uid) assumed.delete(volume);
    },
    async preBind(pod, nodeName, state, signal) {
      const choice = state.get(choicesKey)?.get(nodeName);
      if (storage === undefined || choice === undefined || choice.size === 0) return;
      for (const [claim, volume] of choice) {
        const { name = '', namespace, uid } = claim.metadata ?? {};
        if (volume === undefined) await api.patch(persistentVolumeClaims, namespace, name, 'merge', { metadata: { annotations: { [annotations.selectedNode]: nodeName } } });
        else if (volume.spec?.claimRef?.uid !== uid) {
          await api.update(persistentVolumes, {
            ...volume, metadata: { ...volume.metadata, annotations: { ...volume.metadata?.annotations, ...(volume.spec?.claimRef === undefined && { [annotations.boundByController]: 'yes' }) } },
            spec: { ...volume.spec, claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid } },
          });
        }
      }
      await untilBound(storage, clock, [...choice.keys()], timeoutMs, signal);
      for (const [volume, uid] of assumed) if (uid === pod.uid) assumed.delete(volume);
    },
  };
}

function namesOf({ pod }: PodInfo): { name: string; ephemeral: boolean }[] {
  return (pod.spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }): { name: string; ephemeral: boolean }[] => {
    if (persistentVolumeClaim) return [{ name: persistentVolumeClaim.claimName, ephemeral: false }];
    return ephemeral ? [{ name: `${pod.metadata?.name ?? ''}-${name}`, ephemeral: true }] : [];
  });
}

function claimsOf({ claims, classes }: Storage, { namespace, uid, pod }: PodInfo, names: ReturnType<typeof namesOf>): Claims | Rejection {
  const refuse = (reason: string): Rejection => ({ reasons: [reason], resolvable: false });
  const bound: PersistentVolumeClaim[] = [];
  const waiting: PersistentVolumeClaim[] = [];
  for (const { name, ephemeral } of names) {
    const claim = claims.get(namespace, name);
    if (claim === undefined) return refuse(ephemeral ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"` : `persistentvolumeclaim "${name}" not found`);
    if (claim.status?.phase === 'Lost') return refuse(`persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`);
    if (claim.metadata?.deletionTimestamp !== undefined) return refuse(`persistentvolumeclaim "${name}" is being deleted`);
    if (ephemeral && !claim.metadata?.ownerReferences?.some((owner) => owner.uid === uid && owner.controller)) return refuse(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata?.name ?? ''} (pod is not owner)`);
    if (isFullyBound(claim)) bound.push(claim);
    else if (classes.get(undefined, storageClassOf(claim))?.volumeBindingMode === 'WaitForFirstConsumer' && !claim.spec?.volumeName) waiting.push(claim);
    else return refuse('pod has unbound immediate PersistentVolumeClaims');
  }
  return { bound, waiting };
}

function isReachable({ spec }: PersistentVolume, node: NodeInfo): boolean {
  const terms = spec?.nodeAffinity?.required?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => matchesTerm(term, node));
}

/** What the node has for the claims, or can be made there; or why that is not enough. */
function choose(storage: Storage, waiting: readonly PersistentVolumeClaim[], node: NodeInfo, isOurs: (volume: string) => boolean): Choice | Rejection {
  const { classes, volumes } = storage;
  const choice = new Map<PersistentVolumeClaim, PersistentVolume | undefined>();
  const taken = new Set<string>();
  for (const claim of waiting) {
    const selected = claim.metadata?.annotations?.[annotations.selectedNode];
    const volume = findVolume(claim, volumes.list(), (one) => isReachable(one, node) && !taken.has(one.metadata?.name ?? '') && isOurs(one.metadata?.name ?? ''));
    if (volume === undefined) {
      const storageClass = classes.get(undefined, storageClassOf(claim));
      const isMade = storageClass !== undefined && storageClass.provisioner !== noProvisioner && claim.spec?.selector === undefined;
      if (!isMade || (selected !== undefined && selected !== node.name) || !isAllowed(storageClass.allowedTopologies, node)) return noVolumes;
      if (!hasSpace(storage, claim, storageClass, node)) return noSpace;
    } else taken.add(volume.metadata?.name ?? '');
    choice.set(claim, volume);
  }
  return choice;
}

function isAllowed(terms: NonNullable<ReturnType<Storage['classes']['get']>>['allowedTopologies'], { labels }: NodeInfo): boolean {
  return terms === undefined || terms.length === 0
    || terms.some(({ matchLabelExpressions = [] }) => matchLabelExpressions.every(({ key, values }) => values.includes(labels[key] ?? '')));
}

/** Where a driver says how much can be made where, there must be enough; the claim's size counts, not what others take meanwhile. */
function hasSpace({ csi }: Storage, claim: PersistentVolumeClaim, { metadata, provisioner }: StorageClass, { labels }: NodeInfo): boolean {
  if (!csi?.drivers.get(undefined, provisioner)?.spec?.storageCapacity) return true;
  const wanted = claim.spec?.resources?.requests?.['storage'] ?? '0';
  return csi.capacities.list().some(({ storageClassName, nodeTopology, capacity, maximumVolumeSize }) => storageClassName === metadata?.name
    && nodeTopology !== undefined && matchesLabels(requirementsOf(nodeTopology), labels) && compareQuantities(maximumVolumeSize ?? capacity ?? '0', wanted) >= 0);
}

function chosen(state: CycleState, nodeName: string): string[] {
  return [...state.get(choicesKey)?.get(nodeName)?.values() ?? []].flatMap((volume) => volume?.metadata?.name ?? []);
}

/** Resolves when the binder is done with all of them; rejects when it takes too long, or says that it failed here. */
async function untilBound({ claims, volumes }: Storage, clock: Clock, waiting: readonly PersistentVolumeClaim[], timeoutMs: number, signal: AbortSignal): Promise<void> {
  const isDone = (claim: PersistentVolumeClaim): boolean => {
    const { name = '', namespace, uid } = claim.metadata ?? {};
    const now = claims.get(namespace, name);
    if (now?.metadata?.uid !== uid) throw new StatusError('Conflict', `persistentvolumeclaim "${name}" is gone`);
    if (!now || !isFullyBound(now)) return false;
    const volume = volumes.get(undefined, now.spec?.volumeName ?? '');
    return volume !== undefined && isFor(volume, now);
  };
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const keys = new Set(waiting.map(keyOf));
  const look = (): void => {
    try {
      if (waiting.every(isDone)) resolve(undefined);
    } catch (error) {
      reject(error as Error);
    }
  };
  const stop = (): void => { reject(signal.reason as Error); };
  const ends = [
    claims.subscribe(({ object, old }) => { if (keys.has(keyOf(object ?? old ?? {}))) look(); }), volumes.subscribe(look),
    clock.after(timeoutMs, () => { reject(new StatusError('Timeout', 'binding volumes: context deadline exceeded')); }),
  ];
  signal.addEventListener('abort', stop, { once: true });
  try {
    look();
    await promise;
  } finally {
    signal.removeEventListener('abort', stop);
    for (const end of ends) end();
  }
}
