import { isStatus } from '#common/errors.ts';
import { RestClient } from '../client.ts';
import { errorText } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { pathOf, type ResourceType } from '../resources.ts';
import { fileFlags, readTargets } from '../targets.ts';
import type { Command, Io } from '../types.ts';
import { waitUntilGone } from '../wait.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  { name: 'selector', short: 'l', type: 'string', description: 'objects with these labels' },
  { name: 'field-selector', type: 'string', description: 'objects with these fields' },
  { name: 'dry-run', type: 'string', optional: 'client', default: 'none', description: 'none, client: say what would be deleted, or server: ask the server' },
  { name: 'all', type: 'bool', description: 'all objects of the type in the namespace' },
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'in all namespaces; with --all or -l' },
  { name: 'grace-period', type: 'int', default: '-1', description: "seconds to end in; -1 leaves it to the object" },
  { name: 'force', type: 'bool', description: 'with --grace-period=0: remove the object without waiting for the node' },
  { name: 'now', type: 'bool', description: 'the same as --grace-period=1' },
  { name: 'cascade', type: 'string', optional: 'background', default: 'background', description: 'background, foreground or orphan' },
  { name: 'ignore-not-found', type: 'bool', description: 'an object that is not there is no failure' },
  { name: 'wait', type: 'bool', default: 'true', description: 'return when the objects are gone' },
  { name: 'timeout', type: 'duration', default: '0', description: 'how long to wait; 0 is without end' },
  { name: 'output', short: 'o', type: 'string', description: 'name prints names only' },
];

interface Deleted { readonly metadata?: { readonly uid?: string }; readonly details?: { readonly uid?: string } }
interface Doomed { readonly type: ResourceType; readonly namespace: string | undefined; readonly name: string }

export const command: Command = {
  help: () => helpText('delete (TYPE [NAME ...] | -f FILE) [flags]', 'Delete objects by name, file or selector.', flags, ['cleat delete pod web', 'cleat delete -f examples/hello.yaml', 'cleat delete pods -l app=web']),
  async run(argv, io) {
    const parsed = parseFlags('delete', flags, argv);
    const client = new RestClient(await readConnection(parsed, io.env), io.err);
    try {
      return await run(client, parsed, io);
    } finally {
      client.close();
    }
  },
};

async function run(client: RestClient, parsed: ParsedFlags, io: Io): Promise<number> {
  if (parsed.bool('now') && parsed.has('grace-period')) throw refuse('delete', '--now and --grace-period cannot be specified together');
  const dryRun = parsed.string('dry-run') ?? 'none';
  const suffix = new Map([['none', ''], ['client', ' (dry run)'], ['server', ' (server dry run)']]).get(dryRun);
  if (suffix === undefined) throw refuse('delete', `Invalid dry-run value (${dryRun}). Must be "none", "server", or "client".`);
  let graceSeconds = parsed.bool('now') ? 1 : (parsed.int('grace-period') ?? -1);
  if (parsed.bool('force')) {
    if (graceSeconds > 0) throw refuse('delete', '--force and --grace-period greater than 0 cannot be specified together');
    graceSeconds = 0;
    io.err('Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.\n');
  }
  const propagationPolicy = { background: 'Background', foreground: 'Foreground', orphan: 'Orphan' }[parsed.string('cascade') ?? ''];
  if (propagationPolicy === undefined) throw refuse('delete', `invalid cascade value (${parsed.string('cascade') ?? ''}). Must be "background", "foreground", or "orphan"`);
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy, ...(dryRun === 'server' && { dryRun: ['All'] }), ...(graceSeconds >= 0 && { gracePeriodSeconds: graceSeconds === 0 && !parsed.bool('force') ? 1 : graceSeconds }) };
  const waiting: { doomed: Doomed; uid: string | undefined }[] = [];
  const failures: unknown[] = [];
  for (const doomed of await select(client, parsed, io)) {
    try {
      const answer: Deleted = dryRun === 'client' ? {} : await client.json<Deleted>('DELETE', pathOf(doomed.type, doomed.namespace, doomed.name), options);
      const label = `${doomed.type.singular}${doomed.type.group === '' ? '' : `.${doomed.type.group}`}`;
      io.out(parsed.string('output') === 'name' ? `${label}/${doomed.name}\n` : `${label} "${doomed.name}" ${parsed.bool('force') ? 'force deleted' : 'deleted'}${suffix}\n`);
      waiting.push({ doomed, uid: answer.metadata?.uid ?? answer.details?.uid });
    } catch (error) {
      if (!(isStatus(error, 'NotFound') && parsed.bool('ignore-not-found'))) failures.push(error);
    }
  }
  if (parsed.bool('wait') && dryRun === 'none') {
    for (const { doomed, uid } of waiting) await waitUntilGone(client, pathOf(doomed.type, doomed.namespace), doomed.name, uid, parsed.durationMs('timeout') ?? 0, io.interrupted);
  }
  for (const error of failures.slice(0, -1)) io.err(`${errorText(error)}\n`);
  if (failures.length > 0) throw failures.at(-1);
  return 0;
}

async function select(client: RestClient, parsed: ParsedFlags, io: Io): Promise<Doomed[]> {
  const { namespace } = client.connection;
  const targets = await readTargets('delete', client, parsed, io);
  const selector = parsed.string('selector');
  const chosen = selector !== undefined || parsed.has('field-selector');
  if (chosen && parsed.bool('all')) throw refuse('delete', "setting 'all' parameter but found a non empty selector");
  if ((chosen || parsed.bool('all')) && targets.some(({ name }) => name !== undefined)) throw refuse('delete', 'name cannot be provided when a selector is specified');
  const query = new URLSearchParams({ ...(selector !== undefined && { labelSelector: selector }), ...(parsed.has('field-selector') && { fieldSelector: parsed.string('field-selector') ?? '' }) }).toString();
  const found: Doomed[] = [];
  for (const { type, name, namespace: own } of targets) {
    if (name !== undefined) { found.push({ type, name, namespace: type.namespaced ? (own ?? namespace) : undefined }); continue; }
    if (!chosen && !parsed.bool('all')) throw refuse('delete', 'resource(s) were provided, but no name was specified');
    const scope = parsed.bool('all-namespaces') ? undefined : namespace;
    const list = await client.json<{ items: { metadata: { name: string; namespace?: string } }[] }>('GET', `${pathOf(type, scope)}?${query}`);
    found.push(...list.items.map(({ metadata }) => ({ type, name: metadata.name, namespace: metadata.namespace })));
  }
  if (found.length === 0) io.out('No resources found\n');
  return found;
}
