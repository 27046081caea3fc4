import type { Invocation } from './cluster-command.ts';
import { dryRunFlag, dryRunOf } from './dry-run.ts';
import { eachOf } from './each.ts';
import { report } from './error-text.ts';
import { refuse, type Flag } from './flags.ts';
import { displayName, pathOf } from './resources.ts';
import { selectionFlags, selectObjects, type Selected } from './selection.ts';

type Json = Readonly<Record<string, unknown>>;
export interface Changeable extends Json {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string; readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
}

/** What is to be done with one object; `patch` undefined leaves it as it is. */
export interface Change {
  readonly patch?: unknown;
  /** `merge` unless said otherwise. */
  readonly format?: 'merge' | 'json' | 'strategic-merge';
  readonly subresource?: string;
  /** What is said of it: `labeled`. */
  readonly did: string;
  /** What is said when the server's object is as it was before. */
  readonly didNothing?: string;
}

/** Flags of commands that change objects. */
export const changeFlags: readonly Flag[] = [
  ...selectionFlags,
  dryRunFlag,
  { name: 'field-manager', type: 'string', description: 'name under which fields are owned' },
  { name: 'output', short: 'o', type: 'string', description: 'print the objects as yaml, json, name, jsonpath=TEMPLATE or another format of get' },
];

interface Changer {
  readonly command: string;
  /** Owner of the fields that are set, unless the user names one. */
  readonly manager: string;
  /** What stands for objects among the words; by default all of them. */
  readonly args?: readonly string[];
  /** Given objects rather than those that words and flags choose. */
  readonly targets?: readonly Selected[];
  /** Undefined: there is nothing to do with this object, nor to say. */
  plan(object: Changeable, target: Selected): Change | undefined | Promise<Change | undefined>;
}

/** Plans and makes a change to each object that a command is about, and says what it did. Resolves with the exit code. */
export async function changeObjects(invocation: Invocation, changer: Changer): Promise<number> {
  const { client, parsed, io } = invocation;
  const { mode, suffix } = dryRunOf(changer.command, parsed);
  const { checkedOutput, printObjects } = await import('./printing/objects.ts');
  const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
  const targets = changer.targets ?? await selectObjects(changer.command, invocation, changer.args);
  if (targets.length === 0) {
    // Labels that nothing has are an answer, as with kubectl.
    io.err('No resources found\n');
    return 0;
  }
  const query = new URLSearchParams({ fieldManager: parsed.string('field-manager') ?? changer.manager, ...(mode === 'server' && { dryRun: 'All' }) }).toString();
  const printed: object[] = [];
  const failures = await eachOf(targets, async (target) => {
    const { type, namespace, name } = target;
    const before = await client.json<Changeable>('GET', pathOf(type, namespace, name));
    const change = await changer.plan(before, target);
    if (change === undefined) return;
    const { patch, format = 'merge', subresource, did, didNothing } = change;
    const after = patch === undefined || mode === 'client' ? before : await client.json<Changeable>('PATCH', `${pathOf(type, namespace, name, subresource)}?${query}`, patch, { contentType: `application/${format}-patch+json` });
    const same = after.metadata.resourceVersion === before.metadata.resourceVersion && mode === 'none';
    if (output === undefined) io.out(`${subresource === 'scale' ? `scale.autoscaling/${name}` : displayName(type, name)} ${same && didNothing !== undefined ? didNothing : did}${suffix}\n`);
    else printed.push(after);
  });
  if (output !== undefined && printed.length > 0) io.out(await printObjects(printed, { output, headers: true, managedFields: false, single: printed.length === 1 }));
  return report(failures, io);
}

/** Splits words into those that name objects and those that change keys: `a=b` sets, `a-` removes. */
export function splitPairs(command: string, args: readonly string[], what: string): { readonly names: readonly string[]; readonly set: ReadonlyMap<string, string>; readonly removed: readonly string[] } {
  const names = args.filter((word) => !word.includes('=') && !word.endsWith('-'));
  const set = new Map<string, string>();
  const removed: string[] = [];
  for (const word of args) {
    const equals = word.indexOf('=');
    if (equals > 0) set.set(word.slice(0, equals), word.slice(equals + 1));
    else if (equals < 0 && word.endsWith('-') && word !== '-') removed.push(word.slice(0, -1));
    else if (equals === 0 || word === '-') throw refuse(command, `invalid ${what} spec: ${word}`);
  }
  for (const key of removed) if (set.has(key)) throw refuse(command, `can not both modify and remove ${what === 'label' ? 'a' : 'an'} ${what} in the same command`);
  return { names, set, removed };
}
