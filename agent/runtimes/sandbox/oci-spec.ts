import type { ContainerConfig, SandboxConfig } from '../types.ts';
import type { ImageConfig, OciDevice, OciMount, OciUser } from './oci-types.ts';

const ociVersion = '1.0.2';
const usualPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const pauseShares = 2;
const pauseOomScoreAdj = -998;

/** What of this host and this container is not in its configuration. */
export interface ContainerPlace {
  readonly rootfs: string;
  readonly cgroup: string;
  /** Process that holds the sandbox's namespaces. */
  readonly pausePid: number;
  /** Of the container whose processes this one is to see. */
  readonly targetPid?: number;
  readonly image: ImageConfig;
  readonly user: OciUser;
  readonly capabilities: readonly string[];
  /** A seccomp section in OCI's form; absent for none. */
  readonly seccomp?: object;
  /** Its own; every one of the host where it is privileged. */
  readonly devices: readonly (OciDevice & { readonly permissions?: string })[];
  /** The folder that is the pod's /dev/shm. */
  readonly shm: string;
  readonly resolvConf: string;
  readonly hostnameFile: string;
  readonly unifiedCgroups: boolean;
  /** The AppArmor profile that confines it. */
  readonly appArmor?: string;
  /** A container whose memory runs out ends as a whole. */
  readonly oomGroup: boolean;
  /** Cgroups count huge pages. Where they do not, as on many boards, what a pod's volume of them may take is the limit. */
  readonly limitsHugePages: boolean;
  /** Cgroups count swap. */
  readonly limitsSwap: boolean;
  readonly minOomScoreAdj: number;
  readonly hooks?: object;
}

/** Nothing else switches a new network's loopback on. Run by the runtime, inside: a command of ours that goes in there costs more. */
const loopbackUp = { path: '/bin/sh', args: ['sh', '-c', 'exec ip link set lo up'], env: [usualPath], timeout: 30 };

/** The pause program with the namespaces of a pod. */
export function sandboxSpec(config: SandboxConfig, rootfs: string, cgroup: string, minOomScoreAdj: number): object {
  return {
    ociVersion,
    process: {
      terminal: false, user: { uid: 0, gid: 0 }, args: ['/pause'], env: [usualPath], cwd: '/', noNewPrivileges: true,
      capabilities: {}, oomScoreAdj: Math.max(pauseOomScoreAdj, minOomScoreAdj),
    },
    root: { path: rootfs, readonly: true },
    ...(config.hostname !== '' && { hostname: config.hostname }),
    mounts: kernelMounts(false),
    ...(!config.hostNetwork && { hooks: { createContainer: [loopbackUp] } }),
    linux: {
      namespaces: [
        { type: 'mount' }, ...(config.hostNetwork ? [] : [{ type: 'network' }, { type: 'uts' }]), ...(config.hostIpc ? [] : [{ type: 'ipc' }]), ...(config.hostPid ? [] : [{ type: 'pid' }]),
      ],
      cgroupsPath: cgroup,
      resources: { devices: [{ allow: false, access: 'rwm' }], cpu: { shares: pauseShares } },
      sysctl: config.sysctls,
      maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** A container of a pod, as containerd's own CRI would configure it. */
export function containerSpec(sandbox: SandboxConfig, config: ContainerConfig, place: ContainerPlace): object {
  const { security, resources } = config;
  const { capabilities, appArmor } = place;
  return {
    ociVersion,
    process: {
      terminal: config.tty,
      user: place.user,
      args: argsOf(config, place.image),
      env: envOf(sandbox, config, place.image),
      cwd: config.workingDir || place.image.WorkingDir || '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: security.noNewPrivileges,
      oomScoreAdj: Math.max(resources.oomScoreAdj, place.minOomScoreAdj),
      ...(appArmor !== undefined && { apparmorProfile: appArmor }),
      ...(security.seLinux && { selinuxLabel: seLinuxLabel(security.seLinux) }),
    },
    root: { path: place.rootfs, readonly: security.readOnlyRoot },
    mounts: mountsOf(config, place),
    ...(place.hooks && { hooks: place.hooks }),
    ...(config.annotations && { annotations: config.annotations }),
    linux: {
      namespaces: namespacesOf(sandbox, place),
      cgroupsPath: place.cgroup,
      resources: {
        devices: [{ allow: security.privileged, access: 'rwm' }, ...place.devices.filter(({ permissions }) => permissions !== undefined).map(({ type, major, minor, permissions }) => ({ allow: true, type, major, minor, access: permissions }))],
        cpu: { shares: resources.cpuShares, ...(resources.cpuQuotaMicros > 0 && { quota: resources.cpuQuotaMicros, period: resources.cpuPeriodMicros }) },
        // As much with swap as without: pods do not swap.
        ...(resources.memoryLimitBytes > 0 && { memory: { limit: resources.memoryLimitBytes, ...(place.limitsSwap && { swap: resources.memoryLimitBytes }) } }),
        ...(place.oomGroup && { unified: { 'memory.oom.group': '1' } }),
        ...(place.limitsHugePages && resources.hugepageLimits.length > 0 && { hugepageLimits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })) }),
      },
      devices: place.devices.map(({ permissions: _permissions, ...device }) => device),
      rootfsPropagation: propagationOf(config),
      ...(place.seccomp && { seccomp: place.seccomp }),
      maskedPaths: security.privileged ? [] : security.maskedPaths,
      readonlyPaths: security.privileged ? [] : security.readonlyPaths,
    },
  };
}

