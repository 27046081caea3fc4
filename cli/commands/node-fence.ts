import { fenceAnnotation, fencedTaint, fenceOf, isFencedTaint } from '#api/disconnect/policy.ts';
import type { Node, Taint } from '#api/gen/types.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';

const flags: readonly Flag[] = [
  { name: 'force', type: 'bool', description: 'also a node that is Ready: its host died a moment ago, or is to kill its pods' },
];

const attempts = 8;

export const command = clusterCommand({
  name: 'node', usage: 'node fence | unfence NAME ... [flags]',
  summary: 'fence says that a host is dead: its pods, those of StatefulSets too, are removed and replaced at once. When the host comes back it kills what still runs there before it does anything else, and counts again after that. unfence takes it back.',
  flags, examples: ['cleat node fence pi-3', 'cleat node fence pi-3 --force', 'cleat node unfence pi-3'], run,
});

async function run({ client, parsed, io }: Invocation): Promise<number> {
  const [verb = '', ...names] = parsed.args;
  if (verb !== 'fence' && verb !== 'unfence') throw refuse('node', verb === '' ? 'say what to do: fence or unfence' : `unknown subcommand "${verb}": expected fence or unfence`);
  if (names.length === 0) throw refuse('node', `name the node to ${verb}; see cleat nodes`);
  for (const name of names) {
    if (verb === 'unfence') {
      io.out(`node/${name} ${await change(client, name, unfenced) ? 'unfenced' : 'was not fenced'}\n`);
      continue;
    }
    // Any word that was not there before: a host that carries one fence out must not lift a newer one.
    const fence = new Date().toISOString();
    const done = await change(client, name, (node) => fenced(node, fence, parsed.bool('force')));
    io.out(done ? `node/${name} fenced, ${await podCount(client, name)}\n` : `node/${name} is fenced already\n`);
  }
  return 0;
}

async function podCount(client: RestClient, name: string): Promise<string> {
  const { items } = await client.json<{ items: unknown[] }>('GET', `/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${name}`)}`);
  return items.length === 0 ? 'no pods were there' : `${String(items.length)} ${items.length === 1 ? 'pod is' : 'pods are'} being removed`;
}

type Changed = { readonly annotation: string | null; readonly taints: readonly Taint[] } | undefined;

function othersOf(node: Node): Taint[] {
  return (node.spec?.taints ?? []).filter((taint) => !isFencedTaint(taint));
}

function fenced(node: Node, fence: string, force: boolean): Changed {
  if (fenceOf(node) !== undefined) return undefined;
  if (!force && node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')) {
    throw new StatusError('Conflict', `node ${node.metadata?.name ?? ''} is Ready, so its host was heard of a moment ago; if you know that it is dead, say so with --force. To empty a host that lives, use kubectl drain`);
  }
  return { annotation: fence, taints: [...othersOf(node), fencedTaint] };
}

function unfenced(node: Node): Changed {
  return fenceOf(node) === undefined ? undefined : { annotation: null, taints: othersOf(node) };
}

/** True when something was to be changed. Heartbeats and taints of others come in between: then it is judged anew. */
async function change(client: RestClient, name: string, changed: (node: Node) => Changed): Promise<boolean> {
  const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
  for (let attempt = 1; ; attempt++) {
    const node = await client.json<Node>('GET', path);
    const next = changed(node);
    if (!next) return false;
    const patch = { metadata: { resourceVersion: node.metadata?.resourceVersion, annotations: { [fenceAnnotation]: next.annotation } }, spec: { taints: next.taints } };
    try {
      await client.json('PATCH', path, patch, { contentType: 'application/merge-patch+json' });
      return true;
    } catch (error) {
      if (!isStatus(error, 'Conflict') || attempt === attempts) throw error;
    }
  }
}
