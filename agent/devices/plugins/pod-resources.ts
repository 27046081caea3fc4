import type { Socket } from 'node:net';
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import type { Pod } from '#api/gen/types.ts';
import { containersOf, initContainersOf, isSidecar } from '#agent/pods/spec/containers.ts';
import { loadContract } from '#proto/load.ts';
import type { PodAllocations } from '../record.ts';
import type { Device } from '../types.ts';
import { withPlainAuthority } from './authority.ts';

export interface PodResourcesDeps {
  /** Pods of this node that have not ended. */
  readonly pods: () => readonly Pod[];
  readonly allocations: () => ReadonlyMap<string, PodAllocations>;
  /** By resource, then by id. */
  readonly devices: () => ReadonlyMap<string, ReadonlyMap<string, Device>>;
}

interface ContainerDevices { readonly resourceName: string; readonly deviceIds: readonly string[]; readonly topology: { readonly nodes: readonly { readonly ID: number }[] } | null }

/** The kubelet's PodResources v1: which container has which device, for monitoring. Resolves with what speaks it on a connection, until the signal aborts. */
export function servePodResources(deps: PodResourcesDeps, signal: AbortSignal): (socket: Socket) => void {
  const service = loadContract(new URL('../../../proto/third_party/podresources/api.proto', import.meta.url)).services.get('v1.PodResourcesLister');
  if (!service) throw new Error('the contract of pod resources lacks its service');
  const server = new Server();
  server.addService(service, {
    List: (_call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => { answer(null, { podResources: deps.pods().map((pod) => ofPod(deps, pod)) }); },
    GetAllocatableResources: (_call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
      answer(null, { devices: [...deps.devices()].flatMap(([resource, devices]) => [...devices.values()].filter(({ healthy }) => healthy).map((device) => ofDevice(resource, device.id, device))) });
    },
    Get: ({ request: { podName, podNamespace } }: ServerUnaryCall<{ podName: string; podNamespace: string }, object>, answer: sendUnaryData<object>) => {
      const pod = deps.pods().find(({ metadata }) => metadata?.name === podName && metadata.namespace === podNamespace);
      if (pod) answer(null, { podResources: ofPod(deps, pod) });
      else answer({ code: status.UNKNOWN, details: `pod ${podName} in namespace ${podNamespace} not found` });
    },
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  signal.addEventListener('abort', () => { server.forceShutdown(); }, { once: true });
  return (socket) => { injector.injectConnection(withPlainAuthority(socket)); };
}

function ofPod({ allocations, devices }: PodResourcesDeps, pod: Pod): object {
  const own = allocations().get(pod.metadata?.uid ?? '');
  const known = devices();
  return {
    name: pod.metadata?.name, namespace: pod.metadata?.namespace,
    containers: [...initContainersOf(pod).filter(isSidecar), ...containersOf(pod)].map(({ name }) => ({
      name, devices: [...own?.get(name) ?? []].flatMap(([resource, { ids }]) => ids.map((id) => ofDevice(resource, id, known.get(resource)?.get(id)))),
    })),
  };
}

/** One at a time, as the kubelet does: each may be near to another node. */
function ofDevice(resourceName: string, id: string, device: Device | undefined): ContainerDevices {
  const nodes = (device?.numaNodes ?? []).map((ID) => ({ ID }));
  return { resourceName, deviceIds: [id], topology: nodes.length > 0 ? { nodes } : null };
}
