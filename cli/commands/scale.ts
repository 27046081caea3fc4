import { StatusError } from '#common/errors.ts';
import { RestClient } from '../client.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { displayName, parseTargets, pathOf } from '../resources.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'replicas', type: 'int', description: 'how many to run; required' },
  { name: 'current-replicas', type: 'int', description: 'only when this many are asked for now' },
  { name: 'resource-version', type: 'string', description: 'only when the object is at this version' },
];

interface Scale { readonly metadata: { readonly resourceVersion?: string }; readonly spec: { readonly replicas?: number } }

export const command: Command = {
  help: () => helpText('scale TYPE/NAME ... --replicas=N [flags]', 'Set the number of replicas.', flags, ['cleat scale deployment/web --replicas=3', 'cleat scale --replicas=0 deploy web api']),
  async run(argv, io) {
    const parsed = parseFlags('scale', flags, argv);
    const replicas = parsed.int('replicas');
    if (replicas === undefined) throw refuse('scale', 'required flag(s) "replicas" not set');
    if (replicas < 0) throw refuse('scale', 'The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0');
    const client = new RestClient(await readConnection(parsed, io.env));
    try {
      for (const { type, name } of await parseTargets(client, parsed.args)) {
        if (name === undefined) throw refuse('scale', 'resource(s) were provided, but no name was specified');
        const path = pathOf(type, client.connection.namespace, name, 'scale');
        const expected = parsed.int('current-replicas');
        const version = parsed.string('resource-version');
        if (expected !== undefined) {
          const current = await client.json<Scale>('GET', path);
          if ((current.spec.replicas ?? 0) !== expected) throw new StatusError('Conflict', `Expected replicas to be ${String(expected)}, was ${String(current.spec.replicas ?? 0)}`);
        }
        await client.json('PATCH', path, { ...(version !== undefined && { metadata: { resourceVersion: version } }), spec: { replicas } }, { contentType: 'application/merge-patch+json' });
        io.out(`${displayName(type, name)} scaled\n`);
      }
    } finally {
      client.close();
    }
    return 0;
  },
};
