import { own, type JsonRecord } from '../json.ts';
import type { Schema } from '../schema.ts';
import { shapeOf } from './shape.ts';

/** Items of lists that are told apart by their keys or values, and are there twice, in Kubernetes' words: nobody could say who owns which. */
export function duplicatesIn(schema: Schema, value: unknown, path = ''): string[] {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'whole') return [];
  if (shape.kind === 'map') return Object.keys(shape.value).flatMap((key) => duplicatesIn(shape.schemaOf(key), own(shape.value, key), `${path}.${key}`));
  const seen = new Set<string>();
  return shape.value.flatMap((item, i) => {
    const element = shape.element(item, path, i);
    const printed = printElement(element);
    const twice = seen.has(element) ? [`${path}: duplicate entries for key ${printed}`] : [];
    seen.add(element);
    return [...twice, ...duplicatesIn(shape.items, item, `${path}${printed}`)];
  });
}

/** `k:{"name":"a"}` as `[name="a"]`, `v:"a"` as `[="a"]`. */
function printElement(element: string): string {
  if (element.startsWith('v:')) return `[=${element.slice(2)}]`;
  return `[${Object.entries(JSON.parse(element.slice(2)) as JsonRecord).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}
