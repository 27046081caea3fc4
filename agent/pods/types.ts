import type { NodeStatus, Pod } from '#api/gen/types.ts';
import type { Container, LogRotation, Sandbox } from '#agent/runtimes/types.ts';
import type { HostUsage } from '#agent/session/types.ts';
import type { ResizeView } from './allocation/allocation.ts';
import type { Rejection } from './spec/admission.ts';

export interface PodManagerConfig {
  readonly nodeName: string;
  /** Everything of the pods lies below `pods/` of it, but for what `podLogsDir` is for. */
  readonly stateDir: string;
  /** Below it each pod has a folder for its logs; these are among its other files when absent. */
  readonly podLogsDir?: string | undefined;
  /** Parent cgroup of all pods, e.g. `/kubepods`. */
  readonly cgroupRoot: string;
  readonly clusterDomain: string;
  /** Addresses of the cluster's DNS. */
  readonly clusterDns: readonly string[];
  /** The host's resolver configuration; `/etc/resolv.conf`. */
  readonly resolvConfPath: string;
  /** Sysctls that pods may set beside those that are safe; a `*` at the end stands for anything. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** How many processes and threads a pod may have; -1, or absent, for no limit. */
  readonly podMaxPids?: number;
  /** How logs of containers are rotated; kubelet's way when absent. */
  readonly logRotation?: LogRotation;
  /** How many sandboxes and containers may be under construction at once. */
  readonly parallelStarts: number;
}

/** What pods need to know of their node. */
export interface NodeFacts {
  hostIps(): readonly string[];
  /** For resourceFieldRef limits of containers that have none. */
  allocatable(): { readonly cpuMillis: number; readonly memoryBytes: number };
  /** How many processes and threads all pods together may have, by a look at the host now; no limit when absent. */
  podPids?(): Promise<number>;
  /** Names that a RuntimeClass can give here, with what each can; none when absent. */
  runtimeHandlers?(): NonNullable<NodeStatus['runtimeHandlers']>;
  /** Whether the runtime can leave out an image's groups; undefined while that is not known. */
  strictGroups?(): boolean | undefined;
  /** Conditions of pressure that are true; none when absent. */
  pressures?(): readonly string[];
  /** All that pods can be given; CPU and memory alone when absent. */
  resources?(): Readonly<Record<string, string>>;
  usage(signal: AbortSignal): Promise<HostUsage>;
}

/** Holds pods to the policies about them. */
export interface PodProtection {
  /** Resolves when nothing of a pod that has these addresses can pass that may not; rejects when that cannot be seen to. */
  protect(pod: Pod, ips: readonly string[], signal: AbortSignal): Promise<void>;
}

/** What of this host's pods is there, whether or not it is reported. */
export interface PodPresence {
  /** By pod uid, the addresses that the runtime knows of; none of pods in the host's own network. */
  addresses(signal: AbortSignal): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Uids of pods that nobody asks for any more, and that still end here. */
  leaving(): readonly string[];
  /** Called when one of those is gone. Synchronous. */
  onLeft(listener: () => void): () => void;
}

/** How a pod is to end. */
export interface Ending {
  /** Undefined: each container's own. */
  readonly graceSeconds: number | undefined;
  /** Monotonic; when this agent began to end it. */
  readonly sinceMs: number;
  /** The control plane has it no more: nobody hears how it ends, or waits for that. */
  readonly isForgotten?: boolean;
}

/** The node ends the pod for good: it has failed, for this reason. */
export interface Eviction extends Rejection {
  /** At most so long, whatever the pod asks for. */
  readonly graceSeconds: number;
  /** Its condition DisruptionTarget, if a disruption it is. */
  readonly disruption: { readonly reason: string; readonly message: string } | undefined;
}

/** The pod may not run here now: there may be only one copy of it, and without contact nobody knows whether it has been replaced. */
export interface Withheld {
  /** At most so long, whatever the pod asks for: by then its replacement may start. */
  readonly graceSeconds: number;
}

