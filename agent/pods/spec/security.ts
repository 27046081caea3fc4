import { join } from 'node:path';
import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig, ImageUser, SecurityProfile } from '#agent/runtimes/types.ts';
import { StatusError } from '#common/errors.ts';
import { containersOf, initContainersOf } from './containers.ts';

type Security = ContainerConfig['security'];

/** What of /proc and /sys no container needs and tells, or harms, the host. The lists of all runtimes and of kubelet. */
const maskedPaths = [
  '/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats',
  '/proc/sched_debug', '/proc/scsi', '/sys/firmware', '/sys/devices/virtual/powercap',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export interface SecurityFacts {
  /** Whom the image runs as; given when `needsImageUser`. */
  readonly imageUser: ImageUser | undefined;
  /** Where profiles of type Localhost are. */
  readonly seccompDir: string;
  /** Whether the kernel enforces AppArmor. */
  readonly appArmor: boolean;
}

/** True when what the image says of its user decides: nobody else names one, and it matters. */
export function needsImageUser(pod: Pod, container: Container): boolean {
  const { runAsUser, runAsGroup, runAsNonRoot } = { ...pod.spec?.securityContext, ...container.securityContext };
  return runAsUser === undefined && (runAsNonRoot === true || runAsGroup !== undefined);
}

/** The container's own before the pod's. Rejects what would run otherwise than asked for. */
export function securityOf(pod: Pod, container: Container, facts: SecurityFacts): Security {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const privileged = own?.privileged ?? false;
  const unmasked = own?.procMount === 'Unmasked';
  const seLinux = own?.seLinuxOptions ?? shared?.seLinuxOptions;
  const appArmor = appArmorOf(pod, container, facts.appArmor);
  return {
    ...userOf(pod, container, facts.imageUser),
    supplementalGroups: [...(shared?.supplementalGroups ?? []), ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup])],
    ...(shared?.supplementalGroupsPolicy === 'Strict' && { strictGroups: true }),
    privileged,
    readOnlyRoot: own?.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own?.allowPrivilegeEscalation === false && !privileged,
    addCapabilities: own?.capabilities?.add ?? [],
    dropCapabilities: own?.capabilities?.drop ?? [],
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccompOf(pod, container, facts.seccompDir),
    ...(appArmor && { appArmor }),
    ...(seLinux && { seLinux: { user: seLinux.user ?? '', role: seLinux.role ?? '', type: seLinux.type ?? '', level: seLinux.level ?? '' } }),
  };
}

/** Whom all containers run as, by the pod's own words; those that are added to a running pod do not count. Undefined where one may run as another. */
export function onlyUserOf(pod: Pod): number | undefined {
  const users = new Set([...initContainersOf(pod), ...containersOf(pod)].map(({ securityContext }) => securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser));
  const [first] = users;
  return users.size === 1 ? first : undefined;
}

function userOf(pod: Pod, container: Container, imageUser: ImageUser | undefined): Pick<Security, 'runAsUser' | 'runAsUserName' | 'runAsGroup'> {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const runAsUser = own?.runAsUser ?? shared?.runAsUser ?? imageUser?.uid;
  const runAsUserName = runAsUser === undefined ? imageUser?.name : undefined;
  const runAsGroup = own?.runAsGroup ?? shared?.runAsGroup;
  const where = `(pod: "${pod.metadata?.name ?? ''}_${pod.metadata?.namespace ?? ''}(${pod.metadata?.uid ?? ''})", container: ${container.name})`;
  if (own?.runAsNonRoot ?? shared?.runAsNonRoot) {
    if (runAsUserName !== undefined) throw new StatusError('Invalid', `container has runAsNonRoot and image has non-numeric user (${runAsUserName}), cannot verify user is non-root ${where}`);
    if (runAsUser === 0) throw new StatusError('Invalid', imageUser ? `container has runAsNonRoot and image will run as root ${where}` : `container's runAsUser breaks non-root policy ${where}`);
  }
  return {
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsUserName !== undefined && { runAsUserName }),
    ...(runAsGroup !== undefined && { runAsGroup }),
  };
}

/** Nothing said means unconfined, as in Kubernetes. */
function seccompOf(pod: Pod, container: Container, seccompDir: string): SecurityProfile {
  const profile = container.securityContext?.seccompProfile ?? pod.spec?.securityContext?.seccompProfile;
  if (profile?.type === 'RuntimeDefault') return { type: 'RuntimeDefault' };
  if (profile?.type !== 'Localhost') return { type: 'Unconfined' };
  const name = profile.localhostProfile ?? '';
  if (name === '' || name.startsWith('/') || name.split('/').includes('..')) throw new StatusError('Invalid', `localhostProfile ${JSON.stringify(name)} is no path below ${seccompDir}`);
  return { type: 'Localhost', reference: join(seccompDir, name) };
}

function appArmorOf(pod: Pod, container: Container, enforced: boolean): SecurityProfile | undefined {
  const profile = container.securityContext?.appArmorProfile ?? pod.spec?.securityContext?.appArmorProfile;
  if (!profile) return undefined;
  if (profile.type === 'Unconfined') return { type: 'Unconfined' };
  if (!enforced) throw new StatusError('Invalid', 'Cannot enforce AppArmor: AppArmor is not enabled on the host');
  return profile.type === 'Localhost' ? { type: 'Localhost', reference: profile.localhostProfile ?? '' } : { type: 'RuntimeDefault' };
}
