import type { Event } from '../../gen/types.ts';
import { column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { qualifiedName } from '../../meta/names.ts';
import { named } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { ageSince } from '../../meta/table.ts';
import { events } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate(event: Event, old?: Event): FieldError[] {
  const { involvedObject, metadata } = event;
  if (involvedObject === undefined) return [required('involvedObject')];
  const { namespace = '' } = involvedObject;
  // An event about a cluster-scoped object lives in `default`.
  const home = namespace === '' ? ['default', 'kube-system'] : [namespace];
  const misplaced = metadata?.namespace && !home.includes(metadata.namespace) ? [invalid('involvedObject.namespace', namespace, 'does not match event.namespace')] : [];
  return [...misplaced, ...(event.eventTime === undefined || old !== undefined ? [] : validateNew(event))];
}

/** Events with an `eventTime` are of the new kind, and say who reports what in full. */
function validateNew({ reportingComponent, reportingInstance, action, reason, message = '' }: Event): FieldError[] {
  const text = (field: string, value = '', max = 128): FieldError[] =>
    (value === '' ? [required(field)] : value.length > max ? [invalid(field, '', `can have at most ${max} characters`)] : []);
  const controller = reportingComponent ? named('reportingController', reportingComponent, qualifiedName) : [required('reportingController')];
  return [
    ...controller, ...text('reportingInstance', reportingInstance), ...text('action', action), ...text('reason', reason),
    ...(message.length > 1024 ? [invalid('message', '', 'can have at most 1024 characters')] : []),
  ];
}

export function validateSeries({ series }: Event): FieldError[] {
  if (series === undefined) return [];
  return [
    ...((series.count ?? 0) < 2 ? [invalid('series.count', '', 'should be at least 2')] : []),
    ...(series.lastObservedTime === undefined ? [required('series.lastObservedTime')] : []),
  ];
}

function firstSeen({ firstTimestamp, eventTime }: Event, nowMs: number): string {
  return ageSince(firstTimestamp ?? eventTime, nowMs);
}

function lastSeen(event: Event, nowMs: number): string {
  if (event.series !== undefined) return ageSince(event.series.lastObservedTime, nowMs);
  return event.lastTimestamp === undefined ? firstSeen(event, nowMs) : ageSince(event.lastTimestamp, nowMs);
}

function object({ involvedObject }: Event): string {
  const kind = (involvedObject?.kind ?? '').toLowerCase();
  return involvedObject?.name ? `${kind}/${involvedObject.name}` : kind;
}

function source(event: Event): string {
  const component = event.source?.component || event.reportingComponent || '';
  const instance = event.source?.host || event.reportingInstance || '';
  return instance === '' ? component : `${component}, ${instance}`;
}

export const event: KindDefinition<Event> = {
  resource: events,
  singular: 'event',
  shortNames: ['ev'],
  categories: [],
  schema: () => schemaNamed('Event'),
  storage: 'volatile',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {
    'involvedObject.kind': (e) => e.involvedObject?.kind ?? '',
    'involvedObject.namespace': (e) => e.involvedObject?.namespace ?? '',
    'involvedObject.name': (e) => e.involvedObject?.name ?? '',
    'involvedObject.uid': (e) => e.involvedObject?.uid ?? '',
    'involvedObject.apiVersion': (e) => e.involvedObject?.apiVersion ?? '',
    'involvedObject.resourceVersion': (e) => e.involvedObject?.resourceVersion ?? '',
    'involvedObject.fieldPath': (e) => e.involvedObject?.fieldPath ?? '',
    reason: (e) => e.reason ?? '',
    reportingComponent: (e) => e.reportingComponent ?? '',
    source: (e) => e.source?.component || e.reportingComponent || '',
    type: (e) => e.type ?? '',
  },
  columns: [
    column('Last Seen', 'Time since it happened last', lastSeen),
    column('Type', 'Normal or Warning', (e) => e.type ?? ''),
    column('Reason', 'Why it happened, in one word', (e) => e.reason ?? ''),
    column('Object', 'What it is about', object),
    wideColumn('Subobject', 'Which part of the object', (e) => e.involvedObject?.fieldPath ?? ''),
    wideColumn('Source', 'Who reports it', source),
    column('Message', 'What happened', (e) => (e.message ?? '').trim()),
    wideColumn('First Seen', 'Time since it happened first', firstSeen),
    wideColumn('Count', 'How often it happened', (e) => e.series?.count ?? (e.count || 1)),
    { ...nameColumn<Event>(), priority: 1 },
  ],
};
