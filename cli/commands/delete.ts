import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { nameOnly, refuse, type Flag } from '../flags.ts';
import { pathOf, qualifiedName } from '../resources.ts';
import { selectionFlags, selectObjects, type Selected } from '../selection.ts';
import { waitUntilGone } from '../wait.ts';

const flags: readonly Flag[] = [
  ...selectionFlags,
  dryRunFlag,
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

export const command = clusterCommand({
  name: 'delete', usage: 'delete (TYPE [NAME ...] | -f FILE) [flags]', summary: 'Delete objects by name, file or selector.', flags,
  examples: ['cleat delete pod web', 'cleat delete -f examples/hello.yaml', 'cleat delete pods -l app=web'], run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  if (parsed.bool('now') && parsed.has('grace-period')) throw refuse('delete', '--now and --grace-period cannot be specified together');
  const { mode: dryRun, suffix } = dryRunOf('delete', parsed);
  const namesOnly = nameOnly('delete', parsed);
  let graceSeconds = parsed.bool('now') ? 1 : (parsed.int('grace-period') ?? -1);
  if (parsed.bool('force')) {
    if (graceSeconds > 0) throw refuse('delete', '--force and --grace-period greater than 0 cannot be specified together');
    graceSeconds = 0;
    io.err('Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.\n');
  }
  const propagationPolicy = { background: 'Background', foreground: 'Foreground', orphan: 'Orphan' }[parsed.string('cascade') ?? ''];
  if (propagationPolicy === undefined) throw refuse('delete', `invalid cascade value (${parsed.string('cascade') ?? ''}). Must be "background", "foreground", or "orphan"`);
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy, ...(dryRun === 'server' && { dryRun: ['All'] }), ...(graceSeconds >= 0 && { gracePeriodSeconds: graceSeconds === 0 && !parsed.bool('force') ? 1 : graceSeconds }) };
  const waiting: { doomed: Selected; uid: string | undefined }[] = [];
  const all = await selectObjects('delete', invocation);
  if (all.length === 0) io.out('No resources found\n');
  const failures = await eachOf(all, async (doomed) => {
    const answer: Deleted = dryRun === 'client' ? {} : await client.json<Deleted>('DELETE', pathOf(doomed.type, doomed.namespace, doomed.name), options);
    const label = qualifiedName(doomed.type);
    io.out(namesOnly ? `${label}/${doomed.name}\n` : `${label} "${doomed.name}" ${parsed.bool('force') ? 'force deleted' : 'deleted'}${suffix}\n`);
    waiting.push({ doomed, uid: answer.metadata?.uid ?? answer.details?.uid });
  }, { told: (error) => (error.code === 'NotFound' && parsed.bool('ignore-not-found') ? undefined : error) });
  if (parsed.bool('wait') && dryRun === 'none') {
    for (const { doomed, uid } of waiting) await waitUntilGone(client, pathOf(doomed.type, doomed.namespace), doomed.name, uid, parsed.durationMs('timeout') ?? 0, io.interrupted);
  }
  return report(failures, io);
}
