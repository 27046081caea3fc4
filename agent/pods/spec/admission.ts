import type { Pod } from '#api/gen/types.ts';

/** Why a node refuses a pod for good: as `reason` and `message` of its status. */
export interface Rejection { readonly reason: string; readonly message: string }

/** Settings that only concern the pod itself, and cannot harm another. Kubernetes' own list. */
const safe: Readonly<Record<string, 'IPC' | 'Net'>> = {
  'kernel.shm_rmid_forced': 'IPC',
  'net.ipv4.ip_local_port_range': 'Net', 'net.ipv4.ip_local_reserved_ports': 'Net', 'net.ipv4.ip_unprivileged_port_start': 'Net', 'net.ipv4.ping_group_range': 'Net',
  'net.ipv4.tcp_fin_timeout': 'Net', 'net.ipv4.tcp_keepalive_intvl': 'Net', 'net.ipv4.tcp_keepalive_probes': 'Net', 'net.ipv4.tcp_keepalive_time': 'Net',
  'net.ipv4.tcp_rmem': 'Net', 'net.ipv4.tcp_syncookies': 'Net', 'net.ipv4.tcp_wmem': 'Net',
};

/** Undefined for a pod that may run here. `allowedUnsafe`: further sysctls, a `*` at the end stands for anything. `strictGroups`: whether the runtime can leave out an image's groups; undefined while that is not known. */
export function rejectionOf({ spec }: Pod, allowedUnsafe: readonly string[], strictGroups?: boolean): Rejection | undefined {
  const os = spec?.os?.name;
  if (os !== undefined && os !== '' && os !== 'linux') return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" };
  if (spec?.securityContext?.supplementalGroupsPolicy === 'Strict' && strictGroups === false) return { reason: 'SupplementalGroupsPolicyNotSupported', message: 'SupplementalGroupsPolicy=Strict is not supported in this node' };
  for (const { name } of spec?.securityContext?.sysctls ?? []) {
    const problem = sysctlProblem(sysctlName(name), { IPC: spec?.hostIPC ?? false, Net: spec?.hostNetwork ?? false }, allowedUnsafe);
    if (problem !== undefined) return { reason: 'SysctlForbidden', message: `forbidden sysctl: ${problem}` };
  }
  return undefined;
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
