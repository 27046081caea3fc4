import type { Event } from '#api/gen/types.ts';
import { humanAge } from './printing/age.ts';

export function lastSeenMs(event: Event): number {
  return Date.parse(event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? '');
}

/** `5s`, or `5s (x3 over 2m)` of one that came again. */
export function eventAge(event: Event, nowMs: number): string {
  const first = humanAge(nowMs - Date.parse(event.eventTime ?? event.firstTimestamp ?? event.metadata.creationTimestamp ?? ''));
  const count = event.series?.count ?? event.count ?? 1;
  return count > 1 ? `${humanAge(nowMs - lastSeenMs(event))} (x${String(count)} over ${first})` : first;
}
