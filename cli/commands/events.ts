import type { Event } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { lines } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { eventAge, lastSeenMs } from '../event-times.ts';
import { refuseMore, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';
import { parseTargets, resolveResource } from '../resources.ts';
import { listObjects, watchPath } from '../selection.ts';

const flags: readonly Flag[] = [
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'of all namespaces' },
  { name: 'for', type: 'string', description: 'only those about TYPE/NAME' },
  { name: 'types', type: 'list', description: 'only Normal, or Warning' },
  { name: 'watch', short: 'w', type: 'bool', description: 'show those that come, too' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'output', short: 'o', type: 'string', description: 'json, yaml, name, jsonpath=TEMPLATE or another format of get' },
];

export const command = clusterCommand({
  name: 'events', usage: 'events [flags]', summary: 'List Events, oldest first.', flags, examples: ['cleat events', 'cleat events --for pod/web -w', 'cleat events -A --types=Warning'], run,
});

async function run({ client, parsed, io }: Invocation): Promise<number> {
  refuseMore('events', parsed.args);
  const types = parsed.list('types').map((type) => type.toLowerCase());
  for (const type of types) if (type !== 'normal' && type !== 'warning') throw new StatusError('BadRequest', `valid --types are Normal or Warning`);
  const { checkedOutput, printObjects } = await import('../printing/objects.ts');
  const output = parsed.has('output') ? checkedOutput(parsed.string('output') ?? '') : undefined;
  const namespace = parsed.bool('all-namespaces') ? undefined : client.connection.namespace;
  const about = parsed.string('for');
  if (about?.includes('/') === false) throw new StatusError('BadRequest', '--for must be in resource/name form');
  const [target] = about === undefined ? [] : await parseTargets(client, [about], 'events');
  if (about !== undefined && target?.name === undefined) throw new StatusError('BadRequest', '--for must be in resource/name form');
  const fields = target && `involvedObject.kind=${target.type.kind},involvedObject.name=${target.name ?? ''}`;
  const wanted = ({ type = '' }: Event): boolean => types.length === 0 || types.includes(type.toLowerCase());
  const type = await resolveResource(client, 'events');
  const list = await listObjects<{ metadata: { resourceVersion: string }; items: Event[] }>(client, type, namespace, { fields });
  const found = list.items.filter(wanted).sort((a, b) => lastSeenMs(a) - lastSeenMs(b));
  const header = ['LAST SEEN', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE'];
  const rows = (events: readonly Event[]): string[][] => events.map((event) => [...(namespace === undefined ? [event.metadata.namespace ?? ''] : []), ...cells(event)]);
  if (output !== undefined) io.out(await printObjects(found.map(printed), { output, headers: true, managedFields: false, single: false }));
  else if (found.length > 0) io.out(columns([...(parsed.bool('no-headers') ? [] : [[...(namespace === undefined ? ['NAMESPACE'] : []), ...header]]), ...rows(found)]));
  else if (!parsed.bool('watch')) io.err(namespace === undefined ? 'No events found.\n' : `No events found in ${namespace} namespace.\n`);
  if (!parsed.bool('watch')) return 0;
  let revision = list.metadata.resourceVersion;
  while (!io.interrupted.aborted) {
    const stream = await client.open('GET', watchPath(type, namespace, { fields }, revision), { signal: io.interrupted });
    for await (const line of lines(stream)) {
      const { type: kind, object } = JSON.parse(line) as { type: string; object: Event };
      if (kind === 'ERROR') throw new StatusError('Expired', object.message ?? 'the watch ended');
      revision = object.metadata.resourceVersion ?? revision;
      if ((kind === 'ADDED' || kind === 'MODIFIED') && wanted(object)) io.out(output === undefined ? columns(rows([object])) : await printObjects([printed(object)], { output, headers: false, managedFields: false, single: true }));
    }
    if (client.connection.timeoutMs > 0) return 0;
  }
  return 130;
}

function cells(event: Event): string[] {
  const { kind = '', name = '' } = event.involvedObject;
  return [eventAge(event, Date.now()), event.type ?? '', event.reason ?? '', `${kind}/${name}`, (event.message ?? '').trim()];
}

function printed(event: Event): { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string } } {
  return { ...event, apiVersion: 'v1', kind: 'Event', metadata: { ...event.metadata, name: event.metadata.name ?? '' } };
}
