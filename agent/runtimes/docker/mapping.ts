import { join, normalize } from 'node:path';
import { attemptOf, graceOf, ownLabels, podLabels } from '../pod-labels.ts';
import { sliceOf } from '../cgroups.ts';
import type { Container, ContainerConfig, Sandbox, SandboxConfig } from '../types.ts';
import type { SandboxRecord } from '../sandbox/records.ts';
import type { InspectedContainer, ListedContainer } from './messages.ts';

/** What this Docker and this host need said in another way. */
export interface EngineFacts {
  /** Docker names cgroups by systemd's slices. */
  readonly systemdCgroups: boolean;
  /** It knows devices by their CDI names. */
  readonly cdi: boolean;
  /** It tells read-only mounts from those with all that is mounted inside, and this kernel can do both. */
  readonly recursiveReadOnly: boolean;
  /** The lowest oom_score_adj that may be set. */
  readonly minOomScoreAdj: number;
}

/** Selects what the agent named `owner` made; with `uid`, of one pod. */
export function labelFilter(owner: string, uid?: string): string[] {
  return [`${ownLabels.owner}=${owner}`, ...(uid === undefined ? [] : [`${podLabels.uid}=${uid}`])];
}

/** Unique on a host: who asks twice for the same attempt is refused. */
export function containerName(config: SandboxConfig, name: string, attempt: number): string {
  return ['cleat', name, config.podName, config.podNamespace, config.podUid, String(attempt)].join('_').replaceAll(/[^\w.-]/g, '-');
}

export function isSandbox({ Labels }: ListedContainer): boolean {
  return Labels?.[ownLabels.kind] === 'sandbox';
}

/** A container that is never started: it keeps an image that is mounted as a volume. */
export const imageHolder = 'image';

export function holdsImage({ Labels }: ListedContainer): boolean {
  return Labels?.[ownLabels.kind] === imageHolder;
}

const pauseShares = 2;

/** The container that holds a pod's namespaces. Its network is made by CNI. */
export function sandboxRequest(owner: string, image: string, config: SandboxConfig, facts: EngineFacts): object {
  return {
    Image: image,
    // In the host's network the name is the host's, which Docker then takes by itself.
    ...(!config.hostNetwork && { Hostname: config.hostname }),
    Healthcheck: { Test: ['NONE'] },
    Labels: {
      // Not the pod's own labels: other programs on this host act on what they find in Docker's.
      ...labelsOf(owner, config), [ownLabels.kind]: 'sandbox', [ownLabels.attempt]: String(config.attempt),
      [ownLabels.network]: config.hostNetwork ? 'host' : 'cni',
    },
    HostConfig: {
      NetworkMode: config.hostNetwork ? 'host' : 'none',
      IpcMode: config.hostIpc ? 'host' : 'shareable',
      ...(config.hostPid && { PidMode: 'host' }),
      ...(config.hostNetwork && { UTSMode: 'host' }),
      CgroupParent: cgroupParent(config.cgroupParent, facts),
      Sysctls: config.sysctls,
      CpuShares: pauseShares,
      OomScoreAdj: Math.max(-998, facts.minOomScoreAdj),
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges'],
      LogConfig: { Type: 'none' },
      ...runtime(config),
    },
  };
}

export interface ContainerPlace {
  readonly owner: string;
  readonly sandboxId: string;
  readonly sandbox: SandboxConfig;
  readonly resolvConf: string;
  /** The text of the seccomp profile that the container names. */
  readonly seccompProfile: string | undefined;
}

