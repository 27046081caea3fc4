import type { Invocation } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { refuse, type Flag } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { checkedOutput, printObjects } from '../printing/objects.ts';
import { displayName, pathOf, type ResourceType } from '../resources.ts';
import { withOverrides } from './overrides.ts';

/** Flags of commands that make one object of words. */
export const submitFlags: readonly Flag[] = [
  dryRunFlag,
  { name: 'output', short: 'o', type: 'string', description: 'print the object as yaml, json, name or jsonpath=TEMPLATE' },
  { name: 'save-config', type: 'bool', description: 'note what was made, for later applies to compare with' },
  { name: 'field-manager', type: 'string', description: 'name under which fields are owned' },
  { name: 'overrides', type: 'string', description: 'JSON that is put over the object that is made' },
  { name: 'override-type', type: 'string', default: 'merge', description: 'how: merge, strategic or json' },
];

interface Submission {
  readonly command: string;
  readonly manifest: Manifest;
  readonly type: ResourceType;
  /** What is said of it: `exposed`; nothing when undefined. */
  readonly did: string | undefined;
  /** False: `--overrides` is about another object. */
  readonly overridable?: boolean;
}

/** Makes the object and says so, unless `--dry-run`. Resolves with it as the server has it. */
export async function submit({ client, parsed, io }: Invocation, { command, manifest, type, did, overridable = true }: Submission): Promise<Manifest> {
  const { mode, suffix } = dryRunOf(command, parsed);
  const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
  const named = parsed.has('namespace') ? { ...manifest, metadata: { ...manifest.metadata, namespace: client.connection.namespace } } : manifest;
  const body = noted(await withOverrides(command, named, overridable ? parsed.string('overrides') : undefined, parsed.string('override-type') ?? 'merge'), parsed.bool('save-config'));
  const query = new URLSearchParams({ fieldManager: parsed.string('field-manager') ?? `kubectl-${command}`, ...(mode === 'server' && { dryRun: 'All' }) }).toString();
  const made = mode === 'client' ? body : await client.json<Manifest>('POST', `${pathOf(type, client.connection.namespace)}?${query}`, body);
  if (did === undefined) return made;
  if (output === undefined) io.out(`${displayName(type, made.metadata.name ?? '')} ${did}${suffix}\n`);
  else io.out(await printObjects([structuredClone(made)], { output, headers: true, managedFields: false, single: true }));
  return made;
}

/** The object with what it was made of noted for later applies, where that is wanted. */
export function noted(manifest: Manifest, note: boolean): Manifest {
  if (!note) return manifest;
  const annotations = { ...manifest.metadata.annotations, 'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(manifest)}\n` };
  return { ...manifest, metadata: { ...manifest.metadata, annotations } };
}

/** `a=b,c=d` → a map. */
export function pairs(command: string, text: string, what: string): Record<string, string> {
  return Object.fromEntries(text.split(',').filter((word) => word !== '').map((word) => {
    const equals = word.indexOf('=');
    if (equals < 1) throw refuse(command, `unexpected ${what} spec: ${word}; expected KEY=VALUE`);
    return [word.slice(0, equals), word.slice(equals + 1)] as const;
  }));
}
