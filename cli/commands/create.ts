import { StatusError } from '#common/errors.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { makers, makerFlags } from '../create/makers.ts';
import { noted } from '../create/submit.ts';
import { refuse, type Flag } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { checkedOutput, printObjects } from '../printing/objects.ts';
import { displayName, namespaceOf, pathOf, resolveKind } from '../resources.ts';
import { fileFlags, hasFiles, readFiles } from '../targets.ts';

const flags: readonly Flag[] = [
  ...fileFlags, dryRunFlag,
  { name: 'output', short: 'o', type: 'string', description: 'print the objects as yaml, json, name or jsonpath=TEMPLATE' },
  { name: 'save-config', type: 'bool', description: 'note what was made, for later applies to compare with' },
  ...makerFlags,
];

export const command = clusterCommand({
  name: 'create', usage: `create (-f FILE | ${Object.keys(makers).join(' | ')}) [NAME] [flags]`, flags,
  summary: 'Make objects, of a file or of words. What is there already is refused; see apply.',
  examples: ['cleat create namespace web', 'cleat create deployment web --image=nginx --replicas=2', 'cleat create configmap settings --from-file=app.conf --from-literal=level=info', 'cleat create secret generic db --from-literal=password=…', 'cleat create deployment web --image=nginx --dry-run=client -o yaml >web.yaml'],
  run,
});

async function run({ client, parsed, io, words }: Invocation): Promise<number> {
  const { mode, suffix } = dryRunOf('create', parsed);
  const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
  const byFile = hasFiles(parsed);
  const own = words === undefined ? parsed.args : parsed.args.slice(0, parsed.args.length - words.length);
  if (byFile && own.length > 0) throw refuse('create', 'name a file or what to make, not both');
  const read = byFile ? await readFiles('create', parsed, io) : [{ manifest: await make(own, { ...parsed, args: own }, words), source: '' }];
  const objects: object[] = [];
  const failures = await eachOf(read, async ({ manifest, source }) => {
    const type = await resolveKind(client, manifest, source);
    const namespace = namespaceOf(type, manifest.metadata.namespace, { namespace: client.connection.namespace, enforced: parsed.has('namespace') });
    const body = noted({ ...manifest, metadata: { ...manifest.metadata, ...(namespace !== undefined && (byFile || parsed.has('namespace')) && { namespace }) } }, parsed.bool('save-config'));
    const made = mode === 'client' ? body : await client.json<Manifest>('POST', `${pathOf(type, namespace)}?fieldValidation=Strict&fieldManager=kubectl-create${mode === 'server' ? '&dryRun=All' : ''}`, body);
    if (output === undefined) io.out(`${displayName(type, made.metadata.name ?? '')} created${suffix}\n`);
    else objects.push(made);
  }, { told: (error, { manifest, source }) => (byFile ? new StatusError(error.code, `error when creating ${JSON.stringify(source)}: ${error.message}`, { cause: error, ...(error.details && { details: error.details }) }) : new StatusError(error.code, `failed to create ${manifest.kind.toLowerCase()}: ${error.message}`, { cause: error })) });
  if (output !== undefined && objects.length > 0) io.out(await printObjects(objects, { output, headers: true, managedFields: false, single: objects.length === 1 }));
  return report(failures, io);
}

async function make([what = '', ...rest]: readonly string[], parsed: Invocation['parsed'], words: readonly string[] | undefined): Promise<Manifest> {
  if (what === '') throw refuse('create', `say what to make: -f FILE, or one of ${Object.keys(makers).join(', ')}`);
  const maker = Object.hasOwn(makers, what) ? makers[what] : undefined;
  if (!maker) throw refuse('create', `cannot make "${what}" of words: one of ${Object.keys(makers).join(', ')} can; write the others to a file and name it with -f`);
  return maker(rest, parsed, words ?? []);
}
