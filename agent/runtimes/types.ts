import type { LayerName } from '#common/archive-parts.ts';
import type { Clock } from '#common/clock.ts';
import type { DiskUsage } from '#common/disk-usage.ts';
import type { Log } from '#common/log.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { CommandStreams } from '#common/streams/relay.ts';

/**
 * What the pod workers need of a container runtime, in CRI's words. One driver per runtime; all pass
 * `contract.ts`. Methods reject with StatusError: `NotFound` (no such sandbox, container or image),
 * `ServiceUnavailable` (the runtime cannot be reached; try again), `Invalid` (the runtime refuses this input),
 * `InternalError` otherwise, always with the runtime's own words in the message.
 */
export interface RuntimeDriver {
  readonly name: string;
  /** Name and version for Node.status.nodeInfo.containerRuntimeVersion, e.g. `containerd://1.6.20`. */
  version(signal: AbortSignal): Promise<string>;
  /** What the runtime's own configuration says; a part that it does not tell is absent. */
  setup(signal: AbortSignal): Promise<RuntimeSetup>;
  /** Resolves with what is not ready and why; empty when pods can run. */
  notReady(signal: AbortSignal): Promise<readonly string[]>;

  /** All sandboxes and containers that Cleat made for this node, also exited ones; with `podUid`, those of one pod. */
  list(signal: AbortSignal, podUid?: string): Promise<RuntimeSnapshot>;
  runSandbox(config: SandboxConfig, signal: AbortSignal): Promise<string>;
  /** Kills its containers, stops it and frees its network. Idempotent. */
  stopSandbox(id: string, signal: AbortSignal): Promise<void>;
  /** With all that is in it. One that runs is stopped as by `stopSandbox`, and its containers are killed. Idempotent. */
  removeSandbox(id: string, signal: AbortSignal): Promise<void>;
  createContainer(sandboxId: string, sandbox: SandboxConfig, config: ContainerConfig, signal: AbortSignal): Promise<string>;
  startContainer(id: string, signal: AbortSignal): Promise<void>;
  /** Changes what a running container may use; what cannot be changed in a running one (huge pages) is left as it is. */
  updateContainer(id: string, resources: ContainerConfig['resources'], signal: AbortSignal): Promise<void>;
  /** SIGTERM (or `stopSignal`, or the image's stop signal), then SIGKILL after `graceSeconds`. Idempotent. */
  stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  removeContainer(id: string, signal: AbortSignal): Promise<void>;
  /** The log of a container whose runtime keeps it, and rotates it, in a form of its own. Absent where there is a file in CRI format at `logPath`. */
  readLog?(id: string, options: LogOptions, signal: AbortSignal): AsyncIterable<LogEntry>;
  /** After the log file was renamed: go on in a new file of the old name. */
  reopenLog(id: string, signal: AbortSignal): Promise<void>;
  /** Runs to its end. `timeoutMs` kills it and rejects with `Timeout`, soon after at the latest, also where what it left behind holds its output. */
  exec(containerId: string, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }>;
  /** Runs a command with its streams connected (`commandChannels`); the status channel brings a Status as JSON when it has ended. */
  execStream(containerId: string, command: readonly string[], streams: CommandStreams, signal: AbortSignal): Promise<Channels>;
  /** Connects to the streams of the container's own program. */
  attach(containerId: string, streams: CommandStreams, signal: AbortSignal): Promise<Channels>;
  /** Connects to a port in the sandbox's network, on its loopback; channel 0. Rejects with `ServiceUnavailable` when nothing listens, if that is known in time. */
  portForward(sandboxId: string, port: number, signal: AbortSignal): Promise<Channels>;

