import type { ObjectMeta } from '#api/meta/object.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { describeEvents } from '../describe/events.ts';
import { describerOf, kindsWithoutEvents } from '../describe/kinds.ts';
import { DescribeWriter } from '../describe/writer.ts';
import { clusterFlags, helpText, parseFlags, type Flag } from '../flags.ts';
import { pathOf, type Target } from '../resources.ts';
import { listObjects } from '../selection.ts';
import { fileFlags, readTargets } from '../targets.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'from all namespaces' },
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'show-events', type: 'bool', default: 'true', description: 'add the Events' },
];

type Described = Readonly<Record<string, unknown>> & { readonly metadata: ObjectMeta };

export const command: Command = {
  help: () => helpText('describe (TYPE [NAME ...] | -f FILE) [flags]', 'Show one object, what belongs to it, and its Events.', flags, ['cleat describe pod web', 'cleat describe deployments -l app=web']),
  async run(argv, io) {
    const parsed = parseFlags('describe', flags, argv);
    const client = await connect(parsed, io);
    try {
      const namespace = parsed.bool('all-namespaces') ? undefined : client.connection.namespace;
      let shown = 0;
      for (const target of await readTargets('describe', client, parsed, io)) {
        for (const object of await find(client, target, target.namespace ?? namespace, parsed.string('selector'))) {
          const text = await describe(client, target, object, parsed.bool('show-events'));
          io.out((shown++ > 0 ? '\n\n' : '') + text);
        }
      }
      if (shown === 0) io.err(`No resources found${namespace === undefined ? '' : ` in ${namespace} namespace.`}\n`);
      return 0;
    } finally {
      client.close();
    }
  },
};

async function describe(client: RestClient, { type }: Target, object: Described, withEvents: boolean): Promise<string> {
  const writer = new DescribeWriter();
  const context = { client, nowMs: Date.now() };
  await describerOf(type.kind)(writer, { kind: type.kind, ...object }, context);
  if (withEvents && !kindsWithoutEvents.has(type.kind)) await describeEvents(writer, type, object.metadata, context);
  return writer.toString();
}

/** A name that no object has may be the beginning of names, as with kubectl. */
async function find(client: RestClient, { type, name }: Target, namespace: string | undefined, selector: string | undefined): Promise<readonly Described[]> {
  const list = async (): Promise<readonly Described[]> => (await listObjects<{ items: Described[] }>(client, type, namespace, { labels: selector })).items;
  if (name === undefined) return list();
  if (namespace === undefined && type.namespaced) throw new StatusError('BadRequest', 'a resource cannot be retrieved by name across all namespaces');
  try {
    return [await client.json<Described>('GET', pathOf(type, namespace, name))];
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error;
    const found = (await list()).filter(({ metadata }) => metadata.name?.startsWith(name));
    if (found.length === 0) throw error;
    return found;
  }
}
