import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { eachOf } from '../each.ts';
import { refuse } from '../flags.ts';
import { checkedName } from '../names.ts';
import { pathOf, resolveResource } from '../resources.ts';
import { listObjects } from '../selection.ts';

export interface Node {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly unschedulable?: boolean };
}

/** The nodes that words (`pi-1`, `node/pi-1`) or labels name, and what went wrong with others. */
export async function selectNodes(command: string, client: RestClient, args: readonly string[], labels: string | undefined): Promise<{ readonly nodes: readonly Node[]; readonly failures: readonly unknown[] }> {
  if (args.length === 0 && labels === undefined) throw refuse(command, `name the node to ${command.split(' ').at(-1) ?? ''}; see cleat nodes`);
  if (args.length > 0 && labels !== undefined) throw refuse(command, 'cannot specify both a node name and a --selector option');
  const type = await resolveResource(client, 'nodes');
  if (labels !== undefined) return { nodes: (await listObjects<{ items: Node[] }>(client, type, undefined, { labels })).items, failures: [] };
  const nodes: Node[] = [];
  const failures = await eachOf(args, async (word) => {
    const name = word.replace(/^(nodes?|no)\//, '');
    if (name.includes('/')) throw new StatusError('BadRequest', `${word} is no node`);
    checkedName(name);
    nodes.push(await client.json<Node>('GET', pathOf(type, undefined, name)));
  });
  return { nodes, failures };
}

/** False when the node is so already. */
export async function cordon(client: RestClient, { metadata, spec }: Node, unschedulable: boolean, dryRun: 'none' | 'client' | 'server'): Promise<boolean> {
  if ((spec?.unschedulable ?? false) === unschedulable) return false;
  if (dryRun !== 'client') await client.json('PATCH', `/api/v1/nodes/${encodeURIComponent(metadata.name)}?fieldManager=kubectl-cordon${dryRun === 'server' ? '&dryRun=All' : ''}`, { spec: { unschedulable: unschedulable ? true : null } }, { contentType: 'application/merge-patch+json' });
  return true;
}
