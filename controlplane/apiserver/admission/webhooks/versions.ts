import { qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { copyJson } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { KindIndex } from '../../kind-index.ts';
import { scaleOf } from '../../scale.ts';
import { keptUnder } from '../../stored-form.ts';
import type { AdmissionRequest } from '../types.ts';

/** Other versions and groups under which the same objects are seen. */
export function equivalents(kinds: KindIndex, kind: KindDefinition): KindDefinition[] {
  const home = qualifiedName(keptUnder(kind));
  return kinds.all.filter((other) => other !== kind && qualifiedName(keptUnder(other)) === home && other.resource.kind === kind.resource.kind);
}

/** A copy of an object of `from` as `to` shows it. */
export async function convert(object: KubeObject, from: KindDefinition, to: KindDefinition): Promise<KubeObject> {
  // What is asked of a subresource is of a type of its own.
  if (from === to || object.kind !== from.resource.kind) return copyJson(object);
  const stored = copyJson(from.stored ? await from.stored.save(object) : object);
  return to.stored ? copyJson((await to.stored.load([stored]))[0] ?? stored) : stored;
}

interface Shown { readonly object: KubeObject | undefined; readonly old: KubeObject | undefined }

/** What outsiders see of a request: its objects in the version that they ask for, of a `scale` the Scale. */
export async function objectsFor({ kind: own, subresource, object, old }: AdmissionRequest, kind: KindDefinition): Promise<Shown> {
  if (subresource === 'scale' && own.scale) return { object: object && scaleOf(own.scale, object), old: old && scaleOf(own.scale, old) };
  return { object: object && await convert(object, own, kind), old: old && await convert(old, own, kind) };
}
