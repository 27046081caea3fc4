import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { Versions } from '#api/meta/managed-fields/apply.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError } from '#common/errors.ts';
import { convert, equivalents } from './admission/webhooks/versions.ts';
import type { KindIndex } from './kind-index.ts';

/** An object is not known in that version yet. No error of anybody's: the work runs again when it is. */
class Unconverted extends Error {
  readonly object: KubeObject;
  readonly apiVersion: string;

  constructor(object: KubeObject, apiVersion: string) {
    super('not converted yet');
    this.object = object;
    this.apiVersion = apiVersion;
  }
}

/** More is not needed by any number of owners; it would be a conversion that is not stable. */
const maxConversions = 100;

/** Whether owners speak of the object in other versions than `kind`. */
export function hasForeignOwners(kind: KindDefinition, objects: readonly (KubeObject | undefined)[]): boolean {
  const own = apiVersionOf(kind.resource);
  return objects.some((object) => object?.metadata?.managedFields?.some(({ apiVersion }) => apiVersion !== own));
}

/**
 * Runs `work`, which keeps the ownership of fields and must be pure. Where owners speak of the object in other versions
 * than `kind` it is given those, and runs again after each conversion that it had to wait for.
 */
export async function withVersions<T>(kinds: KindIndex, kind: KindDefinition, objects: readonly (KubeObject | undefined)[], work: (versions?: Versions) => T): Promise<T> {
  const own = apiVersionOf(kind.resource);
  if (!hasForeignOwners(kind, objects)) return work();
  const served = new Map([kind, ...equivalents(kinds, kind)].map((one) => [apiVersionOf(one.resource), one]));
  const known = new Map<string, KubeObject>();
  const keyOf = (object: KubeObject, apiVersion: string): string => `${apiVersion}\n${JSON.stringify(object)}`;
  const versions: Versions = {
    schemaOf: (apiVersion) => served.get(apiVersion)?.schema(),
    convert: (object, apiVersion) => {
      if ((object.apiVersion ?? own) === apiVersion) return object;
      const converted = known.get(keyOf(object, apiVersion));
      if (converted) return converted;
      throw new Unconverted(object, apiVersion);
    },
  };
  for (;;) {
    try {
      return work(versions);
    } catch (error) {
      if (!(error instanceof Unconverted) || known.size >= maxConversions) throw error;
      const { object, apiVersion } = error;
      const [from, to] = [served.get(object.apiVersion ?? own), served.get(apiVersion)];
      if (!from || !to) throw new StatusError('InternalError', `nothing converts ${object.apiVersion ?? own} to ${apiVersion}`, { cause: error });
      known.set(keyOf(object, apiVersion), await convert({ ...object, apiVersion: apiVersionOf(from.resource) }, from, to));
    }
  }
}
