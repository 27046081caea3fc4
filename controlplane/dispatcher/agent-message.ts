import { isRecord } from '#api/meta/json.ts';
import { isQuantity } from '#api/meta/quantity.ts';
import type { Pod, PodStatus } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { EventReport, NodeStatusUpdate, PodStatusUpdate } from '#proto/edge/v1/messages.ts';
import type { DriverReport } from './driver-reports.ts';
import type { NodeReport } from './node-reports.ts';
import type { PodReport } from './pod-reports.ts';

/** An Event as a node reports it. */
export interface NodeEvent {
  readonly kind: 'Pod' | 'Node';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The part of a pod, e.g. `spec.containers{web}`; empty for all of it. */
  readonly fieldPath: string;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  /** How long ago it happened first of these times, and last. */
  readonly firstAgeMs: number;
  readonly lastAgeMs: number;
}

/** A century of milliseconds: none is older, and none happens more often. */
const mostOfAnEvent = 100 * 365 * 86_400_000;

/** The shapes of what nodes send are checked here as far as this side looks into them; the API's schemas check the rest. */
export function parseNodeReport(update: NodeStatusUpdate): NodeReport {
  const report = parseJson(update.report, 'node status');
  const { labels, status, annotations, csi } = report;
  if (!isRecord(labels) || !isRecord(status)) throw broken('node status');
  return { labels: labels as Record<string, string>, status: withConditions(status, 'node status'), ...(isRecord(annotations) && { annotations }), ...(isDriverReport(csi) && { csi }) };
}

function isDriverReport(csi: unknown): csi is DriverReport {
  return isRecord(csi) && Array.isArray(csi['drivers']) && csi['drivers'].every((driver) => isRecord(driver) && typeof driver['name'] === 'string')
    && Array.isArray(csi['gone']) && csi['gone'].every((name) => typeof name === 'string')
    && (csi['expansions'] === undefined || (Array.isArray(csi['expansions']) && csi['expansions'].every(isExpansion)));
}

function isExpansion(expansion: unknown): boolean {
  return isRecord(expansion) && typeof expansion['volume'] === 'string' && isQuantity(expansion['capacity']) && (expansion['error'] === undefined || typeof expansion['error'] === 'string');
}

export function parsePodReport(update: PodStatusUpdate): PodReport {
  const { namespace, name, uid, gone } = update;
  // a pod that never ran here has no status to tell
  const status = update.status.length === 0 ? {} : parseJson(update.status, 'pod status');
  const mirror = update.mirror && update.mirror.length > 0 ? parseJson(update.mirror, 'mirror pod') as unknown as Pod : undefined;
  return { namespace, name, uid, gone, status: withConditions(status, 'pod status') satisfies PodStatus, ...(mirror && { mirror }) };
}

export function parseEvent(report: EventReport): NodeEvent {
  const event = parseJson(report.event, 'event');
  const { kind, type } = event;
  if ((kind !== 'Pod' && kind !== 'Node') || (type !== 'Normal' && type !== 'Warning')) throw broken('event');
  const text = (key: string, limit: number): string => {
    const value = event[key] ?? '';
    if (typeof value !== 'string') throw broken('event');
    return value.slice(0, limit);
  };
  const number = (key: string, otherwise: number): number => {
    const value = event[key] ?? otherwise;
    if (typeof value !== 'number' || !(value >= otherwise && value <= mostOfAnEvent)) throw broken('event');
    return Math.floor(value);
  };
  const lastAgeMs = number('lastAgeMs', 0);
  return {
    kind, type, namespace: text('namespace', 253), name: text('name', 253), uid: text('uid', 253), fieldPath: text('fieldPath', 253), reason: text('reason', 128), message: text('message', 1024),
    count: number('count', 1), lastAgeMs, firstAgeMs: Math.max(lastAgeMs, number('firstAgeMs', 0)),
  };
}

function parseJson(bytes: Buffer, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (isRecord(value)) return value;
  } catch { /* said below */ }
  throw broken(what);
}

/** `conditions`, if there are any, are a list of objects with a type and a status. */
function withConditions(status: Record<string, unknown>, what: string): Record<string, unknown> {
  const { conditions } = status;
  const valid = conditions === undefined || conditions === null
    || (Array.isArray(conditions) && conditions.every((c) => isRecord(c) && typeof c['type'] === 'string' && typeof c['status'] === 'string'));
  if (!valid) throw broken(what);
  if (conditions !== null) return status;
  const { conditions: _null, ...rest } = status;
  return rest;
}

function broken(what: string): StatusError {
  return new StatusError('BadRequest', `a ${what} that is not what the edge contract says; are agent and control plane of very different versions?`);
}
