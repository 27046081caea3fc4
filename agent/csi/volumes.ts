import { lstat, mkdir, rm, rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { CSIDriver, VolumeAttachment } from '#api/gen/types.ts';
import { csiDrivers, secrets, volumeAttachments } from '#api/kinds/resources.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { attachmentName, needsAttachment } from '#api/volumes/csi.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { isMountPoint, mountsBelow } from '#agent/pods/volumes/mounts.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { grpcCode } from '#agent/plugin-call.ts';
import type { AgentEvents, VolumeAmounts, VolumeExpansion } from '#agent/session/types.ts';
import type { CsiCall } from './contract.ts';
import { Expansions } from './expansion.ts';
import { podRecords, podsDir, podVolumeFolder, readRecord, recordPath, removeEmpty, stagedFolder, stagedRecords, stagingPath, targetPath, writeRecord, type PodVolumeRecord, type VolumeRecord } from './layout.ts';
import { capabilityOf, checkMode, csiVolume, ownerGroup, publishContext, secretData, tokenContext, type CsiVolume } from './requests.ts';
import { amountsOf } from './stats.ts';
import type { Driver, PodVolume } from './types.ts';

export interface VolumesDeps {
  readonly state: DesiredState;
  readonly driver: (name: string) => Driver | undefined;
  readonly call: CsiCall;
  readonly clock: Clock;
  readonly log: Log;
  readonly events?: AgentEvents | undefined;
  /** Called when other volumes are in use than before, or have grown. */
  readonly changed: () => void;
}

export interface VolumesConfig { readonly nodeName: string; readonly kubeletDir: string }

/** As the kubelet has it. */
const callMs = 120_000;
const attachMs = 120_000;
/** Statistics are for whoever waits for them. */
const statsMs = 10_000;
/** Answers to growing that another try would get as well. */
const infeasible = new Set(['InvalidArgument', 'OutOfRange', 'NotFound']);
/** How often drivers are asked anew that want to be, such as those that renew what is in the volume. */
const republishMs = 60_000;

/**
 * Mounts and unmounts volumes through their drivers. All that is known of what is mounted is on disk (layout.ts), but
 * for what was staged in this life: a driver is asked to stage again after a restart, which is harmless by contract.
 */
export class CsiVolumes {
  readonly #deps: VolumesDeps;
  readonly #config: VolumesConfig;
  readonly #staged = new Set<string>();
  readonly #expansions = new Expansions();
  /** By folder of a pod's volume, when its driver was last asked; monotonic. */
  readonly #published = new Map<string, number>();
  /** By volume: whoever works on it last. Pods that share a volume take turns. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(deps: VolumesDeps, config: VolumesConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async ensure(about: PodVolume, begins: boolean, signal: AbortSignal): Promise<number | undefined> {
    const volume = csiVolume(about);
    const folder = podVolumeFolder(this.#config.kubeletDir, about.pod.metadata?.uid ?? '', volume.specName);
    const object = this.#deps.state.get(csiDrivers, undefined, volume.driver);
    const renewInMs = object?.spec.requiresRepublish === true ? republishMs : undefined;
    const isMounted = await isMountPoint(targetPath(folder));
    const isDue = !isMounted || (renewInMs !== undefined && this.#isDue(folder));
    const grows = this.#growsTo(volume, about) !== undefined;
    // A pod that has its volume can do without the driver.
    if (!isDue && !grows && (!begins || !this.#deps.driver(volume.driver))) return renewInMs;
    checkMode(volume, object);
    const driver = this.#driver(volume.driver);
    const attached = isDue && volume.mode === 'Persistent' && needsAttachment(object) ? await this.#attached(volume, isMounted, signal) : {};
    let againMs: number | undefined;
    await this.#inTurn(volume.driver, volume.handle, signal, async () => {
      const { fsGroup, fsGroupChangePolicy } = about.pod.spec?.securityContext ?? {};
      if (isDue) await this.#mount(volume, about, driver, object, attached, folder, isMounted, signal);
      againMs = await this.#expand(volume, about, driver, folder, begins, signal);
      const group = begins ? ownerGroup(volume, driver, object, fsGroup) : undefined;
      if (group !== undefined) await (await import('#agent/pods/volumes/ownership.ts')).applyFsGroup(targetPath(folder), group, fsGroupChangePolicy, signal);
    });
    return againMs === undefined ? renewInMs : Math.min(againMs, renewInMs ?? Infinity);
  }

  /** How large the volume is to be made here; undefined when it is, or when that is not the node's to do. */
  #growsTo(volume: CsiVolume, { claimed, claim }: PodVolume): string | undefined {
    const size = claimed && claim ? this.#expansions.wanted(claimed, claim) : undefined;
    return volume.readOnly || this.#deps.driver(volume.driver)?.capabilities.has('EXPAND_VOLUME') !== true ? undefined : size;
  }

  /**
   * Asks the driver to let the pod see that the volume has grown. A pod that runs goes on whatever comes of it; one that
   * begins does not, unless the driver can do it only while nobody uses the volume. Resolves with when to try again.
   */
  async #expand(volume: CsiVolume, about: PodVolume, driver: Driver, folder: string, begins: boolean, signal: AbortSignal): Promise<number | undefined> {
    const { call, state, clock, changed } = this.#deps;
    const size = this.#growsTo(volume, about);
    if (size === undefined) return undefined;
    const waitMs = this.#expansions.waitMs(volume.specName, clock.monotonic());
    if (waitMs > 0 && !begins) return waitMs;
    const staged = driver.capabilities.has('STAGE_UNSTAGE_VOLUME') ? stagingPath(stagedFolder(this.#config.kubeletDir, volume.driver, volume.handle)) : '';
    const request = {
      volumeId: volume.handle, volumePath: volume.isBlock || staged === '' ? targetPath(folder) : staged, capacityRange: { requiredBytes: quantityValue(size), limitBytes: 0 }, stagingTargetPath: staged,
      volumeCapability: capabilityOf(volume, driver, about.pod.spec?.securityContext?.fsGroup), secrets: secretData(volume.expandSecret, (wanted) => state.get(secrets, wanted.namespace, wanted.name)),
    };
    try {
      await call(driver.endpoint, 'NodeExpandVolume', request, callMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      const code = grpcCode(error);
      const againMs = this.#expansions.failed(volume.specName, size, messageOf(error), infeasible.has(code ?? ''), clock.monotonic());
      changed();
      this.#tell(about, 'Warning', 'VolumeResizeFailed', `NodeExpandVolume.NodeExpandVolume failed for volume "${volume.specName}" : ${messageOf(error)}`);
      if (begins && code !== 'FailedPrecondition') throw new StatusError('InternalError', `the volume could not be expanded to ${size}: ${messageOf(error)}`, { cause: error });
      return againMs;
    }
    this.#expansions.succeeded(volume.specName, size);
    changed();
    this.#tell(about, 'Normal', 'FileSystemResizeSuccessful', `MountVolume.NodeExpandVolume succeeded for volume "${volume.specName}" ${this.#config.nodeName}`);
    return undefined;
  }

  #tell({ pod: { metadata } }: PodVolume, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { name = '', namespace = '', uid = '' } = metadata ?? {};
    this.#deps.events?.emit({ kind: 'Pod', namespace, name, uid, type, reason, message, atMs: this.#deps.clock.now() });
  }

  get expansions(): readonly VolumeExpansion[] { return this.#expansions.all; }

  async stats(about: PodVolume, signal: AbortSignal): Promise<VolumeAmounts | undefined> {
    const volume = csiVolume(about);
    const driver = this.#deps.driver(volume.driver);
    const volumePath = targetPath(podVolumeFolder(this.#config.kubeletDir, about.pod.metadata?.uid ?? '', volume.specName));
    if (driver?.capabilities.has('GET_VOLUME_STATS') !== true || !await isMountPoint(volumePath)) return undefined;
    const stagingTargetPath = volume.mode === 'Persistent' && driver.capabilities.has('STAGE_UNSTAGE_VOLUME') ? stagingPath(stagedFolder(this.#config.kubeletDir, volume.driver, volume.handle)) : '';
    return amountsOf(await this.#deps.call(driver.endpoint, 'NodeGetVolumeStats', { volumeId: volume.handle, volumePath, stagingTargetPath }, statsMs, signal));
  }

  #isDue(folder: string): boolean { return this.#deps.clock.monotonic() - (this.#published.get(folder) ?? -Infinity) >= republishMs; }

  async #mount(volume: CsiVolume, about: PodVolume, driver: Driver, object: CSIDriver | undefined, attached: Readonly<Record<string, string>>, folder: string, mounted: boolean, signal: AbortSignal): Promise<void> {
    const { call, state, clock } = this.#deps;
    const secret = (name: CsiVolume['stageSecret']): Record<string, string> => secretData(name, (wanted) => state.get(secrets, wanted.namespace, wanted.name));
    const [stageSecrets, publishSecrets] = [secret(volume.stageSecret), secret(volume.publishSecret)];
    const { metadata, spec } = about.pod;
    const record: VolumeRecord = { driverName: volume.driver, volumeHandle: volume.handle, volumeLifecycleMode: volume.mode };
    const volumeCapability = capabilityOf(volume, driver, spec?.securityContext?.fsGroup);
    const volumeContext = { ...publishContext(volume, about, object), ...await tokenContext(about, object) };
    if (!mounted && volume.accessModes.includes('ReadWriteOncePod') && await this.#hasOthers(volume.driver, volume.handle, folder)) {
      throw new StatusError('Conflict', 'volume uses the ReadWriteOncePod access mode and is already in use by another pod');
    }
    // From here on the pod uses the volume, whatever becomes of us.
    if (!mounted) await writeRecord(folder, record, { specVolID: volume.specName, nodeName: this.#config.nodeName, podName: metadata?.name ?? '', podNamespace: metadata?.namespace ?? '' });
    this.#deps.changed();
    const staged = stagedFolder(this.#config.kubeletDir, volume.driver, volume.handle);
    const stages = volume.mode === 'Persistent' && driver.capabilities.has('STAGE_UNSTAGE_VOLUME');
    const stagingTargetPath = stages ? stagingPath(staged) : '';
    const asked = { volumeId: volume.handle, publishContext: attached, stagingTargetPath, volumeCapability };
    if (stages && !mounted && !this.#staged.has(staged)) {
      await writeRecord(staged, record);
      await mkdir(stagingTargetPath, { recursive: true, mode: 0o750 });
      await call(driver.endpoint, 'NodeStageVolume', { ...asked, secrets: stageSecrets, volumeContext: volume.attributes }, callMs, signal);
      this.#staged.add(staged);
    }
    await call(driver.endpoint, 'NodePublishVolume', { ...asked, targetPath: targetPath(folder), readonly: volume.readOnly, secrets: publishSecrets, volumeContext }, callMs, signal);
    this.#published.set(folder, clock.monotonic());
    // What a pod writes into a mere directory would be lost, and nobody would know.
    if (volume.mode === 'Persistent' && !await isMountPoint(targetPath(folder))) throw new StatusError('InternalError', `the CSI driver ${volume.driver} says that the volume is published, but nothing is mounted at ${targetPath(folder)}`);
  }

  /** What the attacher has said of the volume; waits until it is attached. */
  async #attached({ driver, handle, specName }: CsiVolume, mounted: boolean, signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const { state, clock } = this.#deps;
    const name = attachmentName(driver, handle, this.#config.nodeName);
    const current = (): VolumeAttachment | undefined => {
      const found = state.get(volumeAttachments, undefined, name);
      // One that is being deleted may be detached already.
      return found?.metadata?.deletionTimestamp === undefined ? found : undefined;
    };
    const isAttached = (): boolean => current()?.status?.attached === true;
    if (!mounted && !isAttached()) await new Promise<void>((resolve, reject) => {
      const end = (settle: () => void): void => { cancel(); unsubscribe(); signal.removeEventListener('abort', abort); settle(); };
      const abort = (): void => { end(() => { reject(signal.reason as Error); }); };
      const cancel = clock.after(attachMs, () => {
        const why = current()?.status?.attachError?.message;
        end(() => { reject(new StatusError('Timeout', `volume "${specName}" is not attached to this node${why === undefined ? `: the attacher of ${driver} has not said so within ${String(attachMs / 1000)} s` : `: ${why}`}`)); });
      });
      const unsubscribe = state.subscribe(() => { if (isAttached()) end(resolve); });
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
    return current()?.status?.attachmentMetadata ?? {};
  }

  async release(podUid: string, signal: AbortSignal): Promise<void> {
    for (const record of await podRecords(this.#config.kubeletDir, podUid)) await this.#inTurn(record.driverName, record.volumeHandle, signal, () => this.#unmount(record, signal));
  }

  /** The record goes last: until then all of this is done again after a crash. */
  async #unmount(record: PodVolumeRecord, signal: AbortSignal): Promise<void> {
    const { driverName, volumeHandle, folder, podUid } = record;
    const { endpoint } = this.#driver(driverName);
    const target = targetPath(folder);
    this.#published.delete(folder);
    await this.#deps.call(endpoint, 'NodeUnpublishVolume', { volumeId: volumeHandle, targetPath: target }, callMs, signal).catch(unlessUnknown);
    await takeAway(target, record.volumeLifecycleMode === 'Ephemeral');
    if (!await this.#hasOthers(driverName, volumeHandle, folder)) {
      await this.#unstage(record, signal);
      this.#expansions.forget(basename(folder));
    }
    await rm(recordPath(folder), { force: true });
    await removeEmpty(folder, podsDir(this.#config.kubeletDir));
    this.#deps.log.debug({ uid: podUid, driver: driverName, volume: volumeHandle }, 'volume unmounted');
    this.#deps.changed();
  }

  /** Whether a pod has the volume apart from the one whose folder that is. */
  async #hasOthers(driver: string, handle: string, folder: string): Promise<boolean> {
    return (await podRecords(this.#config.kubeletDir)).some((other) => other.folder !== folder && other.driverName === driver && other.volumeHandle === handle);
  }

  async #unstage({ driverName, volumeHandle }: VolumeRecord, signal: AbortSignal): Promise<void> {
    const folder = stagedFolder(this.#config.kubeletDir, driverName, volumeHandle);
    if (!await readRecord(folder)) return;
    this.#staged.delete(folder);
    await this.#deps.call(this.#driver(driverName).endpoint, 'NodeUnstageVolume', { volumeId: volumeHandle, stagingTargetPath: stagingPath(folder) }, callMs, signal).catch(unlessUnknown);
    await takeAway(stagingPath(folder), false);
    await rm(recordPath(folder), { force: true });
    await removeEmpty(folder, dirname(dirname(folder)));
  }

  /** What pods that are gone have left, of drivers that are here. */
  async clean(isPresent: (podUid: string) => boolean, signal: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    const warn = (driver: string, error: unknown): void => { if (!signal.aborted) log.warn({ driver, err: messageOf(error) }, 'a volume of a pod that is gone cannot be unmounted'); };
    for (const record of await podRecords(this.#config.kubeletDir)) {
      if (isPresent(record.podUid) || !this.#deps.driver(record.driverName)) continue;
      await this.#inTurn(record.driverName, record.volumeHandle, signal, async () => { if (await readRecord(record.folder)) await this.#unmount(record, signal); }).catch((error: unknown) => { warn(record.driverName, error); });
    }
    for (const record of await stagedRecords(this.#config.kubeletDir)) {
      if (!this.#deps.driver(record.driverName)) continue;
      await this.#inTurn(record.driverName, record.volumeHandle, signal, async () => {
        const used = (await podRecords(this.#config.kubeletDir)).some(({ driverName, volumeHandle }) => driverName === record.driverName && volumeHandle === record.volumeHandle);
        if (!used) await this.#unstage(record, signal);
      }).catch((error: unknown) => { warn(record.driverName, error); });
    }
  }

  #driver(name: string): Driver {
    const found = this.#deps.driver(name);
    if (!found) throw new StatusError('NotFound', `driver name ${name} not found in the list of registered CSI drivers`);
    return found;
  }

  async #inTurn(driver: string, handle: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const key = `${driver}^${handle}`;
    const before = this.#turns.get(key);
    const turn = (async () => {
      await before?.catch(() => undefined);
      signal.throwIfAborted();
      await work();
    })();
    this.#turns.set(key, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    }
  }
}

/** What a driver does not know of is not mounted by it. */
function unlessUnknown(error: unknown): void {
  if (!isStatus(error, 'NotFound')) throw error;
}

/** The driver has said that it is done: whatever is mounted there still is not to stay, and what was mounted is never looked into. */
export async function takeAway(path: string, withContent: boolean): Promise<void> {
  for (const mount of await mountsBelow(path)) await execOk('umount', [mount], { timeoutMs: callMs });
  // What a device was mounted over is a file.
  const isFolder = (await lstat(path).catch(() => undefined))?.isDirectory() === true;
  const remove = !isFolder || withContent ? rm(path, { recursive: true, force: true }) : rmdir(path);
  await remove.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new StatusError('Conflict', `${path} cannot be removed: ${messageOf(error)}`, { cause: error });
  });
}
