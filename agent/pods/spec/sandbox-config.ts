import type { Pod } from '#api/gen/types.ts';
import type { SandboxConfig } from '#agent/runtimes/types.ts';
import { containersOf, initContainersOf } from './containers.ts';

const maxHostname = 63;

export function hostnameOf(pod: Pod): string {
  const name = pod.spec?.hostname ?? pod.metadata?.name ?? '';
  // A label may not end in a dash or a dot, which cutting can leave.
  return name.slice(0, maxHostname).replace(/[-.]+$/, '');
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
    hostname: spec?.hostNetwork ? '' : hostnameOf(pod),
    logDirectory: facts.logDirectory,
    cgroupParent: podCgroup(facts.cgroupRoot, metadata?.uid ?? ''),
    hostNetwork: spec?.hostNetwork ?? false,
    hostPid: spec?.hostPID ?? false,
    hostIpc: spec?.hostIPC ?? false,
    shareProcessNamespace: spec?.shareProcessNamespace ?? false,
    sysctls: Object.fromEntries((spec?.securityContext?.sysctls ?? []).map((s) => [s.name, s.value])),
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
