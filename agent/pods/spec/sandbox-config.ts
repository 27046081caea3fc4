import type { Pod } from '#api/gen/types.ts';
import type { SandboxConfig } from '#agent/runtimes/types.ts';
import { StatusError } from '#common/errors.ts';
import { sysctlName } from './admission.ts';
import { allContainersOf, containersOf, initContainersOf } from './containers.ts';

const maxHostname = 63;
/** What the kernel takes. */
const maxFqdn = 64;

export function hostnameOf(pod: Pod): string {
  const { hostname, hostnameOverride } = pod.spec ?? {};
  if (hostnameOverride) return hostnameOverride;
  // A label may not end in a dash or a dot, which cutting can leave.
  return (hostname || (pod.metadata?.name ?? '')).slice(0, maxHostname).replace(/[-.]+$/, '');
}

/** The pod's name in the cluster's DNS; undefined without a subdomain. */
export function fqdnOf(pod: Pod, clusterDomain: string): string | undefined {
  const { subdomain, hostnameOverride } = pod.spec ?? {};
  return subdomain && !hostnameOverride ? `${hostnameOf(pod)}.${subdomain}.${pod.metadata?.namespace ?? ''}.svc.${clusterDomain}` : undefined;
}

/** What `hostname` says in the pod. */
function ownName(pod: Pod, clusterDomain: string): string {
  const fqdn = pod.spec?.setHostnameAsFQDN ? fqdnOf(pod, clusterDomain) : undefined;
  if (fqdn !== undefined && fqdn.length > maxFqdn) {
    throw new StatusError('Invalid', `Failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (${String(maxFqdn)} characters is the max, ${String(fqdn.length)} characters requested)`);
  }
  return fqdn ?? hostnameOf(pod);
}

/**
 * `/kubepods/pod<uid>`, whatever the pod's class: each pod's cgroup has the share that it requests, so that no share
 * of a class has to be kept up to date.
 */
export function podCgroup(cgroupRoot: string, uid: string): string {
  return `${cgroupRoot}/pod${uid}`;
}

export interface SandboxFacts {
  readonly attempt: number;
  readonly logDirectory: string;
  readonly cgroupRoot: string;
  readonly clusterDomain: string;
  readonly dns: SandboxConfig['dns'];
}

export function sandboxConfig(pod: Pod, facts: SandboxFacts): SandboxConfig {
  const { metadata, spec } = pod;
  const ports = [...initContainersOf(pod), ...containersOf(pod)].flatMap((c) => c.ports ?? []);
  return {
    podUid: metadata?.uid ?? '',
    podNamespace: metadata?.namespace ?? '',
    podName: metadata?.name ?? '',
    attempt: facts.attempt,
    hostname: spec?.hostNetwork ? '' : ownName(pod, facts.clusterDomain),
    logDirectory: facts.logDirectory,
    cgroupParent: podCgroup(facts.cgroupRoot, metadata?.uid ?? ''),
    hostNetwork: spec?.hostNetwork ?? false,
    hostPid: spec?.hostPID ?? false,
    hostIpc: spec?.hostIPC ?? false,
    shareProcessNamespace: spec?.shareProcessNamespace ?? false,
    privileged: allContainersOf(pod).some((c) => c.securityContext?.privileged),
    runtimeHandler: '',
    sysctls: Object.fromEntries((spec?.securityContext?.sysctls ?? []).map((s) => [sysctlName(s.name), s.value])),
    dns: facts.dns,
    ports: spec?.hostNetwork ? [] : ports.map((port) => ({
      protocol: port.protocol === 'UDP' || port.protocol === 'SCTP' ? port.protocol : 'TCP',
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? '',
    })),
    labels: metadata?.labels ?? {},
  };
}
