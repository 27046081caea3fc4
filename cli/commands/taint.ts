import { StatusError } from '#common/errors.ts';
import { changeFlags, changeObjects } from '../change.ts';
import { clusterCommand } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { selectObjects } from '../selection.ts';

const flags: readonly Flag[] = [
  ...changeFlags,
  { name: 'overwrite', type: 'bool', description: 'change what is there already' },
];

interface Taint { readonly key: string; readonly value?: string; readonly effect: string; readonly timeAdded?: string }
/** `effect` undefined: all of the key. */
interface Removal { readonly key: string; readonly effect: string | undefined }

const effects: ReadonlySet<string> = new Set(['NoSchedule', 'PreferNoSchedule', 'NoExecute']);

export const command = clusterCommand({
  name: 'taint', usage: 'taint nodes NAME ... KEY[=VALUE]:EFFECT ... KEY[:EFFECT]- ... [flags]', summary: 'Keep pods that do not tolerate it off nodes, or let them on again.\nEffects: NoSchedule, PreferNoSchedule, NoExecute (ends those that run there).', flags,
  examples: ['cleat taint nodes pi-1 dedicated=db:NoSchedule', 'cleat taint nodes pi-1 dedicated-'],
  async run(invocation) {
    const { parsed } = invocation;
    const isSpec = (word: string): boolean => /[=:]|-$/.test(word);
    const { added, removed } = parseTaints(parsed.args.filter(isSpec));
    if (added.length + removed.length === 0) throw refuse('taint', 'at least one taint update is required');
    const args = parsed.args.filter((word) => !isSpec(word));
    const targets = await selectObjects('taint', invocation, args);
    const other = targets.find(({ type }) => type.kind !== 'Node');
    if (other) throw new StatusError('BadRequest', `invalid resource type ${other.type.plural}, only node types are supported`);
    return changeObjects(invocation, {
      command: 'taint', manager: 'kubectl-taint', targets,
      plan: (object, { name }) => {
        const { taints, did } = changed(name, (object['spec'] as { taints?: readonly Taint[] } | undefined)?.taints ?? [], added, removed, parsed.bool('overwrite'));
        return { patch: { metadata: { resourceVersion: object.metadata.resourceVersion }, spec: { taints } }, did };
      },
    });
  },
});

/** Reads `key=value:Effect`, `key:Effect`, `key:Effect-` and `key-`. */
export function parseTaints(words: readonly string[]): { readonly added: readonly Taint[]; readonly removed: readonly Removal[] } {
  const added: Taint[] = [];
  const removed: Removal[] = [];
  for (const word of words) {
    const [, key = '', value, effect, minus] = /^([^=:]+?)(?:=([^:]*))?(?::([^-:]+))?(-)?$/.exec(word) ?? [];
    if (key === '') throw refuse('taint', `invalid taint spec: ${word}`);
    if (effect !== undefined && !effects.has(effect)) throw refuse('taint', `invalid taint effect: ${effect}, unsupported taint effect`);
    if (minus !== undefined) removed.push({ key, effect });
    else if (effect === undefined) throw refuse('taint', `invalid taint spec: ${word}: expected KEY[=VALUE]:EFFECT`);
    else added.push({ key, effect, ...(value !== undefined && value !== '' && { value }) });
  }
  return { added, removed };
}

/** The taints as they are to be, and what is said of it. */
export function changed(node: string, now: readonly Taint[], added: readonly Taint[], removed: readonly Removal[], overwrite: boolean): { readonly taints: readonly Taint[]; readonly did: string } {
  const goes = (taint: Taint): boolean => removed.some(({ key, effect }) => key === taint.key && (effect === undefined || effect === taint.effect));
  for (const { key, effect } of removed) {
    if (!now.some((taint) => taint.key === key && (effect === undefined || effect === taint.effect))) throw new StatusError('NotFound', `taint "${key}${effect === undefined ? '' : `:${effect}`}" not found`);
  }
  const taken = added.filter(({ key, effect }) => now.some((taint) => taint.key === key && taint.effect === effect && !goes(taint)));
  if (taken.length > 0 && !overwrite) throw new StatusError('Conflict', `node ${node} already has ${taken.map(({ key }) => key).join(', ')} taint(s) with same effect(s) and --overwrite is false`);
  const kept = now.filter((taint) => !goes(taint) && !taken.some(({ key, effect }) => taint.key === key && taint.effect === effect));
  return { taints: [...kept, ...added], did: taken.length > 0 || (added.length > 0 && removed.length > 0) ? 'modified' : added.length > 0 ? 'tainted' : 'untainted' };
}
