import { statfsSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { isQuantity, quantityValue } from '#api/meta/quantity.ts';
import { durationMs, integer, list, text, type Values } from '#common/config.ts';
import { checkDomain, checkIp, hostSettings } from '#common/host-settings.ts';
import { topologyPolicies, topologyScopes, type Topology } from './devices/topology.ts';
import { parseShutdownGroups, problemOf, reservedProblem } from './node/policy.ts';
import { parseReclaims, parseThresholds } from './node/thresholds.ts';

export const agentSettings = {
  ...hostSettings,
  server: text('server', {
    default: '', placeholder: 'URL', description: 'the control plane, https://HOST:6443',
    check: (value) => (URL.canParse(value) && new URL(value).protocol === 'https:' ? undefined : 'expected a URL such as https://10.0.0.1:6443'),
  }),
  token: text('token', { default: '', placeholder: 'TOKEN', description: 'join token from `cleat token create`; needed once' }),
  nodeName: text('node-name', { default: '', placeholder: 'NAME', description: "this node's name; the host name when not given", check: checkDomain }),
  nodeIp: text('node-ip', { default: '', placeholder: 'IP', description: 'address that other nodes reach this one by; found out when not given', check: checkIp }),
  runtime: text('runtime', {
    default: '', placeholder: 'NAME', description: 'what runs the pods: cri, docker or ctr (a containerd whose CRI is switched off); the best that this host has when not given',
    check: (value) => (['cri', 'docker', 'ctr'].includes(value) ? undefined : 'expected cri (containerd, or any runtime that serves CRI v1), docker, or ctr (a containerd whose CRI is switched off)'),
  }),
  runtimeEndpoint: text('runtime-endpoint', {
    default: '', placeholder: 'SOCKET', description: 'socket of a runtime that already runs; without it Cleat runs its own containerd below the state directory, or, with --runtime docker or ctr, uses the one on its usual socket',
    check: (value) => (/^(unix:\/\/)?\//.test(value) ? undefined : 'expected the path of a socket such as /run/containerd/containerd.sock'),
  }),
  podNetwork: text('pod-network', {
    default: 'auto', placeholder: 'MODE', description: 'how pods of other hosts are reached: auto (plain routes on one link; else WireGuard, or VXLAN where a host has none), routes, vxlan or wireguard; of a pair of hosts the stricter counts',
    check: (value) => (['auto', 'routes', 'vxlan', 'wireguard'].includes(value) ? undefined : 'expected auto, routes, vxlan or wireguard'),
  }),
  proxyMode: text('proxy-mode', {
    default: 'auto', placeholder: 'MODE', description: 'how Services are routed: nftables, iptables, ipvs, or auto for the first of them that this host can use',
    check: (value) => (['auto', 'nftables', 'iptables', 'ipvs'].includes(value) ? undefined : 'expected auto, nftables, iptables or ipvs'),
  }),
  ipvsScheduler: text('ipvs-scheduler', {
    default: 'rr', placeholder: 'NAME', description: 'with --proxy-mode ipvs, how an endpoint is picked: rr (in turn), wrr (in turn, by weight), lc (fewest connections) or sh (by the address of the client)',
    check: (value) => (['rr', 'wrr', 'lc', 'sh'].includes(value) ? undefined : 'expected rr, wrr, lc or sh'),
  }),
  nodePortAddresses: text('nodeport-addresses', {
    default: '', placeholder: 'CIDR,...', description: "ranges of this host's addresses that node ports are on, e.g. 192.168.1.0/24; all but loopback when not given",
    check: (value) => (value.split(',').every((range) => isIP(range.split('/')[0] ?? '') > 0 && new RegExp(range.includes(':') ? '/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$' : '/([0-9]|[12][0-9]|3[0-2])$').test(range)) ? undefined : 'expected ranges of addresses such as 192.168.1.0/24,fd00::/64'),
  }),
  ingressPorts: text('ingress-ports', {
    default: '80,443', placeholder: 'HTTP,HTTPS', description: 'ports of this host that Ingresses are served on, once there are some',
    check: (value) => (/^\d{1,5},\d{1,5}$/.test(value) && value.split(',').every((port) => Number(port) > 0 && Number(port) < 65_536) && new Set(value.split(',')).size === 2 ? undefined : 'expected two ports such as 80,443'),
  }),
  allowedUnsafeSysctls: list('allowed-unsafe-sysctls', { default: [], placeholder: 'NAME,...', description: 'sysctls that pods may set beside the safe ones; a * at the end stands for anything, e.g. net.core.*' }),
  podManifestPath: text('pod-manifest-path', { default: '', placeholder: 'DIR', description: 'folder of files, each of which describes a pod that this host runs by itself' }),
  devicePluginDir: text('device-plugin-dir', {
    default: 'auto', placeholder: 'DIR', description: "where device plugins find the socket to register at, kubelet.sock: auto for kubelet's own folder, /var/lib/kubelet/device-plugins, or one below a state directory that is not the usual one; empty for none",
    check: (value) => (value === '' || value === 'auto' || value.startsWith('/') ? undefined : 'expected an absolute path such as /var/lib/kubelet/device-plugins'),
  }),
  topologyManagerPolicy: text('topology-manager-policy', {
    default: 'best-effort', placeholder: 'POLICY', description: 'how near to each other devices must be: none, best-effort (from as few NUMA nodes as can be), restricted (no resource from more of them than it would need alone) or single-numa-node',
    check: (value) => (topologyPolicies.some((policy) => policy === value) ? undefined : `expected one of ${topologyPolicies.join(', ')}`),
  }),
  topologyManagerScope: text('topology-manager-scope', {
    default: 'container', placeholder: 'SCOPE', description: 'whose devices must be: those of one container, or all of a pod',
    check: (value) => (topologyScopes.some((scope) => scope === value) ? undefined : `expected one of ${topologyScopes.join(', ')}`),
  }),
  registries: text('registries', { default: '/etc/cleat/registries.yaml', placeholder: 'FILE', description: 'mirrors, certificates and credentials of image registries, read at each start' }),
  maxParallelImagePulls: integer('max-parallel-image-pulls', { default: 3, min: 1, max: 100, placeholder: 'N', description: 'how many images are pulled at once' }),
  imageGcHighThreshold: integer('image-gc-high-threshold', { default: 85, min: 0, max: 100, placeholder: 'PERCENT', description: 'how full the disk is when images that no pod needs are removed; 100 for never' }),
  imageGcLowThreshold: integer('image-gc-low-threshold', { default: 80, min: 0, max: 100, placeholder: 'PERCENT', description: 'how full it may be afterwards' }),
  imageMinimumGcAgeMs: durationMs('image-minimum-gc-age', { default: 120_000, description: 'how long an image is kept in any case' }),
  imageMaximumGcAgeMs: durationMs('image-maximum-gc-age', { default: 0, description: 'after how long an image that no pod needs is removed, however empty the disk is; 0 for never' }),
  maxPods: integer('max-pods', { default: 110, min: 1, max: 10_000, placeholder: 'N', description: 'how many pods this node takes' }),
  containerLogMaxSize: text('container-log-max-size', { default: '10Mi', placeholder: 'BYTES', check: (value) => (isQuantity(value) && quantityValue(value) > 0 ? undefined : 'expected an amount of bytes such as 10Mi'), description: 'how large the log of a container may grow before a new file is begun' }),
  containerLogMaxFiles: integer('container-log-max-files', { default: 5, min: 2, max: 1000, placeholder: 'N', description: 'how many files of it are kept, the one in use included' }),
  podLogsDir: text('pod-logs-dir', {
    default: 'auto', placeholder: 'DIR', description: "where containers' logs are: auto for /var/log/pods, where collectors of logs look for them, or beside the pods' other files where /var/log is in memory, or the state directory is not the usual one",
    check: (value) => (value === 'auto' || value.startsWith('/') ? undefined : 'expected an absolute path such as /var/log/pods'),
  }),
  podMaxPids: integer('pod-max-pids', { default: -1, min: -1, max: 4_194_304, placeholder: 'N', description: 'how many processes and threads one pod may have; -1 for no limit' }),
  evictionHard: text('eviction-hard', {
    default: '', placeholder: 'SIGNAL<AMOUNT,...', check: (value) => problemOf(() => parseThresholds(value)),
    description: 'when pods are evicted at once, e.g. memory.available<200Mi,nodefs.available<5%; by default below 100Mi (or 10 %) of memory, 10 % (or 5Gi) of disk, 5 % of inodes, 5 % (or 1000) of process ids',
  }),
  evictionSoft: text('eviction-soft', { default: '', placeholder: 'SIGNAL<AMOUNT,...', description: 'when pods are evicted after a while, which --eviction-soft-grace-period gives' }),
  evictionSoftGracePeriod: text('eviction-soft-grace-period', { default: '', placeholder: 'SIGNAL=DURATION,...', description: 'how long a soft threshold must be crossed, e.g. memory.available=1m30s' }),
  evictionMaxPodGraceSeconds: integer('eviction-max-pod-grace-period', { default: 0, min: 0, max: 86_400, placeholder: 'SECONDS', description: 'the most that a pod gets to end in when a soft threshold evicts it' }),
  evictionMinimumReclaim: text('eviction-minimum-reclaim', { default: '', placeholder: 'SIGNAL=AMOUNT,...', check: (value) => problemOf(() => parseReclaims(value)), description: 'how much more than a threshold there has to be before evictions by it end, e.g. nodefs.available=500Mi; by default a fifth of the threshold' }),
  evictionTransitionMs: durationMs('eviction-pressure-transition-period', { default: 300_000, description: 'how long a condition of pressure stays after what brought it is gone' }),
  systemReserved: text('system-reserved', { default: '', placeholder: 'NAME=AMOUNT,...', check: reservedProblem, description: 'kept for the system, e.g. cpu=200m,memory=256Mi,ephemeral-storage=1Gi' }),
  kubeReserved: text('kube-reserved', { default: '', placeholder: 'NAME=AMOUNT,...', check: reservedProblem, description: 'kept for Cleat and the runtime, in the same words; both are taken off what pods can have' }),
  shutdownGraceMs: durationMs('shutdown-grace-period', { default: 0, description: 'how long a shutdown of the host waits for pods to end, through systemd; 0 for not at all' }),
  shutdownCriticalGraceMs: durationMs('shutdown-grace-period-critical-pods', { default: 0, description: 'how much of that is for pods of the system, which end last' }),
  shutdownGraceByPriority: text('shutdown-grace-period-by-pod-priority', {
    default: '', placeholder: 'PRIORITY=DURATION,...', check: (value) => problemOf(() => parseShutdownGroups(value)),
    description: 'instead of both, by the priority that pods have at least: the lowest end first, each group in its time, e.g. 0=10s,1000=20s,2000000000=5s',
  }),
  nodeStatusPeriodMs: durationMs('node-status-update-frequency', { default: 10_000, description: 'how often the node looks at itself; a change is reported at once' }),
} as const;

export type AgentConfig = Values<typeof agentSettings>;

/** Where device plugins register; empty for nowhere. kubelet's own folder is for the one agent of a host that keeps its state in the usual place. */
export function devicePluginDirOf({ devicePluginDir, stateDir }: Pick<AgentConfig, 'devicePluginDir' | 'stateDir'>): string {
  if (devicePluginDir !== 'auto') return devicePluginDir;
  return stateDir === hostSettings.stateDir.default ? '/var/lib/kubelet/device-plugins' : join(stateDir, 'kubelet/device-plugins');
}

const usualPodLogs = '/var/log/pods';
/** See statfs(2). */
const tmpfs = 0x01021994;

/** Undefined for beside the pods' other files. */
export function podLogsDirOf({ podLogsDir, stateDir }: Pick<AgentConfig, 'podLogsDir' | 'stateDir'>, typeOf: (folder: string) => number = fileSystemType): string | undefined {
  if (podLogsDir !== 'auto') return podLogsDir;
  return stateDir === hostSettings.stateDir.default && typeOf(dirname(usualPodLogs)) !== tmpfs ? usualPodLogs : undefined;
}

/** 0 where there is none. */
function fileSystemType(folder: string): number {
  try {
    return statfsSync(folder).type;
  } catch {
    return 0;
  }
}

/** As the settings have checked it. */
export function topologyOf({ topologyManagerPolicy, topologyManagerScope }: Pick<AgentConfig, 'topologyManagerPolicy' | 'topologyManagerScope'>): Topology {
  return {
    policy: topologyPolicies.find((policy) => policy === topologyManagerPolicy) ?? 'best-effort',
    scope: topologyScopes.find((scope) => scope === topologyManagerScope) ?? 'container',
  };
}

/** What CSI drivers know as kubelet's folder; empty for none. */
export function kubeletDirOf(config: Pick<AgentConfig, 'devicePluginDir' | 'stateDir'>): string {
  const plugins = devicePluginDirOf(config);
  return plugins === '' ? '' : dirname(plugins);
}
