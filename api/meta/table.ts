import type { KubeObject } from './object.ts';
import type { KindDefinition } from '../kinds/types.ts';

export interface TableColumnDefinition { name: string; type: string; format: string; description: string; priority: number }
export interface TableRow { cells: unknown[]; object?: unknown }
/** `meta.k8s.io/v1` Table: what the server answers when kubectl asks for `as=Table`. */
export interface Table {
  kind: 'Table';
  apiVersion: 'meta.k8s.io/v1';
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  columnDefinitions: TableColumnDefinition[];
  rows: TableRow[];
}
export type IncludeObject = 'None' | 'Metadata' | 'Object';
export interface TableOptions {
  /** What goes with each row; the default is its metadata. */
  readonly includeObject?: IncludeObject;
}

/** `metadata` is empty: the caller sets the list's resourceVersion. Watch events may drop `columnDefinitions` after the first. */
export function renderTable<T extends KubeObject>(kind: KindDefinition<T>, objects: readonly T[], nowMs: number, options: TableOptions = {}): Table {
  void kind; void objects; void nowMs; void options;
  throw new Error('not built yet');
}

/** Kubernetes' HumanDuration: `45s`, `3m12s`, `5h2m`, `3d4h`, `2y10d`. */
export function age(ms: number): string {
  void ms;
  throw new Error('not built yet');
}