export function containerRequest({ owner, sandboxId, sandbox, resolvConf, seccompProfile }: ContainerPlace, config: ContainerConfig, facts: EngineFacts): object {
  const { security } = config;
  const inPod = `container:${sandboxId}`;
  return {
    Image: config.image,
    ...(config.command.length > 0 && { Entrypoint: config.command }),
    ...(config.args.length > 0 && { Cmd: config.args }),
    ...(config.workingDir !== '' && { WorkingDir: config.workingDir }),
    ...(config.stopSignal !== undefined && { StopSignal: config.stopSignal }),
    ...userOf(security),
    Env: config.env.map(({ name, value }) => `${name}=${value}`),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    // Kubernetes has probes of its own.
    Healthcheck: { Test: ['NONE'] },
    Labels: {
      ...labelsOf(owner, sandbox), [podLabels.container]: config.name, [ownLabels.kind]: 'container', [ownLabels.sandbox]: sandboxId,
      [ownLabels.attempt]: String(config.attempt), [ownLabels.image]: config.image, [ownLabels.specHash]: config.specHash,
      [ownLabels.graceSeconds]: String(config.graceSeconds), [ownLabels.logPath]: join(sandbox.logDirectory, config.logFile),
    },
    HostConfig: {
      NetworkMode: inPod,
      IpcMode: sandbox.hostIpc ? 'host' : inPod,
      PidMode: pidMode(sandbox, config, inPod),
      ...(sandbox.hostNetwork && { UTSMode: 'host' }),
      CgroupParent: cgroupParent(sandbox.cgroupParent, facts),
      ...resourcesRequest(config.resources),
      OomScoreAdj: Math.max(config.resources.oomScoreAdj, facts.minOomScoreAdj),
      Privileged: security.privileged,
      ReadonlyRootfs: security.readOnlyRoot,
      // Docker would give what is both added and dropped; others do not.
      CapAdd: security.addCapabilities.filter((name) => name.toUpperCase() === 'ALL' || !security.dropCapabilities.includes(name)),
      CapDrop: security.dropCapabilities,
      GroupAdd: security.supplementalGroups.map(String),
      SecurityOpt: securityOptions(security, seccompProfile),
      // An empty list hides nothing, where an absent one would hide what Docker finds proper.
      MaskedPaths: security.privileged ? [] : security.maskedPaths,
      ReadonlyPaths: security.privileged ? [] : security.readonlyPaths,
      Mounts: [...resolver(resolvConf, config), ...config.mounts].map((m) => mount(m, facts)),
      Devices: (config.devices ?? []).map(({ hostPath, containerPath, permissions }) => ({ PathOnHost: hostPath, PathInContainer: containerPath, CgroupPermissions: permissions })),
      ...(config.cdiDevices && { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: config.cdiDevices }] }),
      // Engines before 24 do not know of them.
      ...(config.annotations && { Annotations: config.annotations }),
      LogConfig: { Type: 'json-file', ...(config.logRotation && { Config: { 'max-size': String(config.logRotation.maxBytes), 'max-file': String(config.logRotation.maxFiles) } }) },
      ...runtime(sandbox),
    },
  };
}

function resourcesRequest({ cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes }: ContainerConfig['resources']): object {
  // As much with swap as without: pods do not swap.
  return { CpuShares: cpuShares, CpuPeriod: cpuPeriodMicros, CpuQuota: cpuQuotaMicros, Memory: memoryLimitBytes, MemorySwap: memoryLimitBytes };
}

/** Docker takes 0 for "as before" and refuses -1: this is no limit. */
const muchMemory = 2 ** 62;

/** What can be changed in a running container. */
export function updateRequest(resources: ContainerConfig['resources']): object {
  return resourcesRequest({ ...resources, cpuQuotaMicros: resources.cpuQuotaMicros || -1, memoryLimitBytes: resources.memoryLimitBytes || muchMemory });
}

/** `/kubepods/pod1-2` is `kubepods-pod1_2.slice` where systemd rules the cgroups: a dash there means a level. */
export function cgroupParent(path: string, { systemdCgroups }: EngineFacts): string {
  return systemdCgroups ? sliceOf(path) : path;
}

export function toSandbox(listed: ListedContainer, inspected: InspectedContainer, record: SandboxRecord | undefined): Sandbox {
  const labels = listed.Labels ?? {};
  // One that somebody started again has namespaces that are not connected to anything.
  const ready = inspected.State.Running && record?.made?.startedAt === inspected.State.StartedAt;
  return {
    id: listed.Id,
    podUid: labels[podLabels.uid] ?? '',
    podNamespace: labels[podLabels.namespace] ?? '',
    podName: labels[podLabels.name] ?? '',
    attempt: attemptOf(labels[ownLabels.attempt]),
    state: ready ? 'ready' : 'not-ready',
    createdAtMs: millis(inspected.Created),
    ips: ready ? record.made.ips : [],
  };
}

/** `oomKilled`: the kernel has killed something in it because its memory ran out. */
export function toContainer(listed: ListedContainer, inspected: InspectedContainer, imageRef: string, oomKilled: boolean): Container {
  const labels = listed.Labels ?? {};
  const { State: state } = inspected;
  return {
    id: listed.Id,
    sandboxId: labels[ownLabels.sandbox] ?? '',
    podUid: labels[podLabels.uid] ?? '',
    name: labels[podLabels.container] ?? '',
    attempt: attemptOf(labels[ownLabels.attempt]),
    image: labels[ownLabels.image] ?? '',
    imageId: imageRef,
    specHash: labels[ownLabels.specHash] ?? '',
    createdAtMs: millis(inspected.Created),
    ...outcome(inspected, oomKilled),
    startedAtMs: millis(state.StartedAt),
    logPath: labels[ownLabels.logPath] ?? '',
    graceSeconds: graceOf(labels[ownLabels.graceSeconds]),
  };
}

