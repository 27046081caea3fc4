import type { CSINodeDriver, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#api/gen/types.ts';
import type { PodTokenRequest, VolumeAmounts, VolumeExpansion } from '#agent/session/types.ts';

/** What this host's drivers are to the cluster. */
export interface DriverReport {
  readonly drivers: readonly CSINodeDriver[];
  /** Taken away since this agent started. */
  readonly gone: readonly string[];
  /** Labels of the node. */
  readonly topology: Readonly<Record<string, string>>;
  /** As in a node's status. */
  readonly volumesInUse: readonly string[];
  /** Volumes that have grown, or could not, since this agent started. */
  readonly expansions: readonly VolumeExpansion[];
}

/** One volume of a pod; `claimed` is what its claim is bound to, absent for one that lives with the pod. */
export interface PodVolume {
  readonly pod: Pod;
  readonly volume: Volume;
  readonly claimed: PersistentVolume | undefined;
  readonly claim?: PersistentVolumeClaim | undefined;
  /** A token of the pod's account, for drivers that want one; absent where no control plane can be asked. */
  readonly token?: ((request: PodTokenRequest) => Promise<string>) | undefined;
}

/** The pods' side of CSI drivers. */
export interface PodCsi {
  /** Where the pod's containers find the volume once it is there. */
  path(about: PodVolume): string;
  /**
   * Resolves when the volume is mounted for the pod, with the milliseconds after which its driver wants to be asked again,
   * if it does; `begins`: nothing of the pod runs yet. Idempotent.
   */
  ensure(about: PodVolume, begins: boolean, signal: AbortSignal): Promise<number | undefined>;
  /** What its driver counts; undefined where it does not, or where the volume is not mounted. */
  stats(about: PodVolume, signal: AbortSignal): Promise<VolumeAmounts | undefined>;
  /** Unmounts all of the pod's; to be asked again after it has rejected. Nothing to do is no error. */
  release(podUid: string, signal: AbortSignal): Promise<void>;
  /** Cleans up after pods that are not there any more, now and when their driver is back. */
  retain(isPresent: (podUid: string) => boolean): void;
  /** Called when a driver has come: what waited for it may go on. */
  subscribe(listener: () => void): () => void;
}

/** A driver that has registered. */
export interface Driver {
  readonly name: string;
  /** Its socket. */
  readonly endpoint: string;
  readonly nodeId: string;
  readonly maxVolumes: number;
  readonly topology: Readonly<Record<string, string>>;
  /** Of NodeServiceCapability. */
  readonly capabilities: ReadonlySet<string>;
}
