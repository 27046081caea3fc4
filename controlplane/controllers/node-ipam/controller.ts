import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { eventAction, execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { missingRanges, nextRange } from './reconcile.ts';

/** As Kubernetes has it; IPv4 is the cluster's setting. */
const maskSizeIPv6 = 64;

/** Gives every node a range of each family, which its pods' addresses come from. One worker: ranges are given out one by one. */
export function nodeIpamController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, client, log } = deps;
  const lister = informers.informer(nodes);
  /** Given, but not in the cache yet: node → ranges. */
  const given = new Map<string, readonly string[]>();
  const wants = (node: Node): boolean => missingRanges(config.podCidr, rangesOf(node)).length > 0;

  function used(): string[] {
    const ranges: string[] = [];
    for (const node of lister.list()) {
      const own = rangesOf(node);
      const name = node.metadata?.name ?? '';
      if (given.get(name)?.every((range) => own.includes(range)) === true) given.delete(name);
      ranges.push(...own);
    }
    return [...ranges, ...[...given.values()].flat()];
  }

  return {
    watches: [watch(lister, ({ object, old }) => {
      if (object) return wants(object) ? [object.metadata?.name ?? ''] : [];
      given.delete(old?.metadata?.name ?? '');
      // A range is free again: it may be the one that somebody waits for.
      return lister.list().filter(wants).map((node) => node.metadata?.name ?? '');
    })],
    async reconcile(name) {
      const node = lister.get(undefined, name);
      const taken = used();
      if (node === undefined || given.has(name)) return undefined;
      const added: string[] = [];
      for (const cidr of missingRanges(config.podCidr, rangesOf(node))) {
        const maskSize = cidr.includes(':') ? maskSizeIPv6 : config.nodeCidrMaskSize;
        const range = nextRange(cidr, maskSize, taken);
        if (range === undefined) {
          log.error({ node: name, cidr }, 'no pod range left for a node');
          const message = `all ranges of /${String(maskSize)} of the pod range ${cidr} are in use: delete nodes that are gone`;
          await execute(deps, [eventAction(nodes, node, 'Warning', 'CIDRNotAvailable', `Node ${name} gets no pod range: ${message}`)]);
          return undefined;
        }
        added.push(range);
      }
      if (added.length === 0) return undefined;
      // What a node has stays first: its pods have addresses of it.
      const ranges = [...rangesOf(node), ...added];
      given.set(name, ranges);
      try {
        await client.patch(nodes, undefined, name, 'merge', { metadata: { uid: node.metadata?.uid }, spec: { podCIDR: ranges[0], podCIDRs: ranges } });
      } catch (error) {
        given.delete(name);
        throw error;
      }
      return undefined;
    },
  };
}

function rangesOf(node: Node): string[] {
  return node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : []);
}
