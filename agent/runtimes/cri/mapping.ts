import { graceOf, ownLabels, podLabels as labelNames } from '../pod-labels.ts';
import type { Container, ContainerConfig, Sandbox, SandboxConfig, SecurityProfile } from '../types.ts';
import type { ContainerStatusMessage, ListedContainer, ListedSandbox, SandboxStatusMessage } from './messages.ts';

const { uid: podUid, name: podName, namespace: podNamespace, container: containerName } = labelNames;
const { owner, specHash, graceSeconds } = ownLabels;
/** Of a container whose program is ended by another signal than its image says: older runtimes know only that one. */
export const { stopSignal } = ownLabels;

/** Selects what the agent named `owner` made; with `uid`, of one pod. */
export function selector(ownerName: string, uid?: string): Record<string, string> {
  return { [owner]: ownerName, ...(uid !== undefined && { [podUid]: uid }) };
}

export function sandboxMessage(ownerName: string, config: SandboxConfig): object {
  return {
    metadata: { name: config.podName, uid: config.podUid, namespace: config.podNamespace, attempt: config.attempt },
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    dnsConfig: config.dns,
    portMappings: config.ports.map((p) => ({ protocol: p.protocol, containerPort: p.containerPort, hostPort: p.hostPort, hostIp: p.hostIp })),
    labels: { ...config.labels, ...podLabels(ownerName, config) },
    linux: {
      cgroupParent: config.cgroupParent,
      sysctls: config.sysctls,
      securityContext: { namespaceOptions: namespaces(config), privileged: config.privileged || config.hostNetwork || config.hostPid || config.hostIpc },
    },
  };
}

function podLabels(ownerName: string, config: SandboxConfig): Record<string, string> {
  return { [podUid]: config.podUid, [podName]: config.podName, [podNamespace]: config.podNamespace, [owner]: ownerName };
}

function namespaces(config: SandboxConfig): object {
  const pod = config.shareProcessNamespace ? 'POD' : 'CONTAINER';
  const ids = idMappings(config);
  return {
    network: config.hostNetwork ? 'NODE' : 'POD', pid: config.hostPid ? 'NODE' : pod, ipc: config.hostIpc ? 'NODE' : 'POD',
    ...(ids && { usernsOptions: { mode: 'POD', uids: ids, gids: ids } }),
  };
}

/** Of users and groups alike; undefined in the host's user namespace. */
function idMappings({ userNamespace }: SandboxConfig): readonly object[] | undefined {
  return userNamespace && [{ containerId: 0, hostId: userNamespace.first, length: userNamespace.length }];
}

const propagation = { None: 'PROPAGATION_PRIVATE', HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER', Bidirectional: 'PROPAGATION_BIDIRECTIONAL' } as const;

/** `oomGroup`: a container whose memory runs out ends as a whole. */
export function containerMessage(ownerName: string, sandbox: SandboxConfig, config: ContainerConfig, oomGroup = false): object {
  const { resources } = config;
  const ids = idMappings(sandbox);
  return {
    metadata: { name: config.name, attempt: config.attempt },
    image: { image: config.image },
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    envs: config.env.map((e) => ({ key: e.name, value: e.value })),
    mounts: config.mounts.map((m) => ({ containerPath: m.containerPath, hostPath: m.hostPath, readonly: m.readOnly, propagation: propagation[m.propagation], ...(ids && { uidMappings: ids, gidMappings: ids }), ...(m.recursiveReadOnly === true && { recursiveReadOnly: true }) })),
    devices: config.devices ?? [],
    ...(config.cdiDevices && { CDIDevices: config.cdiDevices.map((name) => ({ name })) }),
    labels: { ...podLabels(ownerName, sandbox), [containerName]: config.name },
    annotations: { ...config.annotations, [specHash]: config.specHash, [graceSeconds]: String(config.graceSeconds), ...(config.stopSignal !== undefined && { [stopSignal]: config.stopSignal }) },
    logPath: config.logFile,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: {
        ...resourcesMessage(resources),
        oomScoreAdj: resources.oomScoreAdj,
        hugepageLimits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })),
        ...(oomGroup && { unified: { 'memory.oom.group': '1' } }),
      },
      securityContext: securityMessage(sandbox, config),
    },
  };
}