/** What Docker calls a container that does not run, and has. */
const endings: ReadonlySet<string> = new Set(['exited', 'dead', 'removing', 'restarting', 'paused']);

type Outcome = Pick<Container, 'state' | 'exitCode' | 'reason' | 'message' | 'finishedAtMs'>;

/** What cannot be started stays `created` for Docker; for Kubernetes it has ended, with what containerd makes of it. */
function outcome({ State: state, Created }: InspectedContainer, oomKilled: boolean): Outcome {
  if (state.Running) return { state: 'running', exitCode: 0, reason: '', message: '', finishedAtMs: 0 };
  if (state.Status === 'created') {
    if (state.Error === '') return { state: 'created', exitCode: 0, reason: '', message: '', finishedAtMs: 0 };
    return { state: 'exited', exitCode: 128, reason: 'StartError', message: state.Error, finishedAtMs: millis(Created) };
  }
  if (!endings.has(state.Status)) return { state: 'unknown', exitCode: 255, reason: 'ContainerStatusUnknown', message: state.Error, finishedAtMs: 0 };
  const reason = state.ExitCode === 0 ? 'Completed' : oomKilled ? 'OOMKilled' : 'Error';
  return { state: 'exited', exitCode: state.ExitCode, reason, message: state.Error, finishedAtMs: millis(state.FinishedAt) };
}

function labelsOf(owner: string, config: SandboxConfig): Record<string, string> {
  return { [podLabels.uid]: config.podUid, [podLabels.name]: config.podName, [podLabels.namespace]: config.podNamespace, [ownLabels.owner]: owner };
}

function runtime({ runtimeHandler }: SandboxConfig): object {
  return runtimeHandler === '' ? {} : { Runtime: runtimeHandler };
}

function pidMode(sandbox: SandboxConfig, { targetContainerId }: ContainerConfig, inPod: string): string {
  if (sandbox.hostPid) return 'host';
  if (sandbox.shareProcessNamespace) return inPod;
  return targetContainerId === undefined ? '' : `container:${targetContainerId}`;
}

function userOf({ runAsUser, runAsUserName, runAsGroup }: ContainerConfig['security']): object {
  const user = runAsUser === undefined ? runAsUserName : String(runAsUser);
  if (user === undefined) return {};
  return { User: runAsGroup === undefined ? user : `${user}:${String(runAsGroup)}` };
}

/** What is privileged has no seccomp profile, whatever it names: as with containerd. */
function securityOptions({ privileged, noNewPrivileges, seccomp, appArmor, seLinux }: ContainerConfig['security'], seccompProfile: string | undefined): string[] {
  return [
    ...(noNewPrivileges ? ['no-new-privileges'] : []),
    ...(privileged || seccomp.type === 'Unconfined' ? ['seccomp=unconfined'] : seccompProfile === undefined ? [] : [`seccomp=${seccompProfile}`]),
    ...(appArmor?.type === 'Unconfined' ? ['apparmor=unconfined'] : appArmor?.type === 'Localhost' ? [`apparmor=${appArmor.reference ?? ''}`] : []),
    ...Object.entries(seLinux ?? {}).flatMap(([part, value]) => (value === '' ? [] : [`label=${part}:${value}`])),
  ];
}

/** Unless something else is to be there: Docker refuses two mounts in one place. */
function resolver(hostPath: string, { mounts, security }: ContainerConfig): ContainerConfig['mounts'] {
  const containerPath = '/etc/resolv.conf';
  return mounts.some((m) => normalize(m.containerPath) === containerPath) ? [] : [{ hostPath, containerPath, readOnly: security.readOnlyRoot, propagation: 'None' }];
}

const propagations = { None: 'rprivate', HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

/** Docker from 25 on takes what is mounted inside for read-only, too, unless it is told otherwise. */
function mount({ hostPath, containerPath, readOnly, propagation, recursiveReadOnly = false }: ContainerConfig['mounts'][number], facts: EngineFacts): object {
  const depth = !readOnly || !facts.recursiveReadOnly ? {} : recursiveReadOnly ? { ReadOnlyForceRecursive: true } : { ReadOnlyNonRecursive: true };
  return { Type: 'bind', Source: hostPath, Target: containerPath, ReadOnly: readOnly, BindOptions: { Propagation: propagations[propagation], ...depth } };
}

/** Docker's zero time is in the year 1. */
function millis(time: string): number {
  return Math.max(0, Date.parse(time) || 0);
}
