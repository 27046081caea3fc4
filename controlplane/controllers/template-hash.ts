import type { PodTemplateSpec } from '#api/gen/types.ts';
import { safeCharacters } from '#api/meta/names.ts';

/**
 * A short name for a template: equal templates get equal names, on every host and in every version.
 * `collisionCount` yields another name when two templates got the same.
 */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = canonicalJson(template) + (collisionCount ? `#${String(collisionCount)}` : '');
  return Array.from(String(fnv1a(text)), (digit) => safeCharacters[digit.charCodeAt(0) % safeCharacters.length]).join('');
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** JSON with sorted keys, without fields that are undefined or null. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined && field !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
  return `{${fields.join(',')}}`;
}