/** What can be changed in a running container. */
export function resourcesMessage({ cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes }: ContainerConfig['resources']): object {
  return { cpuShares, cpuQuota: cpuQuotaMicros, cpuPeriod: cpuPeriodMicros, memoryLimitInBytes: memoryLimitBytes };
}

function securityMessage(sandbox: SandboxConfig, { security, targetContainerId }: ContainerConfig): object {
  const { seLinux, appArmor } = security;
  return {
    ...(security.runAsUser !== undefined && { runAsUser: { value: security.runAsUser } }),
    ...(security.runAsUserName !== undefined && { runAsUsername: security.runAsUserName }),
    ...(security.runAsGroup !== undefined && { runAsGroup: { value: security.runAsGroup } }),
    supplementalGroups: security.supplementalGroups,
    ...(security.strictGroups === true && { supplementalGroupsPolicy: 'Strict' }),
    privileged: security.privileged,
    readonlyRootfs: security.readOnlyRoot,
    noNewPrivs: security.noNewPrivileges,
    capabilities: { addCapabilities: security.addCapabilities, dropCapabilities: security.dropCapabilities },
    namespaceOptions: { ...namespaces(sandbox), ...(targetContainerId !== undefined && !sandbox.hostPid && !sandbox.shareProcessNamespace && { pid: 'TARGET', targetId: targetContainerId }) },
    maskedPaths: security.maskedPaths,
    readonlyPaths: security.readonlyPaths,
    seccomp: profileMessage(security.seccomp),
    ...(appArmor && { apparmor: profileMessage(appArmor) }),
    ...(seLinux && { selinuxOptions: seLinux }),
  };
}

function profileMessage({ type, reference }: SecurityProfile): object {
  return { profileType: type, ...(reference !== undefined && { localhostRef: reference }) };
}

export function toSandbox(listed: ListedSandbox, status: SandboxStatusMessage | undefined): Sandbox {
  const ready = listed.state === 'SANDBOX_READY';
  const network = ready ? status?.network : undefined;
  return {
    id: listed.id,
    podUid: listed.metadata?.uid ?? '',
    podNamespace: listed.metadata?.namespace ?? '',
    podName: listed.metadata?.name ?? '',
    attempt: listed.metadata?.attempt ?? 0,
    state: ready ? 'ready' : 'not-ready',
    createdAtMs: millis(listed.createdAt),
    ips: network ? [network.ip, ...network.additionalIps.map((a) => a.ip)].filter((ip) => ip !== '') : [],
  };
}

const states: Readonly<Partial<Record<string, Container['state']>>> = { CONTAINER_CREATED: 'created', CONTAINER_RUNNING: 'running', CONTAINER_EXITED: 'exited', CONTAINER_UNKNOWN: 'unknown' };

/** `oomKilled`: the kernel has killed something in it because its memory ran out. */
export function toContainer(listed: ListedContainer, status: ContainerStatusMessage, oomKilled = false): Container {
  return {
    id: listed.id,
    sandboxId: listed.podSandboxId,
    podUid: listed.labels[podUid] ?? '',
    name: listed.metadata?.name ?? '',
    attempt: listed.metadata?.attempt ?? 0,
    image: status.image?.image ?? '',
    imageId: status.imageRef,
    specHash: listed.annotations[specHash] ?? '',
    // The status is the younger of the two answers.
    state: states[status.state] ?? 'unknown',
    createdAtMs: millis(listed.createdAt),
    startedAtMs: millis(status.startedAt),
    finishedAtMs: millis(status.finishedAt),
    exitCode: status.exitCode,
    reason: oomKilled && status.exitCode !== 0 ? 'OOMKilled' : status.reason,
    message: status.message,
    logPath: status.logPath,
    graceSeconds: graceOf(listed.annotations[graceSeconds]),
  };
}

function millis(nanos: string): number {
  return Number(BigInt(nanos) / 1_000_000n);
}
