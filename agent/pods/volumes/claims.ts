import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#api/gen/types.ts';
import { matchesTerm } from '#api/pod-spec/node-selector.ts';
import { annotations, isFor, isFullyBound, localPathProvisioner } from '#api/volumes/binding.ts';
import { StatusError } from '#common/errors.ts';
import { localVolumesDir, type PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { ensureHostPath } from './host-path.ts';

/** What is behind a pod's claim, which must be bound. */
function claimedPath(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup): string {
  const claimed = volumeOf(pod, volume, lookup);
  return claimed.spec?.csi && lookup.csi ? lookup.csi.path({ pod, volume, claimed }) : pathOf(claimed, volume, paths);
}

/** The block device behind a pod's claim, and what the container may do with it. */
export async function claimedDevice(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup): Promise<{ readonly hostPath: string; readonly permissions: string }> {
  if (!isBlock(volumeOf(pod, volume, lookup))) throw new StatusError('Invalid', `volume ${volume.name} has volumeMode Filesystem, but is specified in volumeDevices`);
  const hostPath = await realpath(claimedPath(pod, volume, paths, lookup));
  if (!(await stat(hostPath)).isBlockDevice()) throw new StatusError('Invalid', `${hostPath}, which volume ${volume.name} leads to, is not a block device`);
  return { hostPath, permissions: volume.persistentVolumeClaim?.readOnly === true ? 'r' : 'mrw' };
}

/** The directory behind a pod's claim, for a mount. */
export function claimedFolder(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup): string {
  if (isBlock(volumeOf(pod, volume, lookup))) throw new StatusError('Invalid', `volume ${volume.name} has volumeMode Block, but is specified in volumeMounts`);
  return claimedPath(pod, volume, paths, lookup);
}

/** Makes the directory of a local volume of ours when a pod first needs it; any other must be there. `begins`: the pod does not run yet. Resolves with the milliseconds after which to look again, if any. */
export async function ensureClaimedVolume(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup, begins = false, signal = new AbortController().signal): Promise<number | undefined> {
  const found = volumeOf(pod, volume, lookup);
  if (begins) checkPlace(found, pod.spec?.nodeName ?? '', lookup);
  if (found.spec?.csi && lookup.csi) return lookup.csi.ensure({ pod, volume, claimed: found, claim: claimOf(pod, volume, lookup), token: lookup.token?.bind(lookup) }, begins, signal);
  const path = pathOf(found, volume, paths);
  const { fsGroup, fsGroupChangePolicy } = pod.spec?.securityContext ?? {};
  if (isOurs(found)) makeLocalVolume(path, fsGroup);
  else if (isDisk(found)) await (await import('./disk.ts')).ensureDisk(found.spec?.local?.path ?? '', path, { fsType: found.spec?.local?.fsType ?? '', mountOptions: found.spec?.mountOptions ?? [], readOnly: volume.persistentVolumeClaim?.readOnly === true }, signal);
  else if (found.spec?.nfs) await (await import('./nfs.ts')).ensureNfs(path, found.spec.nfs, found.spec.mountOptions ?? [], signal);
  else if (found.spec?.hostPath) await ensureHostPath(found.spec.hostPath);
  else if (!(await stat(path).catch(() => undefined))) throw new StatusError('NotFound', `path ${JSON.stringify(path)} does not exist`);
  // Directories of the host that a volume merely points to keep the owner that they have.
  if (begins && fsGroup !== undefined && found.spec?.local && !isBlock(found) && !volume.persistentVolumeClaim?.readOnly) await (await import('./ownership.ts')).applyFsGroup(path, fsGroup, fsGroupChangePolicy);
  return undefined;
}

/** Rejects, in kubelet's words, a volume that is on other nodes alone: a pod that was bound past the scheduler would find another of that name here, or an empty one. */
function checkPlace({ metadata, spec }: PersistentVolume, nodeName: string, lookup: ObjectLookup): void {
  const labels = lookup.nodeLabels?.(nodeName);
  const terms = spec?.nodeAffinity?.required?.nodeSelectorTerms;
  if (!labels || !terms || terms.some((term) => matchesTerm(term, { name: nodeName, labels }))) return;
  throw new StatusError('Invalid', `MountVolume.NodeAffinity check failed for volume "${metadata?.name ?? ''}" : no matching NodeSelectorTerms`);
}

/** Removes the directory, if it is there, and all that is in it. */
export async function removeLocalVolume(stateDir: string, name: string): Promise<void> {
  await rm(join(localVolumesDir(stateDir), name), { recursive: true, force: true });
}

function claimNameOf({ metadata }: Pod, { name, persistentVolumeClaim }: Volume): string {
  return persistentVolumeClaim?.claimName ?? `${metadata?.name ?? ''}-${name}`;
}

/** The claim that a volume of the pod names. */
export function claimOf(pod: Pod, volume: Volume, lookup: ObjectLookup): PersistentVolumeClaim | undefined {
  return lookup.claim?.(pod.metadata?.namespace ?? '', claimNameOf(pod, volume));
}

/** What that claim is bound to. Rejects when it is not. */
export function volumeOf(pod: Pod, volume: Volume, lookup: ObjectLookup): PersistentVolume {
  const [name, claim] = [claimNameOf(pod, volume), claimOf(pod, volume, lookup)];
  if (claim === undefined) throw new StatusError('NotFound', `persistentvolumeclaim "${name}" not found`);
  if (volume.ephemeral && !isMadeFor(claim, pod)) throw new StatusError('Invalid', `PVC ${claim.metadata?.namespace ?? ''}/${name} was not created for pod ${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''} (pod is not owner)`);
  const found = isFullyBound(claim) ? lookup.volume?.(claim.spec?.volumeName ?? '') : undefined;
  if (found === undefined || !isFor(found, claim)) throw new StatusError('ServiceUnavailable', `persistentvolumeclaim "${name}" is not bound`);
  return found;
}

/** Another's may have the name that the pod's own would have. A pod that was bound past the scheduler has been looked at by nobody yet. */
function isMadeFor({ metadata }: PersistentVolumeClaim, pod: Pod): boolean {
  return metadata?.ownerReferences?.some(({ uid, controller }) => controller === true && uid === pod.metadata?.uid) === true;
}

function isBlock({ spec }: PersistentVolume): boolean { return spec?.volumeMode === 'Block'; }

function isOurs({ metadata, spec }: PersistentVolume): boolean {
  return metadata?.annotations?.[annotations.provisionedBy] === localPathProvisioner && spec?.local !== undefined;
}

/** A local volume that is a block device with a file system on it, or to come. */
function isDisk(volume: PersistentVolume): boolean {
  const { local } = volume.spec ?? {};
  return local !== undefined && !isOurs(volume) && !isBlock(volume) && statSync(local.path, { throwIfNoEntry: false })?.isBlockDevice() === true;
}

/** The control plane does not know where this host keeps its state: what the volume says is where most do. */
function pathOf(volume: PersistentVolume, { name }: Volume, { localVolumes, volumes }: PodPaths): string {
  if (volume.spec?.nfs ?? isDisk(volume)) return join(volumes, name);
  const path = isOurs(volume) ? join(localVolumes, volume.metadata?.name ?? '') : volume.spec?.local?.path ?? volume.spec?.hostPath?.path;
  if (path === undefined) throw new StatusError('Invalid', `persistentvolume "${volume.metadata?.name ?? ''}" is of a type that is not supported on this node; use local, hostPath, nfs or csi`);
  return path;
}

/**
 * Made aside, so that it appears complete; what pods make of its owner and mode later is theirs. Nothing is awaited in between: pods that
 * share the volume begin at the same time, and the second rename would take the place of a directory that is in use.
 */
function makeLocalVolume(dir: string, fsGroup: number | undefined): void {
  if (lstatSync(dir, { throwIfNoEntry: false })) return;
  const fresh = `${dir}.new`;
  mkdirSync(fresh, { recursive: true, mode: 0o755 });
  chownSync(fresh, 0, fsGroup ?? 0);
  chmodSync(fresh, fsGroup === undefined ? 0o777 : 0o2777);
  renameSync(fresh, dir);
}
