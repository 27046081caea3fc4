import { StatusError } from '#common/errors.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, refuseVerb, verbFirst } from '../flags.ts';
import { selectNodes } from '../drain/nodes.ts';
import { report } from '../error-text.ts';
import type { Command } from '../types.ts';

const usage = `What can be done with the hosts of the fleet.

Usage:
  cleat node VERB NAME ... [flags]

Verbs:
  cordon    let no new pods come
  uncordon  let them come again
  drain     empty a node for maintenance
  label     set labels: cleat node label pi-1 zone=attic
  taint     keep pods off: cleat node taint pi-1 dedicated=db:NoSchedule
  fence     declare a host dead, so that its pods are replaced at once
  unfence   take that back
  remove    forget a node whose agent has been stopped
  replace   print the line to run on a new host that takes a lost one's place: its name, labels and pods

'cleat node VERB --help' says more.
`;

const verbs: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  cordon: () => import('./cordon.ts'),
  uncordon: () => import('./uncordon.ts'),
  drain: () => import('./drain.ts'),
  label: () => import('./label.ts'),
  taint: () => import('./taint.ts'),
  replace: () => import('./token.ts'),
  fence: () => import('./node-fence.ts'),
  unfence: () => import('./node-fence.ts'),
};

export const command: Command = {
  async help(argv = []) {
    const [verb = ''] = verbFirst(argv.filter((word) => word !== '--help' && word !== '-h'));
    if (verb === 'remove') return remove.help();
    return Object.hasOwn(verbs, verb) && verbs[verb] ? (await verbs[verb]()).command.help() : usage;
  },
  async run(argv, io) {
    const [verb = '', ...rest] = verbFirst(argv);
    if (verb === 'remove') return remove.run(rest, io);
    const load = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (!load) throw refuseVerb('node', verb, [...Object.keys(verbs), 'remove']);
    return (await load()).command.run(wordsFor(verb, rest), io);
  },
};

/** As the verb wants them where it stands alone. */
function wordsFor(verb: string, rest: readonly string[]): readonly string[] {
  if (verb === 'replace') return replaceWords(rest);
  if (verb === 'label' || verb === 'taint') return ['nodes', ...rest];
  return verb.endsWith('fence') ? [verb, ...rest] : rest;
}

/** A token for the one host that takes the place. */
function replaceWords(rest: readonly string[]): readonly string[] {
  const at = rest.findIndex((word) => !word.startsWith('-'));
  if (at < 0) throw refuse('node', 'name the node whose host is gone: cleat node replace pi-3');
  return ['create', `--replace=${rest[at] ?? ''}`, ...rest.slice(0, at), ...rest.slice(at + 1)];
}

const remove = clusterCommand({
  name: 'node', usage: 'node remove NAME ... [flags]', summary: 'Forget nodes whose agents have been stopped. Their pods are replaced elsewhere.',
  flags: [{ name: 'force', type: 'bool', description: 'also one whose agent is heard of: it comes back when it reports again' }], examples: ['cleat node remove pi-3'], run: removeNodes,
});

interface Ready { readonly metadata: { readonly name: string }; readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }

async function removeNodes({ client, parsed, io }: Invocation): Promise<number> {
  const { nodes, failures } = await selectNodes('node remove', client, parsed.args, undefined);
  const refused: unknown[] = [...failures];
  for (const node of nodes as readonly Ready[]) {
    const { name } = node.metadata;
    if (!parsed.bool('force') && node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')) {
      refused.push(new StatusError('Conflict', `node ${name} is Ready: its agent would report again and be back. Empty it (cleat node drain ${name}), stop its agent there (cleat down --purge), then run this again; or use --force`));
      continue;
    }
    await client.json('DELETE', `/api/v1/nodes/${encodeURIComponent(name)}`);
    io.out(`node/${name} removed\n`);
  }
  return report(refused, io);
}
