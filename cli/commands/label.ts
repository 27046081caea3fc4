import { StatusError } from '#common/errors.ts';
import { changeFlags, changeObjects, splitPairs, type Changeable } from '../change.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { displayName, pathOf } from '../resources.ts';
import { selectObjects } from '../selection.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...changeFlags,
  { name: 'overwrite', type: 'bool', description: 'change what is there already' },
  { name: 'resource-version', type: 'string', description: 'only when the object is at this version' },
  { name: 'list', type: 'bool', description: 'show them' },
];

interface Kind { readonly verb: 'label' | 'annotate'; readonly field: 'labels' | 'annotations'; readonly noun: 'label' | 'annotation'; readonly done: string; readonly removed: string; readonly nothing: string }

/** The commands that set keys of an object's metadata. */
export function metadataCommand(kind: Kind): Command {
  const { verb, noun } = kind;
  return clusterCommand({
    name: verb, usage: `${verb} (TYPE NAME | TYPE/NAME | -f FILE) KEY=VALUE ... KEY- ... [flags]`, summary: `Set and remove ${noun}s.`, flags,
    examples: [`cleat ${verb} pod web tier=front`, `cleat ${verb} nodes pi-1 pi-2 zone=attic --overwrite`, `cleat ${verb} pod web tier-`],
    run: (invocation) => run(invocation, kind),
  });
}

export const command = metadataCommand({ verb: 'label', field: 'labels', noun: 'label', done: 'labeled', removed: 'unlabeled', nothing: 'not labeled' });

async function run(invocation: Invocation, kind: Kind): Promise<number> {
  const { parsed, io } = invocation;
  const { verb, field, noun } = kind;
  const { names, set, removed } = splitPairs(verb, parsed.args, noun);
  if (parsed.bool('list')) return list(invocation, kind, names);
  if (set.size + removed.length === 0) throw refuse(verb, `at least one ${noun} update is required`);
  const version = parsed.string('resource-version');
  return changeObjects(invocation, {
    command: verb, manager: `kubectl-${verb}`, args: names,
    plan: (object) => {
      const now = object.metadata[field] ?? {};
      for (const key of removed) if (!Object.hasOwn(now, key)) io.out(`${noun} "${key}" not found.\n`);
      for (const [key, value] of set) {
        if (!parsed.bool('overwrite') && now[key] !== undefined && now[key] !== value) throw new StatusError('Conflict', taken(kind, key, now[key]));
      }
      const values = { ...Object.fromEntries(set), ...Object.fromEntries(removed.map((key) => [key, null])) };
      return { patch: { metadata: { ...(version !== undefined && { resourceVersion: version }), [field]: values } }, did: set.size > 0 ? kind.done : kind.removed, didNothing: kind.nothing };
    },
  });
}

function taken({ verb }: Kind, key: string, value: string): string {
  return verb === 'label' ? `'${key}' already has a value (${value}), and --overwrite is false` : `--overwrite is false but found the following declared annotation(s): '${key}' already has a value (${value})`;
}

async function list(invocation: Invocation, { verb, field }: Kind, names: readonly string[]): Promise<number> {
  const { client, io } = invocation;
  const targets = await selectObjects(verb, invocation, names);
  for (const { type, name, namespace } of targets) {
    const { metadata } = await client.json<Changeable>('GET', pathOf(type, namespace, name));
    if (targets.length > 1) io.out(`Listing ${field} for ${displayName(type, name)}:\n`);
    for (const [key, value] of Object.entries(metadata[field] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) io.out(`${targets.length > 1 ? ' ' : ''}${key}=${value}\n`);
  }
  return 0;
}
