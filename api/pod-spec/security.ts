import type { AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext } from '../gen/types.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { inRange, supportedIfSet } from '../meta/rules.ts';

const maxId = 2 ** 31 - 1;
const sysctlText = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/** The security context of a container. */
export function validateSecurity(security: SecurityContext | undefined, field: string, hostUsers: boolean | undefined): FieldError[] {
  if (security === undefined) return [];
  const errors = [...inRange(`${field}.runAsUser`, security.runAsUser, 0, maxId), ...inRange(`${field}.runAsGroup`, security.runAsGroup, 0, maxId)];
  const { procMount } = security;
  errors.push(...supportedIfSet(`${field}.procMount`, procMount, ['Default', 'Unmasked']));
  if (procMount === 'Unmasked' && hostUsers !== false) errors.push(invalid(`${field}.procMount`, procMount, '`hostUsers` must be false to use `Unmasked`'));
  if (security.allowPrivilegeEscalation === false) {
    if (security.privileged === true) errors.push(invalid(field, security, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (security.capabilities?.add?.includes('CAP_SYS_ADMIN')) {
      errors.push(invalid(field, security, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'));
    }
  }
  return [...errors, ...validateProfile(security.seccompProfile, 'seccomp', `${field}.seccompProfile`), ...validateProfile(security.appArmorProfile, 'AppArmor', `${field}.appArmorProfile`)];
}

function validateProfile(profile: SeccompProfile | AppArmorProfile | undefined, what: 'seccomp' | 'AppArmor', field: string): FieldError[] {
  if (profile === undefined) return [];
  const { localhostProfile, type } = profile;
  const path = `${field}.localhostProfile`;
  if (!type) return [required(`${field}.type`, what === 'seccomp' ? 'type is required when seccompProfile is set' : 'type is required when appArmorProfile is set')];
  if (type === 'Localhost') {
    if (!localhostProfile) return [required(path, `must be set when ${what} type is Localhost`)];
    if (what === 'seccomp') return localhostProfile.startsWith('/') || localhostProfile.split('/').includes('..') ? [invalid(path, localhostProfile, localhostProfile.startsWith('/') ? 'must be a relative path' : "must not contain '..'")] : [];
    if (localhostProfile !== localhostProfile.trim()) return [invalid(path, localhostProfile, 'must not be padded with whitespace')];
    return localhostProfile.length > 4095 ? [invalid(path, localhostProfile, 'may not be more than 4095 bytes')] : [];
  }
  if (type !== 'RuntimeDefault' && type !== 'Unconfined') return [notSupported(`${field}.type`, type, ['Localhost', 'RuntimeDefault', 'Unconfined'])];
  return localhostProfile === undefined ? [] : [invalid(path, localhostProfile, `can only be set when ${what} type is Localhost`)];
}

/** The security context of a pod, and what it shares with its host. */
export function validatePodSecurity(spec: PodSpec, field: string): FieldError[] {
  const path = `${field}.securityContext`;
  const security: PodSecurityContext = spec.securityContext ?? {};
  const errors = (['runAsUser', 'runAsGroup', 'fsGroup'] as const).flatMap((name) => inRange(`${path}.${name}`, security[name], 0, maxId));
  for (const [i, group] of (security.supplementalGroups ?? []).entries()) errors.push(...inRange(`${path}.supplementalGroups[${i}]`, group, 0, maxId));
  errors.push(
    ...supportedIfSet(`${path}.fsGroupChangePolicy`, security.fsGroupChangePolicy, ['Always', 'OnRootMismatch']),
    ...supportedIfSet(`${path}.supplementalGroupsPolicy`, security.supplementalGroupsPolicy, ['Merge', 'Strict']),
    ...validateProfile(security.seccompProfile, 'seccomp', `${path}.seccompProfile`), ...validateProfile(security.appArmorProfile, 'AppArmor', `${path}.appArmorProfile`),
    ...validateSysctls(spec, `${path}.sysctls`),
  );
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    errors.push(invalid(`${field}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'));
  }
  return spec.hostUsers === false ? [...errors, ...validateOwnUsers(spec, field)] : errors;
}

/** Users who are a pod's own have no rights to what is the host's, its disks among it. */
function validateOwnUsers(spec: PodSpec, field: string): FieldError[] {
  const why = 'when `hostUsers` is false';
  return [
    ...([['hostNetwork', 'hostNetwork'], ['hostPID', 'HostPID'], ['hostIPC', 'HostIPC']] as const).flatMap(([name, shown]) => (spec[name] === true ? [forbidden(`${field}.${shown}`, why)] : [])),
    ...(['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap((list) => (spec[list] ?? []).flatMap(({ volumeDevices = [] }, i) => (volumeDevices.length > 0 ? [forbidden(`${field}.${list}[${i}].volumeDevices`, why)] : []))),
  ];
}

function validateSysctls({ hostIPC, hostNetwork, securityContext }: PodSpec, field: string): FieldError[] {
  const seen = new Set<string>();
  return (securityContext?.sysctls ?? []).flatMap(({ name }, i) => {
    const path = `${field}[${i}].name`;
    const errors: FieldError[] = [];
    if (!name) errors.push(required(path));
    else if (name.length > 253 || !/^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/.test(name)) errors.push(invalid(path, name, sysctlText));
    else if (seen.has(name)) errors.push(duplicate(path, name));
    seen.add(name);
    if (hostNetwork === true && /^net[./]/.test(name ?? '')) errors.push(invalid(path, name, "may not be specified when 'hostNetwork' is true"));
    if (hostIPC === true && /^(kernel[./](shm|msg|sem)|fs[./]mqueue[./])/.test(name ?? '')) errors.push(invalid(path, name, "may not be specified when 'hostIPC' is true"));
    return errors;
  });
}