/** The result of a container's probes so far. */
export interface ProbeView {
  /** The startup probe has succeeded, or there is none. */
  readonly started: boolean;
  readonly ready: boolean;
  /** Set when the container must be restarted. */
  readonly failed: 'liveness' | 'startup' | undefined;
  /** Set until the readiness of an adopted container is known: nothing may be reported meanwhile. */
  readonly pending: boolean;
}

/** Something that failed and will be tried again. */
export interface Failure {
  /** As in `state.waiting` of a container status. */
  readonly reason: string;
  readonly message: string;
  /** Monotonic. */
  readonly untilMs: number;
  readonly count: number;
}

/** Restart back-off of one container: kubelet's CrashLoopBackOff. `updatedMs` is monotonic. */
export interface CrashBackoff { readonly delayMs: number; readonly updatedMs: number }

/** Everything that `step` and the status look at. */
export interface PodView {
  /** With the resources that it has been given, which are not always those that its spec asks for by now. */
  readonly pod: Pod;
  /** Wall clock, for timestamps. */
  readonly nowMs: number;
  /** For waits: a clock that is set must neither lengthen nor shorten them. */
  readonly monotonicMs: number;
  /** When the pod was first reported to have begun, RFC 3339. */
  readonly startTime: string | undefined;
  /** For how long a pod with a deadline has been active, whatever becomes of the wall clock meanwhile; undefined before it has begun. */
  readonly activeMs: number | undefined;
  readonly ending: Ending | undefined;
  /** Set when the node refuses a pod of which nothing has run yet. */
  readonly rejection: Rejection | undefined;
  readonly eviction: Eviction | undefined;
  /** Set while the host is shutting down: nothing is started, and what runs ends within so many seconds. */
  readonly haltSeconds: number | undefined;
  readonly withheld?: Withheld | undefined;
  /** Containers that were made with a device which is another by now. */
  readonly outdated?: ReadonlySet<string>;
  /** Set while resources are changing. */
  readonly resize: ResizeView | undefined;
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  /** By container id. Absent: not probed, so started and ready as long as it runs. */
  readonly probes: ReadonlyMap<string, ProbeView>;
  /** By container name and spec hash, see `crashKey`. */
  readonly crashes: ReadonlyMap<string, CrashBackoff>;
  /** By container name; `sandboxKey` for the sandbox, `resizeKey` for a change of resources. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** By container id, the monotonic time at which its end was first seen. */
  readonly ended: ReadonlyMap<string, number>;
  /** Sandboxes whose network this agent has freed; one that merely died still holds its address. */
  readonly stopped: ReadonlySet<string>;
}

export const sandboxKey = '';
/** No container's name. */
export const resizeKey = ' resize';

export interface Kill {
  readonly id: string;
  readonly name: string;
  readonly graceSeconds: number;
  readonly message: string;
}

/** What to do next; one thing at a time. */
export type Decision =
  | { readonly type: 'run-sandbox'; readonly attempt: number }
  /** `last`: nothing of the pod will run any more, so what its volumes hold may go too. */
  | { readonly type: 'stop-sandbox'; readonly id: string; readonly last?: true }
  | { readonly type: 'start'; readonly name: string; readonly sandboxId: string; readonly attempt: number }
  /** Created by an agent that did not come to starting it. */
  | { readonly type: 'resume'; readonly name: string; readonly id: string }
  /** `later`: those that are to be killed after these, whose preStop hooks begin now, as all hooks of an ending pod do. */
  | { readonly type: 'kill'; readonly kills: readonly Kill[]; readonly later?: readonly Kill[] }
  /** Give running containers, and the pod as a whole, what they have been allotted. */
  | { readonly type: 'resize' }
  /** Old attempts that nobody can ask for any more. */
  | { readonly type: 'prune'; readonly containers: readonly Container[]; readonly sandboxes: readonly Sandbox[] }
  /** Nothing runs any more: remove what is left of the pod on this host. */
  | { readonly type: 'remove' }
  /** Monotonic. */
  | { readonly type: 'wait'; readonly untilMs: number }
  /** Nothing to do until something changes. */
  | { readonly type: 'done' };
