import type { Pod } from '#api/gen/types.ts';
import { matchesNode, type NodeIdentity } from '#api/pod-spec/node-selector.ts';
import { isTolerated } from '#api/pod-spec/tolerations.ts';
import { isCritical } from '../eviction/rank.ts';
import { allContainersOf } from './containers.ts';
import { qosClassOf } from './qos.ts';

/** Why a node refuses a pod for good: as `reason` and `message` of its status. */
export interface Rejection { readonly reason: string; readonly message: string }

/** What of a node decides whether a pod may come. */
export interface AdmissionFacts {
  /** Sysctls beside the safe ones; a `*` at the end stands for anything. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** Whether the runtime can leave out an image's groups; undefined while that is not known. */
  readonly strictGroups: boolean | undefined;
  /** Whether the kernel enforces AppArmor. */
  readonly appArmor: boolean;
  /** As the API knows it; undefined while this host has not heard of itself. */
  readonly node: NodeIdentity | undefined;
  /** The node's conditions of pressure that are true. */
  readonly pressures: readonly string[];
}

/** Settings that only concern the pod itself, and cannot harm another. Kubernetes' own list. */
const safe: Readonly<Record<string, 'IPC' | 'Net'>> = {
  'kernel.shm_rmid_forced': 'IPC',
  'net.ipv4.ip_local_port_range': 'Net', 'net.ipv4.ip_local_reserved_ports': 'Net', 'net.ipv4.ip_unprivileged_port_start': 'Net', 'net.ipv4.ping_group_range': 'Net',
  'net.ipv4.tcp_fin_timeout': 'Net', 'net.ipv4.tcp_keepalive_intvl': 'Net', 'net.ipv4.tcp_keepalive_probes': 'Net', 'net.ipv4.tcp_keepalive_time': 'Net',
  'net.ipv4.tcp_rmem': 'Net', 'net.ipv4.tcp_syncookies': 'Net', 'net.ipv4.tcp_wmem': 'Net',
};
const memoryPressure = { key: 'node.kubernetes.io/memory-pressure', effect: 'NoSchedule' } as const;
const osLabel = 'kubernetes.io/os';

/** Undefined for a pod that may run here. In kubelet's words otherwise. */
export function rejectionOf(pod: Pod, facts: AdmissionFacts): Rejection | undefined {
  const { metadata, spec, status } = pod;
  // What has been here before, and lost all that it had, comes back: nobody has put it elsewhere.
  const isNew = status?.startTime === undefined;
  if (isNew && isUnbearable(pod, facts.pressures)) return { reason: 'Evicted', message: `The node had condition: [${facts.pressures.join(' ')}]. ` };
  for (const { name } of spec?.securityContext?.sysctls ?? []) {
    const problem = sysctlProblem(sysctlName(name), { IPC: spec?.hostIPC ?? false, Net: spec?.hostNetwork ?? false }, facts.allowedUnsafeSysctls);
    if (problem !== undefined) return { reason: 'SysctlForbidden', message: `forbidden sysctl: ${problem}` };
  }
  if ((metadata?.labels?.[osLabel] ?? 'linux') !== 'linux') return { reason: 'PodOSSelectorNodeLabelDoesNotMatch', message: `Failed to admit pod as the \`${osLabel}\` label doesn't match node label` };
  if ((spec?.os?.name || 'linux') !== 'linux') return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" };
  if (spec?.securityContext?.supplementalGroupsPolicy === 'Strict' && facts.strictGroups === false) return { reason: 'SupplementalGroupsPolicyNotSupported', message: 'SupplementalGroupsPolicy=Strict is not supported in this node' };
  if (isNew && facts.node && !matchesNode(spec, facts.node)) return { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" };
  if (!facts.appArmor && asksForAppArmor(pod)) return { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' };
  return undefined;
}

/** True when some container is not to run without a profile of AppArmor. */
export function asksForAppArmor(pod: Pod): boolean {
  const shared = pod.spec?.securityContext?.appArmorProfile?.type;
  return allContainersOf(pod).some(({ securityContext }) => (securityContext?.appArmorProfile?.type ?? shared ?? 'Unconfined') !== 'Unconfined');
}

/** A node that is short of something takes nobody in but the system; one that is short of memory those, too, who said how much they need. */
function isUnbearable(pod: Pod, pressures: readonly string[]): boolean {
  if (pressures.length === 0 || isCritical(pod)) return false;
  if (pressures.some((type) => type !== 'MemoryPressure')) return true;
  return qosClassOf(pod) === 'BestEffort' && !isTolerated(memoryPressure, pod.spec?.tolerations);
}

function sysctlProblem(name: string, ofHost: { readonly IPC: boolean; readonly Net: boolean }, allowedUnsafe: readonly string[]): string | undefined {
  const allowed = allowedUnsafe.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
  const namespace = safe[name] ?? (allowed ? namespaceOf(name) : undefined);
  if (namespace === undefined) return `"${name}" not allowlisted`;
  return ofHost[namespace] ? `"${name}" not allowed with host ${namespace} enabled` : undefined;
}

function namespaceOf(name: string): 'IPC' | 'Net' | undefined {
  if (name.startsWith('net.')) return 'Net';
  return /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name) ? 'IPC' : undefined;
}

/** With dots between its parts. Written with slashes, a part may hold dots, such as an interface's name: they change places. */
export function sysctlName(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  return first === '/' ? name.replaceAll(/[./]/g, (mark) => (mark === '/' ? '.' : '/')) : name;
}
