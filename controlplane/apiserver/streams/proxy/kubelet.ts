import type { Node } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { methodNotAllowed, noSuchPath } from '../../api-errors.ts';
import { parseBytes } from '../../encoding.ts';
import { json, text, type Reply } from '../../http/reply.ts';
import type { ApiRequest } from '../../http/request.ts';
import { listPage } from '../../resource-lists.ts';
import type { RouteDeps } from '../../routes/types.ts';
import { gateway } from '../target.ts';

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
    default: throw noSuchPath();
  }
}

/** Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/ */
async function summary(deps: RouteDeps, nodeName: string, signal: AbortSignal): Promise<object> {
  const { atMs, node, pods: used } = await gateway(deps, nodeName).usage(nodeName, signal);
  const time = rfc3339(atMs);
  const stats = ({ cpuMillis, memoryBytes }: { readonly cpuMillis: number; readonly memoryBytes: number }): object => ({
    cpu: { time, usageNanoCores: Math.round(cpuMillis * 1e6) }, memory: { time, workingSetBytes: memoryBytes },
  });
  return {
    node: { nodeName, ...stats(node) },
    pods: used.map(({ namespace, name, uid, containers }) => ({
      podRef: { name, namespace, uid }, containers: containers.map((container) => ({ name: container.name, ...stats(container) })),
      ...stats({ cpuMillis: sum(containers.map(({ cpuMillis }) => cpuMillis)), memoryBytes: sum(containers.map(({ memoryBytes }) => memoryBytes)) }),
    })),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
