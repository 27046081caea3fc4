import type { Event, EventsEvent } from '../../gen/types.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { immutable } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { events, eventsEvents } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { event, validateSeries } from './kind.ts';

/** Fields that the two groups call by different names: here, in core/v1. */
const names = [
  ['regarding', 'involvedObject'], ['note', 'message'], ['reportingController', 'reportingComponent'], ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'], ['deprecatedLastTimestamp', 'lastTimestamp'], ['deprecatedCount', 'count'],
] as const;
const toCoreNames = new Map<string, string>(names);
const fromCoreNames = new Map<string, string>(names.map(([here, core]) => [core, here]));

function renamed(object: object, apiVersion: string, translation: ReadonlyMap<string, string>): Record<string, unknown> {
  const fields = Object.entries(object).map(([name, value]: [string, unknown]) => [translation.get(name) ?? name, value] as const);
  return { apiVersion, ...Object.fromEntries(fields.filter(([name]) => name !== 'apiVersion')) };
}

/** As the core group has it. Never changes what it is given. */
export function toCore(object: EventsEvent): Event {
  const core = renamed(object, 'v1', toCoreNames);
  return { ...core, involvedObject: core['involvedObject'] ?? {} } as unknown as Event;
}

function fromCore(object: Event): EventsEvent {
  return renamed(object, 'events.k8s.io/v1', fromCoreNames) as unknown as EventsEvent;
}

/** Stricter than core/v1: what is deprecated may not be set, and who reports what about what never changes. */
function validate(object: EventsEvent, before?: EventsEvent): FieldError[] {
  const core = toCore(object);
  if (before !== undefined) return validateUpdate(core, toCore(before));
  const unset = (field: string, isSet: boolean): FieldError[] => (isSet ? [invalid(field, '', 'needs to be unset')] : []);
  const { type = '', firstTimestamp, lastTimestamp, count, source } = core;
  return [
    ...event.validate?.(core) ?? [],
    ...(core.eventTime === undefined ? [required('eventTime')] : []),
    ...(['Normal', 'Warning'].includes(type) ? [] : [invalid('type', '', `has invalid value: ${type}`)]),
    ...unset('firstTimestamp', firstTimestamp !== undefined), ...unset('lastTimestamp', lastTimestamp !== undefined),
    ...unset('count', (count ?? 0) !== 0), ...unset('source', Boolean(source?.component) || Boolean(source?.host)),
    ...validateSeries(core),
  ];
}

const fixed = ['involvedObject', 'reason', 'message', 'source', 'firstTimestamp', 'lastTimestamp', 'count', 'type', 'eventTime', 'action', 'related', 'reportingComponent', 'reportingInstance'] as const;

function validateUpdate(core: Event, old: Event): FieldError[] {
  return [...validateSeries(core), ...fixed.flatMap((name) => immutable(name === 'reportingComponent' ? 'reportingController' : name, core[name], old[name]))];
}

/** The group's name of a field of core/v1, for selectors. */
function selectable(name: string): string {
  return name.replace(/^involvedObject\./, 'regarding.').replace('reportingComponent', 'reportingController');
}

/** events.k8s.io/v1: the same objects as core/v1 Events, under the names of their second life. */
export const eventsEvent: KindDefinition<EventsEvent> = {
  singular: event.singular, shortNames: event.shortNames, categories: event.categories, storage: event.storage, status: event.status, nameRule: event.nameRule,
  resource: eventsEvents,
  // `eventTime` is required of new ones only: those made in the core group may lack it.
  schema: () => ({ ...schemaNamed('EventsEvent'), required: [] }),
  stored: { resource: events, apiVersion: 'v1', since: 0, load: (objects) => objects.map((object) => fromCore(object as Event)), save: (object) => toCore(object as EventsEvent) },
  validate,
  selectableFields: Object.fromEntries(Object.entries(event.selectableFields).filter(([name]) => name !== 'source').map(([name, read]) => [selectable(name), (e: EventsEvent) => read(toCore(e))])),
  columns: event.columns.map((column) => ({ ...column, value: (object: EventsEvent, nowMs: number) => column.value(toCore(object), nowMs) })),
};
