import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, Pod, Volume, VolumeMount } from '#api/gen/types.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import type { ContainerConfig, RuntimeDriver } from '#agent/runtimes/types.ts';
import { removeLogFolder } from '../logs/folder.ts';
import type { PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { expandPath } from '../spec/expansion.ts';
import type { FieldFacts } from '../spec/fields.ts';
import { writeAtomically } from './atomic-writer.ts';
import { ensureEmptyDir } from './empty-dir.ts';
import { ensureHostPath } from './host-path.ts';
import { mountsBelow } from './mounts.ts';
import { volumePayload } from './payload.ts';
import { volumeTokens } from './tokens.ts';

/**
 * Makes the pod's volumes, or brings those that mirror API objects up to date. One that fails does not hold up the
 * others. Idempotent. Resolves with the milliseconds after which something in them has to be renewed, if any. `begins`:
 * nothing of the pod runs yet, so what lies in its volumes may be given to its group. `signal` ends what drivers do.
 */
export async function ensureVolumes(pod: Pod, paths: PodPaths, lookup: ObjectLookup, facts: FieldFacts, nowMs = Date.now(), begins = false, signal = new AbortController().signal): Promise<number | undefined> {
  await mkdir(paths.root, { recursive: true, mode: 0o750 });
  let failure: StatusError | undefined;
  let renewInMs: number | undefined;
  for (const volume of pod.spec?.volumes ?? []) {
    try {
      const dueMs = await ensureVolume(pod, volume, paths, lookup, facts, nowMs, begins, signal);
      if (dueMs !== undefined) renewInMs = Math.min(renewInMs ?? dueMs, dueMs);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = toStatus(error);
      failure ??= new StatusError(code, `MountVolume.SetUp failed for volume "${volume.name}" : ${message}`, { cause: error });
    }
  }
  if (failure) throw failure;
  return renewInMs;
}

async function ensureVolume(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup, facts: FieldFacts, nowMs: number, begins: boolean, signal: AbortSignal): Promise<number | undefined> {
  const dir = volumePath(volume, paths);
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  if (volume.hostPath) { await ensureHostPath(volume.hostPath); return undefined; }
  if (volume.persistentVolumeClaim ?? volume.ephemeral) return (await import('./claims.ts')).ensureClaimedVolume(pod, volume, paths, lookup, begins, signal);
  if (volume.csi && lookup.csi) return lookup.csi.ensure({ pod, volume, claimed: undefined, token: lookup.token?.bind(lookup) }, begins, signal);
  // Pulled and mounted with the first container that mounts it.
  if (volume.image) return undefined;
  if (volume.emptyDir) { await ensureEmptyDir(pod, dir, volume.emptyDir, facts.allocatable.memoryBytes); return undefined; }
  if (volume.nfs) { await (await import('./nfs.ts')).ensureNfs(dir, volume.nfs, [], signal); return undefined; }
  const unreachable = (): Promise<string> => Promise.reject(new StatusError('ServiceUnavailable', 'the control plane is not connected'));
  const tokensFile = join(paths.tokens, volume.name);
  const kept = volume.projected && await lookup.secretVolumes?.kept(tokensFile) || new Map<string, string>();
  const inUse = (path: string): Promise<string | undefined> => readFile(join(dir, '..data', path), 'utf8').catch(() => kept.get(path));
  const projected = await volumeTokens(pod, volume, inUse, (request) => lookup.token?.(request) ?? unreachable(), nowMs);
  const payload = volumePayload(pod, volume, lookup, facts, projected?.tokens);
  if (!payload) throw new StatusError('Invalid', 'this type of volume is not supported on this node; use emptyDir, hostPath, image, nfs, csi, persistentVolumeClaim, ephemeral, configMap, secret, downwardAPI or projected');
  if (projected && !sameTokens(projected.tokens, kept)) await lookup.secretVolumes?.keep(tokensFile, projected.tokens);
  if (hasSecrets(volume)) await lookup.secretVolumes?.prepare(dir, begins);
  await writeAtomically(dir, payload, fsGroup);
  return projected?.renewInMs;
}

function sameTokens(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, token]) => b.get(path) === token);
}

function hasSecrets({ secret, projected }: Volume): boolean {
  return (secret ?? projected?.sources?.find((source) => source.secret ?? source.serviceAccountToken)) !== undefined;
}

function volumePath(volume: Volume, paths: PodPaths): string {
  return volume.hostPath ? volume.hostPath.path : join(paths.volumes, volume.name);
}

/** The container's mounts; volumes must be there. `recursiveReadOnly`: the runtime can make mounts inside of a mount read-only, too. */
export async function containerMounts(pod: Pod, container: Container, paths: PodPaths, env: ContainerConfig['env'], lookup?: ObjectLookup, recursiveReadOnly = false): Promise<ContainerConfig['mounts'][number][]> {
  const values = new Map(env.map(({ name, value }) => [name, value]));
  const mounts: ContainerConfig['mounts'][number][] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const volume = pod.spec?.volumes?.find((v) => v.name === mount.name);
    if (!volume) throw new StatusError('NotFound', `volume "${mount.name}" of container "${container.name}" not found in pod`);
    const subPath = mount.subPathExpr ? expandPath(mount.subPathExpr, values) : mount.subPath ?? '';
    const base = await volumeFolder(pod, volume, paths, lookup);
    mounts.push({
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      hostPath: subPath === '' ? base : await partOf(base, subPath, join(paths.subPaths, container.name, String(index)), volume, mount.mountPropagation),
      readOnly: (mount.readOnly ?? false) || (volume.persistentVolumeClaim?.readOnly ?? false) || (volume.nfs?.readOnly ?? false) || (volume.csi?.readOnly ?? false) || mirrorsObjects(volume) || volume.image !== undefined,
      propagation: mount.mountPropagation === 'HostToContainer' || mount.mountPropagation === 'Bidirectional' ? mount.mountPropagation : 'None',
      ...(isRecursive(mount, recursiveReadOnly) && { recursiveReadOnly: true }),
    });
  }
  return mounts;
}

