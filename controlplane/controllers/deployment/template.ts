import type { Deployment, PodTemplateSpec, ReplicaSet } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';

/** Label that keeps the pods of one template apart from those of another. */
export const hashLabel = 'pod-template-hash';

/** Without vowels and what looks like them, so that no hash spells a word. Source: k8s.io/apimachinery rand. */
const safeCharacters = 'bcdfghjklmnpqrstvwxz2456789';

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

/** True when both make the same pods, the hash label aside. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return equal(comparable(a), comparable(b));
}

function comparable(template: PodTemplateSpec | undefined): unknown {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels, creationTimestamp: undefined } };
}

/** The ReplicaSet that makes the deployment's pods: the oldest of those with its template. */
export function findNewReplicaSet(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return byAge(sets).find((set) => sameTemplate(set.spec?.template, deployment.spec?.template));
}

/** Oldest first. */
export function byAge(sets: readonly ReplicaSet[]): ReplicaSet[] {
  return [...sets].sort((a, b) => compare(a.metadata?.creationTimestamp ?? '', b.metadata?.creationTimestamp ?? '') || compare(a.metadata?.name ?? '', b.metadata?.name ?? ''));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
