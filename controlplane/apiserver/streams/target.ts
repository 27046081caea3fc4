import type { Pod } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest } from '../api-errors.ts';
import type { RouteDeps } from '../routes/types.ts';
import type { NodeGateway } from '../types.ts';

/** The node of a pod, in Kubernetes' words when there is none. */
export function nodeOf(deps: RouteDeps, pod: Pod): { readonly nodes: NodeGateway; readonly nodeName: string } {
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) throw badRequest(`pod ${pod.metadata?.name ?? ''} does not have a host assigned`);
  return { nodes: gateway(deps, nodeName), nodeName };
}

export function gateway(deps: RouteDeps, nodeName: string): NodeGateway {
  if (!deps.nodes) throw new StatusError('ServiceUnavailable', `node ${nodeName} is not connected`);
  return deps.nodes;
}
