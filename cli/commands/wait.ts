import { isStatus, StatusError } from '#common/errors.ts';
import { clusterCommand } from '../cluster-command.ts';
import { report } from '../error-text.ts';
import { refuse, type Flag } from '../flags.ts';
import { displayName, pathOf, type ResourceType } from '../resources.ts';
import { selectionFlags, selectObjects } from '../selection.ts';
import { waitFor } from '../wait.ts';

const flags: readonly Flag[] = [
  ...selectionFlags,
  { name: 'for', type: 'string', description: "condition=TYPE[=STATUS], jsonpath='{PATH}'[=VALUE], create or delete" },
  { name: 'timeout', type: 'duration', default: '30s', description: 'how long to wait; 0 looks once' },
];

/** For one look. */
const lookMs = 30_000;

interface Waited { readonly metadata?: { readonly uid?: string; readonly generation?: number }; readonly status?: { readonly observedGeneration?: number; readonly conditions?: readonly { readonly type: string; readonly status: string; readonly observedGeneration?: number }[] } }
type Holds = (object: Waited | undefined) => boolean;

export const command = clusterCommand({
  name: 'wait', usage: 'wait (TYPE/NAME ... | -f FILE | TYPE -l SELECTOR) --for=WHAT [flags]', summary: 'Wait until objects are as said.', flags,
  examples: ['cleat wait pod/web --for=condition=Ready', "cleat wait pod/web --for=jsonpath='{.status.phase}'=Running --timeout=2m", 'cleat wait pod/web --for=delete'],
  async run(invocation) {
    const { client, parsed, io } = invocation;
    const what = parsed.string('for');
    if (what === undefined) throw refuse('wait', 'you must specify at least one condition');
    const holds = await conditionOf(what);
    const timeoutMs = parsed.durationMs('timeout') ?? 30_000;
    const deadline = AbortSignal.timeout(timeoutMs === 0 ? lookMs : timeoutMs);
    const targets = await selectObjects('wait', invocation);
    if (targets.length === 0) {
      if (what === 'delete') return 0;
      throw new StatusError('NotFound', 'no matching resources found');
    }
    const failures: unknown[] = [];
    for (const { type, namespace, name } of targets) {
      try {
        // What is not there is neither waited for nor spoken of, as kubectl has it.
        if (what === 'delete' && !await client.find(pathOf(type, namespace, name))) continue;
        if (what !== 'create' && what !== 'delete') await client.json('GET', pathOf(type, namespace, name));
        if (timeoutMs === 0 && !holds(await client.find<Waited>(pathOf(type, namespace, name)))) throw new StatusError('Timeout', `condition not met for ${type.plural}/${name}`);
        await waitFor<Waited>(client, pathOf(type, namespace), name, holds, AbortSignal.any([deadline, io.interrupted]));
        io.out(`${displayName(type, name)} ${what === 'delete' ? 'deleted' : 'condition met'}\n`);
      } catch (error) {
        if (io.interrupted.aborted) throw error;
        if (!deadline.aborted && !isStatus(error, 'NotFound', 'Timeout')) throw error;
        failures.push(deadline.aborted ? timedOut(type, name) : error);
      }
    }
    return report(failures, io);
  },
});

function timedOut({ plural }: ResourceType, name: string): StatusError {
  return new StatusError('Timeout', `timed out waiting for the condition on ${plural}/${name}`);
}

/** Reads `--for`. */
async function conditionOf(what: string): Promise<Holds> {
  if (what === 'delete') return (object) => object === undefined;
  if (what === 'create') return (object) => object !== undefined;
  const [, type, status = 'True'] = /^condition=([^=]+)(?:=(.*))?$/.exec(what) ?? [];
  if (type !== undefined) {
    return (object) => object?.status?.conditions?.some((condition) => condition.type.toLowerCase() === type.toLowerCase() && condition.status.toLowerCase() === status.toLowerCase()
      // What was observed of an older object says nothing of this one.
      && (condition.observedGeneration ?? object.status?.observedGeneration ?? Infinity) >= (object.metadata?.generation ?? 0)) === true;
  }
  const [, path, value] = /^jsonpath='?\{?([^}]*)\}?'?(?:=(.*))?$/s.exec(what) ?? [];
  if (path === undefined || (what.includes('{') && !what.includes('}'))) throw new StatusError('BadRequest', `unrecognized condition: "${what}"`);
  const { valuesAt } = await import('../printing/jsonpath.ts');
  return (object) => {
    const values = object === undefined ? [] : valuesAt(path, object);
    return value === undefined ? values.some((one) => one !== '') : values.some((one) => one === value.replace(/^(["'])(.*)\1$/, '$2'));
  };
}
