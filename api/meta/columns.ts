import type { TableColumn } from '../kinds/types.ts';
import type { KubeObject } from './object.ts';
import { ageSince } from './table.ts';

type Cell = string | number | boolean | null;
type Value<T> = (object: T, nowMs: number) => Cell;

/** Columns that every kind has, and short forms for the others. */
export function nameColumn<T extends KubeObject>(): TableColumn<T> {
  return { name: 'Name', type: 'string', format: 'name', description: 'Name of the object', priority: 0, value: (object) => object.metadata?.name ?? '' };
}

export function ageColumn<T extends KubeObject>(): TableColumn<T> {
  return { name: 'Age', type: 'string', description: 'Time since the object was created', priority: 0, value: (object, nowMs) => ageSince(object.metadata?.creationTimestamp, nowMs) };
}

export function column<T extends KubeObject>(name: string, description: string, value: Value<T>, type: TableColumn['type'] = 'string'): TableColumn<T> {
  return { name, type, description, priority: 0, value };
}

/** Shown with `-o wide`. */
export function wideColumn<T extends KubeObject>(name: string, description: string, value: Value<T>, type: TableColumn['type'] = 'string'): TableColumn<T> {
  return { name, type, description, priority: 1, value };
}

/** `a=1,b=2`, or `<none>`. */
export function printLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const terms = Object.keys(labels ?? {}).sort().map((key) => `${key}=${labels?.[key] ?? ''}`);
  return terms.length === 0 ? '<none>' : terms.join(',');
}
