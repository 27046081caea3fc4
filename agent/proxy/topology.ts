import type { Endpoint } from '#api/gen/types.ts';

/** Where this host is. */
export interface Place {
  readonly nodeName: string;
  /** Undefined when its Node has no zone. */
  readonly zone: string | undefined;
}

export const zoneLabel = 'topology.kubernetes.io/zone';

/**
 * The endpoints that hints mean for this host: those of this node where every endpoint names nodes, else those of its
 * zone where every endpoint names zones. Hints that leave somebody out, or nobody here, count for nothing: better far away than
 * nowhere. Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#topology-aware-routing and KEP-3015.
 */
export function nearby<T extends { readonly hints?: Endpoint['hints'] }>(endpoints: readonly T[], { nodeName, zone }: Place): readonly T[] {
  const meant = (names: (endpoint: T) => readonly { readonly name: string }[], here: string | undefined): readonly T[] => {
    if (here === undefined || endpoints.some((endpoint) => names(endpoint).length === 0)) return [];
    return endpoints.filter((endpoint) => names(endpoint).some(({ name }) => name === here));
  };
  const ofNode = meant(({ hints }) => hints?.forNodes ?? [], nodeName);
  if (ofNode.length > 0) return ofNode;
  const ofZone = meant(({ hints }) => hints?.forZones ?? [], zone);
  return ofZone.length > 0 ? ofZone : endpoints;
}
