import { isStatus, StatusError } from '#common/errors.ts';
import { RestClient } from '../client.ts';
import { errorText } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { displayName, pathOf, type Target } from '../resources.ts';
import { fileFlags, readTargets } from '../targets.ts';
import type { Command, Io } from '../types.ts';
import { waitFor } from '../wait.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  { name: 'replicas', type: 'int', description: 'how many to run; required' },
  { name: 'current-replicas', type: 'int', description: 'only when this many are asked for now' },
  { name: 'resource-version', type: 'string', description: 'only when the object is at this version' },
  { name: 'selector', short: 'l', type: 'string', description: 'objects with these labels' },
  { name: 'all', type: 'bool', description: 'all objects of the type in the namespace' },
  { name: 'timeout', type: 'duration', default: '0', description: 'wait this long for as many to run; 0 does not wait' },
  { name: 'dry-run', type: 'string', optional: 'client', default: 'none', description: 'none, client: say what would be scaled, or server: ask the server' },
  { name: 'output', short: 'o', type: 'string', description: 'name prints names only' },
];

interface Scale { readonly metadata: { readonly resourceVersion?: string }; readonly spec: { readonly replicas?: number }; readonly status?: { readonly replicas?: number } }

export const command: Command = {
  help: () => helpText('scale (TYPE/NAME ... | -f FILE) --replicas=N [flags]', 'Set the number of replicas.', flags, ['cleat scale deployment/web --replicas=3', 'cleat scale --replicas=0 deploy web api']),
  async run(argv, io) {
    const parsed = parseFlags('scale', flags, argv);
    const replicas = parsed.int('replicas');
    if (replicas === undefined) throw refuse('scale', 'required flag(s) "replicas" not set');
    if (replicas < 0) throw refuse('scale', 'The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0');
    const suffix = new Map([['none', ''], ['client', ' (dry run)'], ['server', ' (server dry run)']]).get(parsed.string('dry-run') ?? 'none');
    if (suffix === undefined) throw refuse('scale', `Invalid dry-run value (${parsed.string('dry-run') ?? ''}). Must be "none", "server", or "client".`);
    const client = new RestClient(await readConnection(parsed, io.env), io.err);
    try {
      const failures: unknown[] = [];
      for (const target of await select(client, parsed, io)) {
        try {
          await scaleAnew(client, target, replicas, parsed, io);
          const name = displayName(target.type, target.name);
          io.out(parsed.string('output') === 'name' ? `${name}\n` : `${name} scaled${suffix}\n`);
        } catch (error) {
          // One that cannot be scaled must not keep the others from it.
          if (!isStatus(error)) throw error;
          failures.push(error);
        }
      }
      for (const error of failures.slice(0, -1)) io.err(`${errorText(error)}\n`);
      if (failures.length > 0) throw failures.at(-1);
    } finally {
      client.close();
    }
    return 0;
  },
};

const attempts = 5;

interface Scaled extends Target { readonly name: string }

/** Status is written all the time; a number of replicas that still is as expected is no conflict. */
async function scaleAnew(client: RestClient, target: Scaled, replicas: number, parsed: ParsedFlags, io: Io): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await scale(client, target, replicas, parsed, io);
    } catch (error) {
      if (!isStatus(error, 'Conflict') || error.details === undefined || parsed.has('resource-version') || attempt >= attempts) throw error;
    }
  }
}

async function scale(client: RestClient, { type, name, namespace = client.connection.namespace }: Scaled, replicas: number, parsed: ParsedFlags, io: Io): Promise<void> {
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

async function select(client: RestClient, parsed: ParsedFlags, io: Io): Promise<Scaled[]> {
  const selector = parsed.string('selector');
  const targets = await readTargets('scale', client, parsed, io);
  if ((selector !== undefined || parsed.bool('all')) && targets.some(({ name }) => name !== undefined)) throw refuse('scale', 'name cannot be provided when a selector is specified');
  const found = await Promise.all(targets.map(async ({ type, name, namespace }): Promise<Scaled[]> => {
    if (name !== undefined) return [{ type, name, namespace }];
    if (selector === undefined && !parsed.bool('all')) throw refuse('scale', 'resource(s) were provided, but no name was specified');
    const query = selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`;
    const list = await client.json<{ items: { metadata: { name: string } }[] }>('GET', pathOf(type, client.connection.namespace) + query);
    return list.items.map(({ metadata }) => ({ type, name: metadata.name, namespace: client.connection.namespace }));
  }));
  if (found.flat().length === 0) throw new StatusError('BadRequest', 'no objects passed to scale');
  return found.flat();
}
