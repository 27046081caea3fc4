import type { NodeImages } from '#agent/images/node-images.ts';
import type { PodNetwork } from '#agent/network/pod-network.ts';
import type { PodManager } from '#agent/pods/manager.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { TunnelHandlers } from '#agent/session/types.ts';
import type { HostTasks } from '#agent/upgrade/host-tasks.ts';

/** What the control plane may ask for; streams into pods are loaded when the first is asked for. */
export function tunnelHandlers(pods: PodManager, driver: RuntimeDriver, uidOf: (apiUid: string) => string, network: PodNetwork, images: NodeImages, hostTasks: () => Promise<HostTasks>, kubelet: NonNullable<TunnelHandlers['kubelet']>): TunnelHandlers {
  return {
    logs: (request, signal) => pods.logs({ ...request, podUid: uidOf(request.podUid) }, signal),
    usage: (signal, parts) => pods.usage(signal, parts),
    removeVolume: (name) => pods.removeVolume(name),
    network: (check, signal) => (check ? network.check(signal) : network.status(signal)),
    kubelet,
    open: async (request, signal) => (request.kind === 'host' ? (await hostTasks()).serve(request) : request.kind === 'images' ? images.serve(request, signal)
      : (await import('./pod-streams.ts')).openStream(driver, 'podUid' in request ? { ...request, podUid: uidOf(request.podUid) } : request, signal)),
  };
}
