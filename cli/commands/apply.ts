import { matchesLabels, parseLabelSelector } from '#api/meta/selectors.ts';
import { StatusError } from '#common/errors.ts';
import { applyManifest, type ApplyOptions } from '../apply.ts';
import { connect } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Read } from '../manifests.ts';
import { checkedOutput, printObjects } from '../printing/objects.ts';
import { fileFlags, readFiles } from '../targets.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  dryRunFlag,
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'output', short: 'o', type: 'string', description: 'print the objects as yaml, json, name or jsonpath=TEMPLATE' },
  { name: 'server-side', type: 'bool', description: 'let the server merge, by who owns which field' },
  { name: 'force-conflicts', type: 'bool', description: 'with --server-side: take over fields that others own' },
  { name: 'field-manager', type: 'string', default: 'kubectl', description: 'with --server-side: name under which fields are owned' },
  { name: 'validate', type: 'string', optional: 'strict', default: 'strict', description: 'strict, warn or ignore: what is done about fields that the server does not know' },
];

export const command: Command = {
  help: () => helpText('apply -f FILE [flags]', 'Make the cluster match a file: create what is missing, change what differs.', flags, ['cleat apply -f examples/hello.yaml', 'cat web.yaml | cleat apply -f -']),
  async run(argv, io) {
    const parsed = parseFlags('apply', flags, argv);
    if (parsed.args.length > 0) throw refuse('apply', `unexpected arguments: ${parsed.args.join(' ')}`);
    const given = optionsOf(parsed);
    const { suffix } = dryRunOf('apply', parsed);
    const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
    const read = await readChosen(parsed, io);
    const objects: object[] = [];
    const client = await connect(parsed, io);
    let failures: unknown[];
    try {
      failures = await eachOf(read, async ({ manifest, source }) => {
        const applied = await applyManifest(client, manifest, { ...given, source, namespace: client.connection.namespace });
        for (const warning of applied.warnings) io.err(`Warning: ${warning}\n`);
        if (output === undefined) io.out(`${applied.display} ${applied.outcome}${suffix}\n`);
        else objects.push(applied.object);
      }, {
        ofOne: ({ code }) => code !== 'ServiceUnavailable',
        told: (error) => (error.code === 'Conflict' && given.serverSide ? new StatusError(error.code, error.message + conflictAdvice, { cause: error, ...(error.details && { details: error.details }) }) : error),
      });
    } finally {
      client.close();
    }
    if (output !== undefined && objects.length > 0) {
      io.out(await printObjects(objects, { output, headers: true, managedFields: false, single: objects.length === 1 }));
    }
    return report(failures, io);
  },
};

const conflictAdvice = '\nOthers own these fields. Take them over with --force-conflicts, leave them out of the manifest, or set them to what they are to own them together.';
const validations = { strict: 'Strict', true: 'Strict', warn: 'Warn', ignore: 'Ignore', false: 'Ignore' } as const;

function optionsOf(parsed: ParsedFlags): Omit<ApplyOptions, 'namespace' | 'source'> {
  const { mode: dryRun } = dryRunOf('apply', parsed);
  const validation = parsed.string('validate') ?? 'strict';
  if (!Object.hasOwn(validations, validation)) throw refuse('apply', `invalid - validate option "${validation}": expected strict, warn or ignore`);
  const serverSide = parsed.bool('server-side');
  if (serverSide && dryRun === 'client') throw refuse('apply', "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
  if (!serverSide && parsed.bool('force-conflicts')) throw refuse('apply', '--force-conflicts only works with --server-side');
  return {
    dryRun, enforceNamespace: parsed.has('namespace'), validate: validations[validation as keyof typeof validations],
    ...(serverSide && { serverSide: { manager: parsed.string('field-manager') ?? 'kubectl', force: parsed.bool('force-conflicts') } }),
  };
}

/** The manifests with the labels asked for; at least one. */
async function readChosen(parsed: ParsedFlags, io: Io): Promise<Read[]> {
  const requirements = parseLabelSelector(parsed.string('selector') ?? '');
  const read = await readFiles('apply', parsed, io);
  const chosen = read.filter(({ manifest }) => matchesLabels(requirements, manifest.metadata['labels'] as Record<string, string> | undefined));
  if (chosen.length === 0) throw new StatusError('BadRequest', 'no objects passed to apply');
  return chosen;
}
