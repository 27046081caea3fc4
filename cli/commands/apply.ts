import { StatusError } from '#common/errors.ts';
import { applyManifest } from '../apply.ts';
import { RestClient } from '../client.ts';
import { errorText } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { readManifests } from '../manifests.ts';
import { fileFlags } from '../targets.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  { name: 'dry-run', type: 'string', optional: 'server', default: 'none', description: 'none, or server: ask the server, change nothing' },
];

export const command: Command = {
  help: () => helpText('apply -f FILE [flags]', 'Make the cluster match a file: create what is missing, change what differs.', flags, ['cleat apply -f examples/hello.yaml', 'cat web.yaml | cleat apply -f -']),
  async run(argv, io) {
    const parsed = parseFlags('apply', flags, argv);
    if (parsed.args.length > 0) throw refuse('apply', `unexpected arguments: ${parsed.args.join(' ')}`);
    const dryRun = parsed.string('dry-run') ?? 'none';
    if (!['none', 'server'].includes(dryRun)) throw refuse('apply', `invalid --dry-run value "${dryRun}": expected none or server`);
    const read = await readManifests(parsed.list('filename'), parsed.bool('recursive'), io.stdin);
    const client = new RestClient(await readConnection(parsed, io.env));
    const failures: StatusError[] = [];
    try {
      for (const { manifest, source } of read) {
        try {
          const applied = await applyManifest(client, manifest, { namespace: client.connection.namespace, enforceNamespace: parsed.has('namespace'), dryRun: dryRun === 'server' });
          for (const warning of applied.warnings) io.err(`Warning: ${warning}\n`);
          io.out(`${applied.display} ${applied.outcome}${dryRun === 'server' ? ' (server dry run)' : ''}\n`);
        } catch (error) {
          // One bad object must not keep the others from being applied.
          if (!(error instanceof StatusError) || error.code === 'ServiceUnavailable') throw error;
          failures.push(new StatusError(error.code, `error when applying "${source}": ${error.message}`, { cause: error, ...(error.details && { details: error.details }) }));
        }
      }
    } finally {
      client.close();
    }
    for (const error of failures.slice(0, -1)) io.err(`${errorText(error)}\n`);
    if (failures.length > 0) throw failures.at(-1);
    return 0;
  },
};
