import type { Pod } from '#api/gen/types.ts';
import { isIP } from '#api/meta/ip.ts';
import type { LocalPod } from './local-pods.ts';
import type { ServicePort } from './types.ts';

/** True when the pod asks for ports of its host that have to be led to it. */
export function hasHostPorts(pod: Pod): boolean {
  return pod.spec?.hostNetwork !== true && containerPorts(pod).some(({ hostPort }) => hostPort !== undefined && hostPort > 0);
}

/**
 * A pod's host ports, as service ports with that pod for their only endpoint: on every address of the host, or on
 * `hostIP` alone. The client's address is kept. None while the pod has no address.
 */
export function hostPortsOf(pod: Pod, local: LocalPod | undefined): ServicePort[] {
  const { namespace = '', uid = '' } = pod.metadata ?? {};
  const ip = local?.ips.find((address) => !address.includes(':')) ?? local?.ips[0];
  // The uid names chains: unlike a pod's name it is short enough for the kernel.
  if (ip === undefined || !isIP(ip) || !/^[a-z0-9-]{1,63}$/.test(uid)) return [];
  return containerPorts(pod).flatMap(({ hostPort, containerPort, protocol, hostIP }): ServicePort[] => {
    if (hostPort === undefined || hostPort <= 0) return [];
    const bound = hostIP !== undefined && isIP(hostIP) && !['0.0.0.0', '::'].includes(hostIP);
    const name = (protocol ?? 'TCP').toLowerCase();
    const endpoints = [{ ip, port: containerPort, local: true }];
    return [{
      id: `${namespace}/${uid}:host-${name}-${String(hostPort)}`, protocol: protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP',
      clusterIps: [], loadBalancerIps: [], externalIps: bound ? [hostIP] : [], port: hostPort, nodePort: bound ? 0 : hostPort, hostPort: true,
      affinitySeconds: 0, internalLocal: false, externalLocal: true, endpoints, localEndpoints: endpoints,
    }];
  });
}

function containerPorts(pod: Pod): NonNullable<NonNullable<Pod['spec']>['containers'][number]['ports']> {
  return [...pod.spec?.initContainers ?? [], ...pod.spec?.containers ?? []].flatMap(({ ports = [] }) => ports);
}
