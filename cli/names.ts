import { pathSegment } from '#api/meta/names.ts';
import { StatusError } from '#common/errors.ts';

/** Returns what can name an object or a namespace in a path of the API. Nothing, or `..`, would make the path of other things of it: of all objects, say. */
export function checkedName(name: string, what: 'resource name' | 'namespace' = 'resource name'): string {
  if (name === '') throw new StatusError('BadRequest', `${what} may not be empty`);
  const why = pathSegment(name);
  if (why !== undefined) throw new StatusError('BadRequest', `invalid ${what} ${JSON.stringify(name)}: [${why}]`);
  return name;
}

/** Throws for a path of which a name has made another one, in case nobody looked at the name. */
export function checkPath(path: string): void {
  for (const segment of (path.split('?', 1)[0] ?? '').split('/').slice(1)) checkedName(decoded(segment));
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