  /** Images that are here, by all names that pods may call them. */
  listImages(signal: AbortSignal): Promise<readonly ListedImage[]>;
  /** The image's id when present locally. */
  imageId(image: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whom a local image runs as when nothing else is said: a number, a name that only the image knows, or root. */
  imageUser(image: string, signal: AbortSignal): Promise<ImageUser>;
  /** What came of an earlier pull that broke off is not asked for again, where the engine keeps it. Rejects with `Invalid` and the words `wrong architecture` when this host cannot run what there is. */
  pullImage(image: string, options: PullOptions, signal: AbortSignal): Promise<PulledImage>;
  /** Loads a docker or OCI archive; resolves with the names it made. Rejects like `pullImage` when this host cannot run one of them; it is removed then. */
  importImage(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Which layers of images that are about to be imported need not come, because they are here; by digest. What it says
   * is true for now. Absent where it cannot be told.
   */
  heldLayers?(images: readonly (readonly LayerName[])[], signal: AbortSignal): Promise<ReadonlyMap<string, HeldLayer>>;
  /** A docker archive of a local image. */
  exportImage(image: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Takes all names that it was listed by from an image, and frees it. Idempotent. */
  removeImage(image: ListedImage, signal: AbortSignal): Promise<void>;
  /**
   * Mounts the root file system of a local image, read-only, at a folder on which nothing is mounted, and keeps it
   * whatever becomes of the image, until `releaseImage`. By the same key the same is mounted again, also after a reboot.
   * Rejects with `Invalid`, and holds nothing, where the engine has no way to do so.
   */
  mountImage(image: string, key: string, dir: string, signal: AbortSignal): Promise<void>;
  /** Lets go of what mounts by this key have kept, once nothing is mounted by it any more. Idempotent. */
  releaseImage(key: string, signal: AbortSignal): Promise<void>;
  /** Ids and names of images that containers, whoever's and whether they run or not, are made from. */
  imagesInUse(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** A folder of the file system that images are on. */
  imageFolder(signal: AbortSignal): Promise<string>;
  /** True where people, too, keep images beside those that were pulled for pods. */
  readonly sharesImages: boolean;

  /** Says that something of a pod changed; `undefined` means look at everything (events may have been lost). Reconnects by itself until aborted. */
  events(signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }>;
  /** CPU nanoseconds since start, working-set bytes and, where the runtime counts it, what is in the writable layer of running containers, by container id. */
  stats(signal: AbortSignal): Promise<ReadonlyMap<string, { cpuNanos: bigint; memoryBytes: number; writable?: DiskUsage }>>;
  /** What is in the writable layers of these containers, counted now, as far as that is possible; absent where `stats` tells it. */
  written?(containerIds: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Written>>;
  /** Absent where the engine itself calls CNI plugins, and looks after what they gave. */
  readonly networks?: SandboxNetworks;
  /** Gives up what is kept for containers to come, where there are to be none. Absent where nothing is. */
  letGo?(signal: AbortSignal): Promise<void>;
  /** Lets go of what is held open; calls under way fail. */
  close?(): void;
}

/** What is in a container's writable layer. `withState`: that is in the agent's state directory, and not where images are. */
export interface Written extends DiskUsage { readonly withState?: boolean }

export interface SandboxNetworks {
  /** Asks the plugins (CHECK) whether the networks of the sandboxes that run are still as they made them; resolves with those that are not. */
  check(signal: AbortSignal): Promise<readonly NetworkFault[]>;
  /** Gives back, and lets plugins give back (GC), what belongs to no sandbox. */
  collect(signal: AbortSignal): Promise<void>;
}

export interface NetworkFault {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly problem: string;
}

/** What every driver is made with. */
export interface DriverDeps { readonly clock: Clock; readonly log: Log }

export interface DriverConfig {
  /** Path of the runtime's socket, with or without `unix://`. */
  readonly endpoint: string;
  /** Tells the sandboxes of several agents apart that share one runtime; the node's name. */
  readonly owner: string;
  /** Where a driver keeps what its engine cannot, in a folder of its own. */
  readonly stateDir: string;
  /** Likewise, for what ends with the processes of this boot: below /run. */
  readonly runDir: string;
  /** The image that sandboxes are made from, where the engine has none of its own. */
  readonly sandboxImage: string;
  /** For drivers that give pods their network themselves: where CNI configuration is, and where the plugins may be. */
  readonly cni: { readonly confDir: string; readonly binDirs: readonly string[] };
  /** Used for unpacking imported images; the runtime's default when absent. */
  readonly snapshotter?: string;
  /** A folder in containerd's own form that says how registries are reached, for drivers that pull themselves. */
  readonly registryHostsDir?: string;
}

export type OpenDriver = (deps: DriverDeps, config: DriverConfig) => Promise<RuntimeDriver>;

/** One entry of a container's log. */
export interface LogEntry {
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** False for a piece of a line that goes on in the next entry. */
  readonly complete: boolean;
  readonly text: Buffer;
}

export interface LogOptions {
  /** Goes on until the container has ended. */
  readonly follow: boolean;
  readonly tailLines?: number;
  /** Older entries are left out. */
  readonly sinceMs?: number;
}

/** A layer's bytes as the archive has them, or `in place`: its file in the archive may be empty. */
export type HeldLayer = 'in place' | (() => AsyncIterable<Uint8Array>);

export interface ListedImage {
  readonly id: string;
  /** With tags and with digests. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  /** The engine itself keeps it. */
  readonly pinned?: boolean;
}

export interface ImageUser {
  /** Absent when the image gives a name. */
  readonly uid?: number;
  /** Empty when the image gives a number, or nobody. */
  readonly name: string;
}

export interface RuntimeSetup {
  /** The image that every sandbox is made from. */
  readonly sandboxImage?: string;
  /** Where it reads CNI configuration from, and where it looks for the plugins. */
  readonly cniConfDir?: string;
  readonly cniBinDir?: string;
  /** How a RuntimeClass can have containers run; the usual way has no name, and is not always listed. */
  readonly handlers?: readonly RuntimeHandler[];
  /** It can leave out the groups that images give their users. */
  readonly strictGroups?: boolean;
  /** It makes CDI devices of their names. */
  readonly resolvesCdi?: boolean;
}

/** A way to run containers, and what is possible in it. */
export interface RuntimeHandler {
  readonly name: string;
  /** Mounts inside of a mount can be made read-only with it. */
  readonly recursiveReadOnly?: boolean;
  /** Pods can have users of their own, and volumes mounted for these. */
  readonly userNamespaces?: boolean;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  /** In place of a password: what a registry's token service gave to whoever signed in there. */
  readonly identityToken?: string;
}

export interface PullOptions {
  readonly auth?: RegistryAuth | undefined;
  /** Called whenever more is known; never after the pull has ended. */
  readonly progress?: (progress: PullProgress) => void;
}

export interface PullProgress {
  readonly doneBytes: number;
  /** Of the layers that are known of by now. */
  readonly totalBytes: number;
}

export interface PulledImage {
  readonly id: string;
  readonly sizeBytes: number;
  /** For which hosts it is made (`arm64`), this one among them, whichever way it runs it. Absent where the runtime does not tell. */
  readonly architectures?: readonly string[];
}

export interface RuntimeSnapshot {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
}

export interface Sandbox {
  readonly id: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly attempt: number;
  readonly state: 'ready' | 'not-ready';
  readonly createdAtMs: number;
  /** Empty for host network or while not ready. */
  readonly ips: readonly string[];
}

export interface Container {
  readonly id: string;
  readonly sandboxId: string;
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageId: string;
  /** Hash of the container's spec as it was created; a difference means that it must be replaced. */
  readonly specHash: string;
  readonly state: 'created' | 'running' | 'exited' | 'unknown';
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** `OOMKilled`, `Completed`, `Error` or what the runtime says. */
  readonly reason: string;
  readonly message: string;
  /** Absolute path of its log file, CRI format; nothing is there where the driver has `readLog`. */
  readonly logPath: string;
  readonly graceSeconds: number;
}

export interface SandboxConfig {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly attempt: number;
  /** Empty in the host's network, where the name is the host's. */
  readonly hostname: string;
  /** Absolute; made by the caller. */
  readonly logDirectory: string;
  readonly cgroupParent: string;
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly hostIpc: boolean;
  readonly shareProcessNamespace: boolean;
  /** Ids of its containers' users and groups, from 0 on, are these of the host; files in its volumes keep the ids that they have. Absent: the host's own. Only where the handler can. */
  readonly userNamespace?: IdRange;
  /** A container of it is privileged. */
  readonly privileged: boolean;
  /** Named in the runtime's configuration; empty for the usual one. */
  readonly runtimeHandler: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly dns: { readonly servers: readonly string[]; readonly searches: readonly string[]; readonly options: readonly string[] };
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP' | 'SCTP'; readonly containerPort: number; readonly hostPort: number; readonly hostIp: string }[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Of the host's ids of users and groups. */
export interface IdRange { readonly first: number; readonly length: number }

/** How seccomp or AppArmor confine a container. */
export interface SecurityProfile {
  readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
  /** Of `Localhost`: the absolute path of a seccomp profile, the name of an AppArmor profile. */
  readonly reference?: string;
}

/** How large a container's log may grow, and how many files of it are kept, the one in use included. */
export interface LogRotation { readonly maxBytes: number; readonly maxFiles: number }

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly {
    readonly containerPath: string; readonly hostPath: string; readonly readOnly: boolean; readonly propagation: 'None' | 'HostToContainer' | 'Bidirectional';
    /** With what is mounted inside; only beside `readOnly`, without propagation, and where the handler can. */
    readonly recursiveReadOnly?: boolean;
  }[];
  /** Devices of the host; a symbolic link stands for what it leads to, a folder for all devices in it. `permissions` of `r`, `w` and `m`. */
  readonly devices?: readonly { readonly hostPath: string; readonly containerPath: string; readonly permissions: string }[];
  /** For the runtime; drivers have their own beside them. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Devices by their names in the Container Device Interface, `vendor.com/class=name`: the runtime resolves them, or the driver where it cannot. */
  readonly cdiDevices?: readonly string[];
  readonly specHash: string;
  readonly graceSeconds: number;
  /** What tells the program to end, e.g. `SIGQUIT`; absent: what the image says, or SIGTERM. */
  readonly stopSignal?: string;
  /** File name below the sandbox's log directory. */
  readonly logFile: string;
  /** For drivers whose engine rotates logs itself; the engine's way when absent. */
  readonly logRotation?: LogRotation;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** Shares the process namespace of this other container. */
  readonly targetContainerId?: string;
  readonly resources: {
    readonly cpuShares: number;
    readonly cpuQuotaMicros: number;
    readonly cpuPeriodMicros: number;
    /** 0 for no limit. */
    readonly memoryLimitBytes: number;
    readonly oomScoreAdj: number;
    /** `pageSize` as cgroups name it: `2MB`, `1GB`. */
    readonly hugepageLimits: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  };
  readonly security: {
    readonly runAsUser?: number;
    /** Instead of `runAsUser`, a name that the image knows. */
    readonly runAsUserName?: string;
    /** Only beside a user. */
    readonly runAsGroup?: number;
    readonly supplementalGroups: readonly number[];
    /** No groups but those above: what the image's /etc/group says counts for nothing. Only where the runtime can. */
    readonly strictGroups?: boolean;
    readonly privileged: boolean;
    readonly readOnlyRoot: boolean;
    readonly noNewPrivileges: boolean;
    readonly addCapabilities: readonly string[];
    readonly dropCapabilities: readonly string[];
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly seccomp: SecurityProfile;
    /** Absent: as the runtime does when nobody says anything. */
    readonly appArmor?: SecurityProfile;
    readonly seLinux?: { readonly user: string; readonly role: string; readonly type: string; readonly level: string };
  };
}
