import { StatusError } from '#common/errors.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { noted } from '../create/submit.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { refuse, type Flag } from '../flags.ts';
import type { Manifest, Read } from '../manifests.ts';
import { checkedOutput, printObjects } from '../printing/objects.ts';
import { displayName, namespaceOf, pathOf, qualifiedName, resolveKind, type ResourceType } from '../resources.ts';
import { fileFlags, hasFiles, readFiles } from '../targets.ts';
import { waitUntilGone } from '../wait.ts';

const flags: readonly Flag[] = [
  ...fileFlags, dryRunFlag,
  { name: 'force', type: 'bool', description: 'delete the objects and make them anew' },
  { name: 'grace-period', type: 'int', default: '-1', description: 'with --force: seconds to end in; -1 leaves it to the object' },
  { name: 'cascade', type: 'string', optional: 'background', default: 'background', description: 'with --force: background, foreground or orphan' },
  { name: 'timeout', type: 'duration', default: '0', description: 'with --force: how long to wait until an object is gone; 0 is without end' },
  { name: 'subresource', type: 'string', description: 'replace this part of the object: status or scale' },
  { name: 'validate', type: 'string', optional: 'strict', default: 'strict', description: 'strict, warn or ignore fields that the server does not know' },
  { name: 'save-config', type: 'bool', description: 'note what was sent, for later applies to compare with' },
  { name: 'field-manager', type: 'string', default: 'kubectl-replace', description: 'name under which fields are owned' },
  { name: 'output', short: 'o', type: 'string', description: 'print the objects as yaml, json, name or jsonpath=TEMPLATE' },
];

const validations: Readonly<Record<string, string>> = { strict: 'Strict', true: 'Strict', warn: 'Warn', ignore: 'Ignore', false: 'Ignore' };
const cascades: Readonly<Record<string, string>> = { background: 'Background', foreground: 'Foreground', orphan: 'Orphan' };

export const command = clusterCommand({
  name: 'replace', usage: 'replace -f FILE [flags]', summary: 'Put the objects of a file in place of those that are there, whole. See apply, which keeps what others set.', flags,
  examples: ['cleat replace -f web.yaml', 'cleat replace --force -f pod.yaml'], run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  const { mode, suffix } = dryRunOf('replace', parsed);
  const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
  const force = parsed.bool('force');
  if (!hasFiles(parsed) || parsed.args.length > 0) throw refuse('replace', 'must specify one of -f and -k: what is put in place of the objects is read from files');
  if (!force && parsed.has('grace-period')) throw refuse('replace', '--grace-period must have --force specified');
  if (!force && (parsed.durationMs('timeout') ?? 0) > 0) throw refuse('replace', '--timeout must have --force specified');
  if (force && mode !== 'none') throw refuse('replace', '--dry-run can not be used when --force is set');
  if (force && parsed.has('subresource')) throw refuse('replace', '--subresource can not be used with --force');
  const fieldValidation = validations[parsed.string('validate') ?? ''];
  if (fieldValidation === undefined) throw refuse('replace', `invalid --validate value (${parsed.string('validate') ?? ''}). Must be "strict", "warn" or "ignore"`);
  if (!Object.hasOwn(cascades, parsed.string('cascade') ?? '')) throw refuse('replace', `invalid cascade value (${parsed.string('cascade') ?? ''}). Must be "background", "foreground", or "orphan"`);
  const query = new URLSearchParams({ fieldValidation, fieldManager: parsed.string('field-manager') ?? '', ...(mode === 'server' && { dryRun: 'All' }) }).toString();
  const read = await readFiles('replace', parsed, io);
  const printed: object[] = [];
  const failures = await eachOf(read, async (one) => {
    const type = await resolveKind(client, one.manifest, one.source);
    const done = mode === 'client' ? one.manifest : await replace(invocation, one, type, query);
    if (output === undefined) io.out(`${displayName(type, done.metadata.name ?? '')} replaced${suffix}\n`);
    else printed.push(done);
  }, { told: (error, { source }) => new StatusError(error.code, error.code === 'Invalid' ? error.message : `error when replacing ${JSON.stringify(source)}: ${error.message}`, { cause: error, ...(error.details && { details: error.details }) }) });
  if (output !== undefined && printed.length > 0) io.out(await printObjects(printed, { output, headers: true, managedFields: false, single: printed.length === 1 }));
  return report(failures, io);
}

async function replace({ client, parsed, io }: Invocation, { manifest, source }: Read, type: ResourceType, query: string): Promise<Manifest> {
  const { name } = manifest.metadata;
  if (name === undefined || name === '') throw new StatusError('BadRequest', `error when replacing ${JSON.stringify(source)}: a ${manifest.kind} without metadata.name cannot be replaced; give it a name`);
  const namespace = namespaceOf(type, manifest.metadata.namespace, { namespace: client.connection.namespace, enforced: parsed.has('namespace') });
  const body = noted({ ...manifest, metadata: { ...manifest.metadata, ...(namespace !== undefined && { namespace }) } }, parsed.bool('save-config'));
  const path = pathOf(type, namespace, name);
  if (!parsed.bool('force')) return client.json<Manifest>('PUT', `${pathOf(type, namespace, name, parsed.string('subresource'))}?${query}`, body);
  const before = await client.find<{ metadata: { uid?: string } }>(path);
  if (before) {
    const seconds = parsed.int('grace-period') ?? -1;
    await client.json('DELETE', path, { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: cascades[parsed.string('cascade') ?? ''], ...(seconds >= 0 && { gracePeriodSeconds: seconds }) });
    if (!parsed.has('output')) io.out(`${qualifiedName(type)} "${name}" deleted\n`);
    await waitUntilGone(client, pathOf(type, namespace), name, before.metadata.uid, parsed.durationMs('timeout') ?? 0, io.interrupted);
  }
  // A version that was read before the deletion is of an object that is no more.
  const { resourceVersion: _, uid: __, ...metadata } = body.metadata;
  return client.json<Manifest>('POST', `${pathOf(type, namespace)}?${query}`, { ...body, metadata });
}