/** Where a volume of the pod is. Rejects when it is a server's that does not answer. */
async function volumeFolder(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup | undefined): Promise<string> {
  if (lookup && (volume.persistentVolumeClaim ?? volume.ephemeral)) {
    const { claimedFolder, volumeOf } = await import('./claims.ts');
    const folder = claimedFolder(pod, volume, paths, lookup);
    const { nfs } = volumeOf(pod, volume, lookup).spec ?? {};
    if (nfs) await (await import('./nfs.ts')).nfsAnswers(folder, nfs);
    return folder;
  }
  if (volume.csi && lookup?.csi) return lookup.csi.path({ pod, volume, claimed: undefined });
  const folder = volumePath(volume, paths);
  if (volume.nfs) await (await import('./nfs.ts')).nfsAnswers(folder, volume.nfs);
  return folder;
}

/** Whether what is mounted inside is to be read-only, too. Rejects, in kubelet's words, where that must be and cannot. */
export function isRecursive({ name, readOnly, mountPropagation, recursiveReadOnly }: VolumeMount, possible: boolean): boolean {
  if (recursiveReadOnly !== 'Enabled' && recursiveReadOnly !== 'IfPossible') return false;
  const refuse = (why: string): never => { throw new StatusError('Invalid', `volume "${name}" requested recursive read-only mode, but it is ${why}`); };
  if (readOnly !== true) refuse('not read-only');
  if (mountPropagation !== undefined && mountPropagation !== 'None') refuse(`not compatible with propagation "${mountPropagation}"`);
  if (recursiveReadOnly === 'Enabled' && !possible) refuse('not supported by the runtime');
  return possible;
}

/** The block devices that a container is given volumes as. */
export async function containerDevices(pod: Pod, container: Container, paths: PodPaths, lookup: ObjectLookup): Promise<NonNullable<ContainerConfig['devices']>> {
  return Promise.all((container.volumeDevices ?? []).map(async ({ name, devicePath }) => {
    const volume = pod.spec?.volumes?.find((v) => v.name === name);
    if (!volume) throw new StatusError('NotFound', `volume "${name}" of container "${container.name}" not found in pod`);
    return { containerPath: devicePath, ...await (await import('./claims.ts')).claimedDevice(pod, volume, paths, lookup) };
  }));
}

function mirrorsObjects(volume: Volume): boolean {
  return (volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected) !== undefined;
}

/**
 * A part of a volume. Where containers write, what is mounted must be what was looked at; one that is given mounts of
 * the host's (Bidirectional) is privileged, and what it mounts there has to reach the volume.
 */
async function partOf(base: string, subPath: string, target: string, volume: Volume, propagation: string | undefined): Promise<string> {
  const { openSubPath, pinSubPath } = await import('./sub-path.ts');
  const part = await openSubPath(base, subPath, volume.image === undefined);
  try {
    if (mirrorsObjects(volume) || volume.image !== undefined || propagation === 'Bidirectional') return part.path;
    await pinSubPath(part, target);
    return target;
  } finally {
    await part.handle.close();
  }
}

/** Lets go of parts of volumes, which would keep these from being unmounted. */
export async function releaseSubPaths({ subPaths }: PodPaths): Promise<void> {
  if (await lstat(subPaths).catch(() => undefined)) await (await import('./sub-path.ts')).unpinSubPaths(subPaths);
}

/** Unmounts what was mounted and removes everything of the pod. hostPath volumes are not below it. */
export async function removePodFiles(paths: PodPaths, driver: ImageKeeper, signal: AbortSignal): Promise<void> {
  await removeVolumes(paths, driver, signal);
  await removeLogFolder(paths.root);
  await rm(paths.root, { recursive: true, force: true });
}

/** Who keeps images that are volumes. */
export type ImageKeeper = Pick<RuntimeDriver, 'releaseImage'>;

/** Unmounts a pod's volumes of images, and lets the runtime remove these again. */
export async function releaseImageVolumes(paths: PodPaths, driver: ImageKeeper, signal: AbortSignal): Promise<void> {
  const held = await readdir(paths.imageVolumes).catch(() => []);
  if (held.length === 0) return;
  const { imageVolumeKey } = await import('./image-volumes.ts');
  for (const name of held) {
    for (const mount of await mountsBelow(join(paths.volumes, name))) await execOk('umount', ['-l', mount]);
    await driver.releaseImage(imageVolumeKey(paths, name), signal);
  }
  await rm(paths.imageVolumes, { recursive: true });
}

/** Of a pod of which nothing runs any more: removes what its volumes hold, gives back the ids of its users, and leaves its logs. */
export async function removeVolumes(paths: PodPaths, driver: ImageKeeper, signal: AbortSignal): Promise<void> {
  await releaseSubPaths(paths);
  for (const mount of await mountsBelow(paths.volumes)) await execOk('umount', ['-l', mount]);
  await releaseImageVolumes(paths, driver, signal);
  await rm(paths.volumes, { recursive: true, force: true });
  await rm(paths.tokens, { recursive: true, force: true });
  await rm(paths.users, { recursive: true, force: true });
}
