import { StatusError } from '#common/errors.ts';

/** Replaces `$(NAME)` by its value; an unknown name stays as it is, `$$` gives `$`. As Kubernetes expands env, command and args. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (match: string, name: string | undefined) => {
    if (match === '$$') return '$';
    return lookup(name ?? '') ?? match;
  });
}

/** Of a part of a volume: without one of its values it would be another, or the whole. Rejects that in kubelet's words. */
export function expandPath(text: string, values: ReadonlyMap<string, string>): string {
  const missing = new Set<string>();
  const path = expand(text, (name) => {
    const value = values.get(name) ?? '';
    if (value === '') missing.add(name);
    return value;
  });
  if (missing.size > 0) throw new StatusError('Invalid', `missing value for ${[...missing].sort().join(', ')}`);
  return path;
}
