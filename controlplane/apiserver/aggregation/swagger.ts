import { apiVersionOf } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { isRecord } from '#api/meta/json.ts';

type Json = Readonly<Record<string, unknown>>;
interface Swagger { readonly paths: Json; readonly definitions: Json }

const root = '#/definitions/';

/** `own` with what another server's document says of one group version. Definitions that mean something else under the same name get a name of their own. */
export function mergeSwagger<T extends Swagger>(own: T, foreign: Json, groupVersion: { readonly group: string; readonly version: string }): T {
  const prefix = `/apis/${apiVersionOf(groupVersion)}`;
  const theirs = isRecord(foreign['definitions']) ? foreign['definitions'] : {};
  const paths = Object.entries(isRecord(foreign['paths']) ? foreign['paths'] : {}).filter(([path]) => path === prefix || path.startsWith(`${prefix}/`));
  const names = new Map<string, string>();
  const follow = (value: unknown): void => {
    for (const ref of refsIn(value)) {
      if (names.has(ref) || !Object.hasOwn(theirs, ref)) continue;
      names.set(ref, nameFor(own.definitions, ref, theirs[ref]));
      follow(theirs[ref]);
    }
  };
  follow(paths);
  const definitions = [...names].map(([name, wanted]) => [wanted, renamed(theirs[name], names)] as const);
  return { ...own, paths: { ...own.paths, ...Object.fromEntries(paths.map(([path, item]) => [path, renamed(item, names)])) }, definitions: { ...own.definitions, ...Object.fromEntries(definitions) } };
}

function nameFor(definitions: Json, name: string, definition: unknown): string {
  for (let i = 1; ; i++) {
    const wanted = i === 1 ? name : `${name}_v${String(i)}`;
    if (!Object.hasOwn(definitions, wanted) || equal(definitions[wanted], definition)) return wanted;
  }
}

function refsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(refsIn);
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' && typeof inner === 'string' && inner.startsWith(root) ? [inner.slice(root.length)] : refsIn(inner)));
}

function renamed(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((one) => renamed(one, names));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, key === '$ref' && typeof inner === 'string' && inner.startsWith(root)
    ? root + (names.get(inner.slice(root.length)) ?? inner.slice(root.length)) : renamed(inner, names)]));
}
