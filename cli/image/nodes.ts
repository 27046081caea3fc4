import { seenAtAnnotation } from '#api/network/annotations.ts';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import type { Invocation } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';

export interface ImageNode {
  readonly name: string;
  readonly architecture: string;
  readonly isReady: boolean;
  /** Where others of its network reach it. */
  readonly addresses: readonly string[];
  /** The NAT that it stands behind, by its address as the control plane sees it; empty for none. */
  readonly site: string;
}

export const nodeFlags: readonly Flag[] = [
  { name: 'node', type: 'list', description: 'on these nodes' },
  { name: 'all-nodes', type: 'bool', description: 'on every node' },
];

interface Node {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[]; readonly conditions?: readonly { readonly type: string; readonly status: string }[]; readonly nodeInfo?: { readonly architecture?: string } };
}

export async function knownNodes(client: RestClient): Promise<ImageNode[]> {
  const { items } = await client.json<{ items: Node[] }>('GET', '/api/v1/nodes');
  return items.map(({ metadata: { name, annotations }, status }): ImageNode => ({
    name, ...placeOf(status?.addresses ?? [], annotations?.[seenAtAnnotation]), architecture: status?.nodeInfo?.architecture ?? '', isReady: status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true,
  }));
}

/** The nodes that flags name. `whenSilent`: what is meant when they name none: all, or the only one that there is. */
export async function nodesOf({ client, parsed }: Invocation, command: string, whenSilent: 'all' | 'only'): Promise<ImageNode[]> {
  const nodes = await knownNodes(client);
  const wanted = parsed.list('node');
  if (wanted.length > 0 && parsed.bool('all-nodes')) throw refuse(command, 'cannot specify both --node and --all-nodes');
  const unknown = wanted.filter((name) => !nodes.some((node) => node.name === name));
  if (unknown.length > 0) throw new StatusError('NotFound', `there is no node ${unknown.join(', ')}; see cleat nodes`);
  if (wanted.length > 0) return nodes.filter(({ name }) => wanted.includes(name));
  if (nodes.length === 0) throw new StatusError('NotFound', 'there are no nodes yet; cleat token create prints the line that adds one');
  if (!parsed.bool('all-nodes') && whenSilent === 'only' && nodes.length > 1) throw refuse(command, 'say on which nodes: --node NAME,... or --all-nodes');
  return nodes;
}

function placeOf(known: readonly { readonly type: string; readonly address: string }[], seenAs = ''): Pick<ImageNode, 'addresses' | 'site'> {
  const addresses = known.filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
  const seenAt = seenAs.replace(/^::ffff:/, '');
  const isItsOwn = seenAt === '' || seenAt === '::1' || seenAt.startsWith('127.') || known.some(({ address }) => address === seenAt);
  return { addresses, site: isItsOwn ? '' : seenAt };
}