/** A command replaces all that the image says; arguments alone replace its own. */
function argsOf({ command, args }: ContainerConfig, image: ImageConfig): string[] {
  if (command.length > 0) return [...command, ...args];
  return [...image.Entrypoint ?? [], ...(args.length > 0 ? args : image.Cmd ?? [])];
}

function envOf(sandbox: SandboxConfig, config: ContainerConfig, image: ImageConfig): string[] {
  const values = new Map<string, string>();
  const set = (line: string): void => { values.set(line.split('=')[0] ?? '', line); };
  [usualPath, ...(sandbox.hostname === '' ? [] : [`HOSTNAME=${sandbox.hostname}`]), ...(config.tty ? ['TERM=xterm'] : []), ...image.Env ?? []].forEach(set);
  for (const { name, value } of config.env) set(`${name}=${value}`);
  return [...values.values()];
}

function namespacesOf(sandbox: SandboxConfig, { pausePid, targetPid, unifiedCgroups }: ContainerPlace): object[] {
  const of = (type: string, name: string): object => ({ type, path: `/proc/${String(pausePid)}/ns/${name}` });
  const pid = sandbox.shareProcessNamespace ? of('pid', 'pid') : targetPid === undefined ? { type: 'pid' } : { type: 'pid', path: `/proc/${String(targetPid)}/ns/pid` };
  return [
    { type: 'mount' },
    ...(sandbox.hostNetwork ? [] : [of('network', 'net'), of('uts', 'uts')]),
    ...(sandbox.hostIpc ? [] : [of('ipc', 'ipc')]),
    ...(sandbox.hostPid ? [] : [pid]),
    ...(unifiedCgroups ? [{ type: 'cgroup' }] : []),
  ];
}

const bindPropagations = { None: 'rprivate', HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

function mountsOf(config: ContainerConfig, place: ContainerPlace): OciMount[] {
  const own = [
    bind(place.shm, '/dev/shm', false), bind(place.resolvConf, '/etc/resolv.conf', config.security.readOnlyRoot), bind(place.hostnameFile, '/etc/hostname', config.security.readOnlyRoot),
  ];
  const asked = config.mounts.map((m): OciMount => ({
    destination: m.containerPath, type: 'bind', source: m.hostPath, options: ['rbind', m.recursiveReadOnly === true ? 'rro' : m.readOnly ? 'ro' : 'rw', bindPropagations[m.propagation]],
  }));
  const taken = new Set(asked.map(({ destination }) => destination));
  // The shorter paths first, or a volume would hide what is mounted below it.
  const all = [...kernelMounts(config.security.privileged), ...own].filter(({ destination }) => !taken.has(destination));
  return [...all, ...asked.toSorted((a, b) => a.destination.split('/').length - b.destination.split('/').length)];
}

function propagationOf({ mounts }: ContainerConfig): string {
  if (mounts.some(({ propagation }) => propagation === 'Bidirectional')) return 'rshared';
  return mounts.some(({ propagation }) => propagation === 'HostToContainer') ? 'rslave' : 'rprivate';
}

function kernelMounts(privileged: boolean): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  const usual = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: usual },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: usual },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...usual, access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...usual, 'relatime', access] },
  ];
}

function bind(source: string, destination: string, readOnly: boolean): OciMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

function seLinuxLabel({ user, role, type, level }: NonNullable<ContainerConfig['security']['seLinux']>): string {
  return [user || 'system_u', role || 'system_r', type || 'container_t', level || 's0'].join(':');
}
