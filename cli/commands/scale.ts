import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { nameOnly, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { displayName, pathOf } from '../resources.ts';
import { selectionFlags, selectObjects, type Selected } from '../selection.ts';
import type { Io } from '../types.ts';
import { waitFor } from '../wait.ts';

const flags: readonly Flag[] = [
  ...selectionFlags,
  { name: 'replicas', type: 'int', description: 'how many to run; required' },
  { name: 'current-replicas', type: 'int', description: 'only when this many are asked for now' },
  { name: 'resource-version', type: 'string', description: 'only when the object is at this version' },
  { name: 'timeout', type: 'duration', default: '0', description: 'wait this long for as many to run; 0 does not wait' },
  dryRunFlag,
  { name: 'output', short: 'o', type: 'string', description: 'name prints names only' },
];

interface Scale { readonly metadata: { readonly resourceVersion?: string }; readonly spec: { readonly replicas?: number }; readonly status?: { readonly replicas?: number } }

export const command = clusterCommand({
  name: 'scale', usage: 'scale (TYPE/NAME ... | -f FILE) --replicas=N [flags]', summary: 'Set the number of replicas.', flags,
  examples: ['cleat scale deployment/web --replicas=3', 'cleat scale --replicas=0 deploy web api'], run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  const replicas = parsed.int('replicas');
  if (replicas === undefined) throw refuse('scale', 'required flag(s) "replicas" not set');
  if (replicas < 0) throw refuse('scale', 'The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0');
  const { suffix } = dryRunOf('scale', parsed);
  const namesOnly = nameOnly('scale', parsed);
  const targets = await selectObjects('scale', invocation);
  if (targets.length === 0) throw new StatusError('BadRequest', 'no objects passed to scale');
  const failures = await eachOf(targets, async (target) => {
    await scaleAnew(client, target, replicas, parsed, io);
    const name = displayName(target.type, target.name);
    io.out(namesOnly ? `${name}\n` : `${name} scaled${suffix}\n`);
    // One that is waited for in vain, or is not as expected, is one alone.
  }, { ofOne: ({ code }) => code !== 'ServiceUnavailable', told: (error, target) => (error.code === 'NotFound' && targets.length === 1 ? missing(client, target, error) : error) });
  return report(failures, io);
}

/** What is not there is told from what has no scale. */
async function missing(client: RestClient, { type, namespace, name }: Selected, error: StatusError): Promise<unknown> {
  return await client.find(pathOf(type, namespace, name)) ? error : new StatusError('NotFound', `no objects passed to scale ${type.group === '' ? type.plural : `${type.plural}.${type.group}`} "${name}" not found`);
}

const attempts = 5;

/** Status is written all the time; a number of replicas that still is as expected is no conflict. */
async function scaleAnew(client: RestClient, target: Selected, replicas: number, parsed: ParsedFlags, io: Io): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await scale(client, target, replicas, parsed, io);
    } catch (error) {
      if (!isStatus(error, 'Conflict') || error.details === undefined || parsed.has('resource-version') || attempt >= attempts) throw error;
    }
  }
}

async function scale(client: RestClient, { type, name, namespace }: Selected, replicas: number, parsed: ParsedFlags, io: Io): Promise<void> {
  const path = pathOf(type, namespace, name, 'scale');
  const expected = parsed.int('current-replicas');
  const version = parsed.string('resource-version');
  const dryRun = parsed.string('dry-run');
  const current = expected !== undefined || version !== undefined || dryRun === 'client' ? await client.json<Scale>('GET', path) : undefined;
  if (expected !== undefined && (current?.spec.replicas ?? 0) !== expected) throw new StatusError('Conflict', `Expected replicas to be ${String(expected)}, was ${String(current?.spec.replicas ?? 0)}`);
  if (version !== undefined && current?.metadata.resourceVersion !== version) throw new StatusError('Conflict', `Expected resource version to be ${version}, was ${current?.metadata.resourceVersion ?? ''}`);
  if (dryRun === 'client') return;
  // What was checked still holds when it is written.
  const metadata = current && { resourceVersion: current.metadata.resourceVersion };
  await client.json('PATCH', `${path}${dryRun === 'server' ? '?dryRun=All' : ''}`, { ...(metadata && { metadata }), spec: { replicas } }, { contentType: 'application/merge-patch+json' });
  const timeoutMs = parsed.durationMs('timeout') ?? 0;
  if (timeoutMs > 0 && dryRun === 'none') await waitForReplicas(client, pathOf(type, namespace), name, replicas, timeoutMs, io.interrupted);
}

async function waitForReplicas(client: RestClient, listPath: string, name: string, replicas: number, timeoutMs: number, interrupted: AbortSignal): Promise<void> {
  interface Workload { readonly metadata?: { readonly uid?: string; readonly generation?: number }; readonly status?: { readonly replicas?: number; readonly observedGeneration?: number } }
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    await waitFor<Workload>(client, listPath, name, (object) => object === undefined || ((object.status?.replicas ?? 0) === replicas && (object.status?.observedGeneration ?? 0) >= (object.metadata?.generation ?? 0)), AbortSignal.any([deadline, interrupted]));
  } catch (error) {
    if (deadline.aborted) throw new StatusError('Timeout', 'timed out waiting for the condition');
    throw error;
  }
}
