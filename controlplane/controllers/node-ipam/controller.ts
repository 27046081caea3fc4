import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { eventAction, execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { nextRange } from './reconcile.ts';

/** Gives every node the range that its pods' addresses come from. One worker: ranges are given out one by one. */
export function nodeIpamController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, client, log } = deps;
  const lister = informers.informer(nodes);
  /** Given, but not in the cache yet: node → range. */
  const given = new Map<string, string>();

  function used(): string[] {
    const ranges: string[] = [];
    for (const node of lister.list()) {
      const own = rangesOf(node);
      if (own.length > 0) given.delete(node.metadata?.name ?? '');
      ranges.push(...own);
    }
    return [...ranges, ...given.values()];
  }

  return {
    watches: [watch(lister, ({ object, old }) => {
      if (object) return rangesOf(object).length === 0 ? [object.metadata?.name ?? ''] : [];
      given.delete(old?.metadata?.name ?? '');
      // A range is free again: it may be the one that somebody waits for.
      return lister.list().filter((node) => rangesOf(node).length === 0).map((node) => node.metadata?.name ?? '');
    })],
    async reconcile(name) {
      const node = lister.get(undefined, name);
      if (node === undefined || rangesOf(node).length > 0 || given.has(name)) return undefined;
      const range = nextRange(config.podCidr, config.nodeCidrMaskSize, used());
      if (range === undefined) {
        const message = `all ranges of /${String(config.nodeCidrMaskSize)} of the pod range ${config.podCidr} are in use: delete nodes that are gone`;
        log.error({ node: name }, 'no pod range left for a node');
        await execute(deps, [eventAction(nodes, node, 'Warning', 'CIDRNotAvailable', `Node ${name} gets no pod range: ${message}`)]);
        return undefined;
      }
      given.set(name, range);
      try {
        await client.patch(nodes, undefined, name, 'merge', { metadata: { uid: node.metadata?.uid }, spec: { podCIDR: range, podCIDRs: [range] } });
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
