import type { Node } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import type { NetworkCounters } from '#common/container-details.ts';
import { rfc3339 } from '#common/time.ts';
import { methodNotAllowed, noSuchPath } from '../../api-errors.ts';
import { parseBytes } from '../../encoding.ts';
import { json, text, type Reply } from '../../http/reply.ts';
import type { ApiRequest } from '../../http/request.ts';
import { listPage } from '../../resource-lists.ts';
import type { RouteDeps } from '../../routes/types.ts';
import type { ContainerUsage, PodUsage, Usage, VolumeAmounts } from '../../types.ts';
import { gateway } from '../target.ts';
import { sumOf } from './node-usage.ts';

/** What people ask of a node's kubelet; an agent listens on no port, so the server answers with what it knows or asks through the agent's connection. */
export async function serveKubelet(deps: RouteDeps, node: Node, request: ApiRequest, path: string): Promise<Reply> {
  const [, verb] = /^\/images\/([a-z]+)$/.exec(path) ?? [];
  if (verb !== undefined) return (await import('./node-images.ts')).serveNodeImages(deps, node.metadata?.name ?? '', request, verb);
  if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed({ group: '', plural: 'nodes', kind: 'Node' }, request.method.toLowerCase());
  const name = node.metadata?.name ?? '';
  switch (path.replace(/\/$/, '')) {
    case '/healthz': {
      await gateway(deps, name).usage(name, request.signal);
      return text('ok');
    }
    case '/pods': {
      const page = await listPage(deps.store, deps.kinds.of(pods), undefined, { fieldSelector: `spec.nodeName=${name}` });
      return json({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: page.entries.map(({ value }) => parseBytes(value)) });
    }
    case '/network': {
      const nodes = gateway(deps, name);
      if (nodes.network === undefined) throw noSuchPath();
      return json(await nodes.network(name, request.query.get('check') === 'true', request.signal) as object);
    }
    case '/stats/summary': return json(await summary(deps, name, request.signal));
    case '/configz': {
      const nodes = gateway(deps, name);
      if (nodes.kubelet === undefined) throw noSuchPath();
      return json(await nodes.kubelet(name, 'configz', request.signal) as object);
    }
    case '/metrics':
    case '/metrics/cadvisor':
    case '/metrics/probes':
    case '/metrics/resource': {
      const { nodeMetrics } = await import('./node-metrics.ts');
      const body = await nodeMetrics(path.replace(/\/$/, ''), node, gateway(deps, name), request.signal);
      return { ...text(body), contentType: 'text/plain; version=0.0.4; charset=utf-8' };
    }
    default: throw noSuchPath();
  }
}

/** Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/ */
async function summary(deps: RouteDeps, nodeName: string, signal: AbortSignal): Promise<object> {
  const { atMs, node, pods: used } = await gateway(deps, nodeName).usage(nodeName, signal, { volumes: true });
  const time = rfc3339(atMs);
  const stats = ({ cpuMillis, memoryBytes, cpuSeconds }: Usage): object => ({
    cpu: { time, usageNanoCores: Math.round(cpuMillis * 1e6), ...(cpuSeconds !== undefined && { usageCoreNanoSeconds: Math.round(cpuSeconds * 1e9) }) },
    memory: { time, workingSetBytes: memoryBytes },
  });
  const memory = ({ memoryBytes, details: { memory: counted } = {} }: ContainerUsage): object => (counted ? { memory: {
    time, ...counted.limitBytes !== undefined && { availableBytes: Math.max(0, counted.limitBytes - memoryBytes) },
    usageBytes: counted.usageBytes, workingSetBytes: memoryBytes, rssBytes: counted.rssBytes, pageFaults: counted.pageFaults, majorPageFaults: counted.majorPageFaults,
  } } : {});
  return {
    node: {
      nodeName, ...stats(node), ...(node.disk && { fs: { time, ...amounts(node.disk) } }),
      ...(node.pids && { rlimit: { time, maxpid: node.pids.limit, curproc: node.pids.used } }),
      ...(node.imageDisk && { runtime: { imageFs: { time, ...amounts(node.imageDisk) }, containerFs: { time, ...amounts({ ...node.imageDisk, ...sumOfWritten(used) }) } } }),
    },
    pods: used.map(({ namespace, name, uid, startedAtMs, network, containers, volumes, ephemeral }) => ({
      podRef: { name, namespace, uid }, ...(startedAtMs !== undefined && { startTime: rfc3339(startedAtMs) }),
      containers: containers.map((container) => ({
        name: container.name, ...(container.startedAtMs !== undefined && { startTime: rfc3339(container.startedAtMs) }), ...stats(container), ...memory(container),
        ...(container.writableBytes !== undefined && { rootfs: { time, ...part(node.imageDisk, { bytes: container.writableBytes, ...(container.writableInodes !== undefined && { inodes: container.writableInodes }) }) } }),
        ...(container.logs && { logs: { time, ...part(node.disk, container.logs) } }),
      })),
      ...stats(sumOf(containers)),
      ...(containers.every(({ details }) => details?.processes !== undefined) && { process_stats: { process_count: containers.reduce((sum, { details }) => sum + (details?.processes ?? 0), 0) } }),
      ...(network && { network: { time, name: 'eth0', ...traffic(network), ...(network.interfaces && { interfaces: network.interfaces.map((one) => ({ name: one.name, ...traffic(one) })) }) } }),
      ...(volumes && { volume: volumes.map(({ name: volume, claim, abnormal, ...held }) => ({
        time, ...amounts(held), name: volume, ...(claim !== undefined && { pvcRef: { name: claim, namespace } }), ...(abnormal !== undefined && { volumeHealthStats: { abnormal } }),
      })) }),
      ...(ephemeral && { 'ephemeral-storage': { time, ...part(node.disk, ephemeral) } }),
    })),
  };
}

function traffic({ receivedBytes, receiveErrors, sentBytes, sendErrors }: NetworkCounters): object {
  return { rxBytes: receivedBytes, rxErrors: receiveErrors, txBytes: sentBytes, txErrors: sendErrors };
}

/** What one of many uses of a file system. */
function part(disk: VolumeAmounts | undefined, { bytes, inodes }: { readonly bytes: number; readonly inodes?: number }): object {
  const { usedBytes: _bytes, inodesUsed: _inodes, ...whole } = disk ?? {};
  return amounts({ ...whole, usedBytes: bytes, ...(inodes !== undefined && { inodesUsed: inodes }) });
}

/** Of images nobody counts inodes. */
function sumOfWritten(pods: readonly PodUsage[]): VolumeAmounts {
  const containers = pods.flatMap((pod) => pod.containers);
  return { usedBytes: containers.reduce((sum, { writableBytes = 0 }) => sum + writableBytes, 0), inodesUsed: containers.reduce((sum, { writableInodes = 0 }) => sum + writableInodes, 0) };
}

function amounts({ availableBytes, capacityBytes, usedBytes, inodesFree, inodes, inodesUsed }: VolumeAmounts): object {
  return { availableBytes, capacityBytes, usedBytes, inodesFree, inodes, inodesUsed };
}
