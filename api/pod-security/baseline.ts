import type { Container, SELinuxOptions } from '../gen/types.ts';
import { containersOf, named, plural, quoted, setters, sorted, type AnyContainer, type Check } from './words.ts';

/** What no ordinary pod needs. Source: Kubernetes, "Pod Security Standards", level baseline. */
const defaultCapabilities = new Set(['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT']);
const selinuxTypes = new Set(['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']);

/** Safe sysctls by the first version of the standards that allows them. */
const sysctlsSince: readonly (readonly [minor: number, names: readonly string[]])[] = [
  [0, ['kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_unprivileged_port_start']],
  [27, ['net.ipv4.ip_local_reserved_ports']],
  [29, ['net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_keepalive_intvl', 'net.ipv4.tcp_keepalive_probes']],
  [32, ['net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']],
];

const appArmorPrefix = 'container.apparmor.security.beta.kubernetes.io/';

export const appArmorProfile: Check = ({ metadata, spec }) => {
  const bad = (type: string | undefined): boolean => type !== undefined && type !== 'RuntimeDefault' && type !== 'Localhost';
  const problems: string[] = [];
  const type = spec.securityContext?.appArmorProfile?.type;
  if (bad(type)) problems.push(`pod must not set AppArmor profile type to ${JSON.stringify(type)}`);
  const containers = containersOf(spec).filter(({ securityContext }) => bad(securityContext?.appArmorProfile?.type));
  if (containers.length > 0) problems.push(`${named(containers)} must not set AppArmor profile type to ${quoted(sorted(containers.map(({ securityContext }) => securityContext?.appArmorProfile?.type ?? '')))}`);
  const annotations = Object.entries(metadata?.annotations ?? {}).filter(([key, value]) => key.startsWith(appArmorPrefix) && value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'));
  if (annotations.length > 0) problems.push(`${plural('annotation', annotations.length)} ${annotations.map(([key, value]) => `"${key}"=${JSON.stringify(value)}`).sort().join(', ')}`);
  return problems.length === 0 ? undefined : { reason: plural('forbidden AppArmor profile', problems.length), detail: problems.join(', ') };
};

const added = ({ securityContext }: AnyContainer): readonly string[] => securityContext?.capabilities?.add ?? [];

export const capabilities: Check = ({ spec }) => {
  const foreign = (container: AnyContainer): string[] => added(container).filter((name) => !defaultCapabilities.has(name));
  const containers = containersOf(spec).filter((container) => foreign(container).length > 0);
  if (containers.length === 0) return undefined;
  return { reason: 'non-default capabilities', detail: `${named(containers)} must not include ${quoted(sorted(containers.flatMap(foreign)))} in securityContext.capabilities.add` };
};

export const hostNamespaces: Check = ({ spec }) => {
  const set = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name] === true);
  return set.length === 0 ? undefined : { reason: 'host namespaces', detail: set.map((name) => `${name}=true`).join(', ') };
};

export const hostPathVolumes: Check = ({ spec }) => {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  return names.length === 0 ? undefined : { reason: 'hostPath volumes', detail: `${plural('volume', names.length)} ${quoted(names)}` };
};

export const hostPorts: Check = ({ spec }) => {
  const portsOf = (container: AnyContainer): number[] => (container.ports ?? []).flatMap(({ hostPort }) => hostPort || []);
  const containers = containersOf(spec).filter((container) => portsOf(container).length > 0);
  const ports = sorted(containers.flatMap(portsOf).map(String));
  return containers.length === 0 ? undefined : { reason: 'hostPort', detail: `${named(containers)} ${containers.length === 1 ? 'uses' : 'use'} ${plural('hostPort', ports.length)} ${ports.join(', ')}` };
};

export const hostProbes: Check = ({ spec }) => {
  const hostsOf = (container: AnyContainer): string[] => {
    const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container as Container;
    return [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host].flatMap((host) => host || []));
  };
  const containers = containersOf(spec).filter((container) => hostsOf(container).length > 0);
  const hosts = sorted(containers.flatMap(hostsOf));
  return containers.length === 0 ? undefined : { reason: 'probe or lifecycle host', detail: `${named(containers)} ${containers.length === 1 ? 'uses' : 'use'} probe or lifecycle ${plural('host', hosts.length)} ${quoted(hosts)}` };
};

export const privileged: Check = ({ spec }) => {
  const containers = containersOf(spec).filter(({ securityContext }) => securityContext?.privileged === true);
  return containers.length === 0 ? undefined : { reason: 'privileged', detail: `${named(containers)} must not set securityContext.privileged=true` };
};

export const procMount: Check = ({ spec }) => {
  const odd = ({ securityContext }: AnyContainer): boolean => securityContext?.procMount !== undefined && securityContext.procMount !== 'Default';
  const containers = containersOf(spec).filter(odd);
  if (containers.length === 0) return undefined;
  return { reason: 'procMount', detail: `${named(containers)} must not set securityContext.procMount to ${quoted(sorted(containers.map(({ securityContext }) => securityContext?.procMount ?? '')))}` };
};

export const seLinuxOptions: Check = ({ spec }) => {
  const bad = (options: SELinuxOptions | undefined): boolean => options !== undefined && (!selinuxTypes.has(options.type ?? '') || Boolean(options.user) || Boolean(options.role));
  const pod = bad(spec.securityContext?.seLinuxOptions);
  const containers = containersOf(spec).filter(({ securityContext }) => bad(securityContext?.seLinuxOptions));
  if (!pod && containers.length === 0) return undefined;
  const all = [spec.securityContext?.seLinuxOptions, ...containers.map(({ securityContext }) => securityContext?.seLinuxOptions)].filter(bad);
  const types = sorted(all.flatMap((options) => (selinuxTypes.has(options?.type ?? '') ? [] : [options?.type ?? ''])));
  const data = [
    ...(types.length > 0 ? [`${plural('type', types.length)} ${quoted(types)}`] : []),
    ...(all.some((options) => options?.user) ? ['user may not be set'] : []), ...(all.some((options) => options?.role) ? ['role may not be set'] : []),
  ];
  return { reason: 'seLinuxOptions', detail: `${setters(pod, containers)} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}` };
};

export const seccompProfile: Check = ({ spec }) => {
  const bad = (type: string | undefined): boolean => type !== undefined && type !== 'RuntimeDefault' && type !== 'Localhost';
  const pod = bad(spec.securityContext?.seccompProfile?.type);
  const containers = containersOf(spec).filter(({ securityContext }) => bad(securityContext?.seccompProfile?.type));
  if (!pod && containers.length === 0) return undefined;
  const types = sorted([...(pod ? [spec.securityContext?.seccompProfile?.type ?? ''] : []), ...containers.map(({ securityContext }) => securityContext?.seccompProfile?.type ?? '')]);
  return { reason: 'seccompProfile', detail: `${setters(pod, containers)} must not set securityContext.seccompProfile.type to ${quoted(types)}` };
};

export function sysctls(minor: number): Check {
  const allowed = new Set(sysctlsSince.filter(([since]) => since <= minor).flatMap(([, names]) => names));
  return ({ spec }) => {
    const names = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed.has(name));
    return names.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: names.join(', ') };
  };
}

export const windowsHostProcess: Check = ({ spec }) => {
  const pod = spec.securityContext?.windowsOptions?.hostProcess === true;
  const containers = containersOf(spec).filter(({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true);
  return pod || containers.length > 0 ? { reason: 'hostProcess', detail: `${setters(pod, containers)} must not set securityContext.windowsOptions.hostProcess=true` } : undefined;
};
