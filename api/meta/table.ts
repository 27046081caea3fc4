import type { KindDefinition } from '../kinds/types.ts';
import type { KubeObject } from './object.ts';

export type MetaVersion = 'meta.k8s.io/v1' | 'meta.k8s.io/v1beta1';

export interface TableColumnDefinition { name: string; type: string; format: string; description: string; priority: number }
export interface TableRow { cells: unknown[]; object?: unknown }
/** A Table: what the server answers when kubectl asks for `as=Table`. */
export interface Table {
  kind: 'Table';
  apiVersion: MetaVersion;
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  columnDefinitions: TableColumnDefinition[];
  rows: TableRow[];
}
export type IncludeObject = 'None' | 'Metadata' | 'Object';
export interface TableOptions {
  /** What goes with each row; the default is its metadata. */
  readonly includeObject?: IncludeObject;
  /** Of the table itself; older clients ask for v1beta1. */
  readonly apiVersion?: MetaVersion;
}

/** `metadata` is empty: the caller sets the list's resourceVersion. Watch events may drop `columnDefinitions` after the first. */
export function renderTable<T extends KubeObject>(kind: Pick<KindDefinition<T>, 'columns'>, objects: readonly T[], nowMs: number, options: TableOptions = {}): Table {
  const { apiVersion = 'meta.k8s.io/v1' } = options;
  return {
    kind: 'Table',
    apiVersion,
    metadata: {},
    columnDefinitions: kind.columns.map(({ name, type, format, description, priority }) => ({ name, type, format: format ?? '', description, priority })),
    rows: objects.map((object) => renderRow(kind, object, nowMs, options)),
  };
}

/** One row of `renderTable`. */
export function renderRow<T extends KubeObject>(kind: Pick<KindDefinition<T>, 'columns'>, object: T, nowMs: number, { includeObject = 'Metadata', apiVersion = 'meta.k8s.io/v1' }: TableOptions): TableRow {
  const cells = kind.columns.map((column) => column.value(object, nowMs));
  switch (includeObject) {
    case 'None': return { cells };
    case 'Object': return { cells, object };
    case 'Metadata': return { cells, object: { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata ?? {} } };
  }
}

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)}${largeName}`;
  return rest === 0 ? first : `${first}${rest}${smallName}`;
}

/** Kubernetes' HumanDuration: `45s`, `3m12s`, `5h2m`, `3d4h`, `2y10d`. */
export function age(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 2 * minute) return `${seconds}s`;
  if (seconds < 10 * minute) return twoUnits(seconds, minute, 'm', 1, 's');
  if (seconds < 3 * hour) return `${Math.floor(seconds / minute)}m`;
  if (seconds < 8 * hour) return twoUnits(seconds, hour, 'h', minute, 'm');
  if (seconds < 2 * day) return `${Math.floor(seconds / hour)}h`;
  if (seconds < 8 * day) return twoUnits(seconds, day, 'd', hour, 'h');
  if (seconds < 2 * year) return `${Math.floor(seconds / day)}d`;
  if (seconds < 8 * year) return twoUnits(seconds, year, 'y', day, 'd');
  return `${Math.floor(seconds / year)}y`;
}

/** The age of a timestamp, or `<unknown>` when there is none. */
export function ageSince(timestamp: string | undefined, nowMs: number): string {
  const then = timestamp === undefined ? NaN : Date.parse(timestamp);
  return Number.isNaN(then) ? '<unknown>' : age(nowMs - then);
}
