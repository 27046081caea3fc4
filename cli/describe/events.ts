import type { Event } from '#api/gen/types.ts';
import type { ObjectMeta } from '#api/meta/object.ts';
import { eventAge, lastSeenMs } from '../event-times.ts';
import type { ResourceType } from '../resources.ts';
import type { DescribeContext } from './types.ts';
import type { DescribeWriter } from './writer.ts';

export async function describeEvents(writer: DescribeWriter, type: ResourceType, metadata: ObjectMeta, { client, nowMs }: DescribeContext): Promise<void> {
  const { namespace, name = '', uid = '' } = metadata;
  // An agent that does not know its Node object yet reports the node's name as its UID.
  const about = `involvedObject.name=${name},involvedObject.kind=${type.kind}${type.kind === 'Node' ? '' : `,involvedObject.uid=${uid}`}`;
  const { items } = await client.json<{ items: Event[] }>('GET', `/api/v1${namespace === undefined ? '' : `/namespaces/${namespace}`}/events?fieldSelector=${encodeURIComponent(about)}`);
  if (items.length === 0) {
    writer.row(0, 'Events:', '<none>');
    return;
  }
  writer.flush().row(0, 'Events:').row(1, 'Type', 'Reason', 'Age', 'From', 'Message').row(1, '----', '------', '----', '----', '-------');
  for (const event of items.toSorted((a, b) => lastSeenMs(a) - lastSeenMs(b))) {
    writer.row(1, event.type ?? '', event.reason ?? '', eventAge(event, nowMs), event.source?.component ?? event.reportingComponent ?? '', event.message?.trim() ?? '');
  }
}
