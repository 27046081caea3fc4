import type { Pod } from '#api/gen/types.ts';
import type { SandboxConfig } from '#agent/runtimes/types.ts';
import { containersOf, initContainersOf } from './containers.ts';
import { qosClassOf } from './qos.ts';

const maxHostname = 63;

export function hostnameOf(pod: Pod): string {
  const name = pod.spec?.hostname ?? pod.metadata?.name ?? '';
  // A label may not end in a dash or a dot, which cutting can leave.
  return name.slice(0, maxHostname).replace(/[-.]+$/, '');
}

/** `/kubepods/pod<uid>`, or below `burstable` or `besteffort`, as kubelet lays pods out. */
export function podCgroup(cgroupRoot: string, pod: Pod): string {
  const qos = qosClassOf(pod);
  const parent = qos === 'Guaranteed' ? cgroupRoot : `${cgroupRoot}/${qos.toLowerCase()}`;
  return `${parent}/pod${pod.metadata?.uid ?? ''}`;
}

/** Where the pod's cgroup may be, for cleaning up after a pod whose spec is not known any more. */
export function possiblePodCgroups(cgroupRoot: string, uid: string): string[] {
  return ['', '/burstable', '/besteffort'].map((qos) => `${cgroupRoot}${qos}/pod${uid}`);
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
    cgroupParent: podCgroup(facts.cgroupRoot, pod),
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
