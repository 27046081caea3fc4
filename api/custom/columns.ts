import type { CustomResourceColumnDefinition } from '../gen/types.ts';
import type { TableColumn } from '../kinds/types.ts';
import { nameColumn } from '../meta/columns.ts';
import { ageSince } from '../meta/table.ts';
import { compileJsonPath } from './json-path.ts';

const age: CustomResourceColumnDefinition = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since the object was created' };

const types = ['string', 'integer', 'number', 'boolean', 'date'] as const;

/** The columns of `kubectl get`: the name, then what the definition asks for; the age where it asks for nothing. */
export function printerColumns(columns: readonly CustomResourceColumnDefinition[] | undefined): TableColumn[] {
  return [nameColumn(), ...(columns?.length ? columns : [age]).map(printerColumn)];
}

function printerColumn({ name, type, format, description, priority, jsonPath }: CustomResourceColumnDefinition): TableColumn {
  const path = compileJsonPath(jsonPath);
  return {
    name, type: types.find((one) => one === type) ?? 'string', ...(format !== undefined && { format }), description: description ?? '', priority: (priority ?? 0) > 0 ? 1 : 0,
    value: (object, nowMs) => cell(type, path.find(object)[0], nowMs),
  };
}

/** Null prints as nothing: what is absent, and what is not of the column's type. */
function cell(type: string, value: unknown, nowMs: number): string | number | boolean | null {
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer': return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number': return typeof value === 'number' ? value : null;
    case 'boolean': return typeof value === 'boolean' ? value : null;
    case 'date': return typeof value === 'string' ? date(value, nowMs) : null;
    default: return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean);
  }
}

function date(text: string, nowMs: number): string {
  return Number.isNaN(Date.parse(text)) ? '<invalid>' : ageSince(text, nowMs);
}
