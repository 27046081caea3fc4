import { isRecord, own, setOwn } from '#api/meta/json.ts';
import { imageFields, replicaFields } from './default-fields.ts';
import { changeField, type FieldSpec } from './field-specs.ts';
import { gvkMatches, gvkText } from './kinds.ts';
import type { ImageArgs } from './kustomization.ts';
import { refuse } from './refuse.ts';
import { compile, type ResourceList } from './resource-list.ts';

/** Sets labels or annotations in all the fields that hold such. */
export function setPairs(list: ResourceList, pairs: Readonly<Record<string, string>>, specs: readonly FieldSpec[]): void {
  if (Object.keys(pairs).length === 0) return;
  for (const resource of list.all) {
    for (const spec of specs) {
      changeField(resource, spec, (value) => {
        const map = isRecord(value) ? value : {};
        for (const key of Object.keys(pairs)) setOwn(map, key, pairs[key]);
        return map;
      }, 'map');
    }
  }
}

export function setReplicas(list: ResourceList, name: string, count: number): void {
  let found = false;
  for (const spec of replicaFields) {
    for (const resource of list.withAnyId((id) => id.name === name && gvkMatches(id, spec))) {
      found = true;
      changeField(resource, spec, () => count, 'scalar');
    }
  }
  if (!found) throw refuse(`resource with name ${name} does not match a config with the following GVK [${replicaFields.map(gvkText).join(' ')}]`);
}

/** Changes images of that name, in the kinds that hold pods and wherever else lists of containers are. */
export function setImage(list: ResourceList, image: ImageArgs): void {
  const change = (value: unknown): unknown => (typeof value === 'string' ? changedImage(value, image) : value);
  for (const resource of list.all) {
    if (resource.gvk.kind !== 'CustomResourceDefinition') inContainers(resource.fields, change);
    for (const spec of imageFields) changeField(resource, spec, change);
  }
}

function inContainers(value: unknown, change: (image: unknown) => unknown): void {
  if (Array.isArray(value)) for (const item of value) inContainers(item, change);
  if (!isRecord(value)) return;
  for (const [key, item] of Object.entries(value)) {
    if (key !== 'containers' && key !== 'initContainers') inContainers(item, change);
    else if (Array.isArray(item)) for (const container of item) if (isRecord(container) && own(container, 'image') !== undefined) container['image'] = change(container['image']);
  }
}

function changedImage(value: string, { name = '', newName = '', newTag = '', tagSuffix = '', digest: newDigest = '' }: ImageArgs): string {
  if (!compile(`^(?:${name})(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?$`).test(value)) return value;
  const [, repository = value, tag = '', digest = ''] = /^([^/]*\/.*?|[^/]*?)(?::([^/@]*))?(?:@(.*))?$/.exec(value) ?? [];
  const written = newTag !== '' ? { tag: newTag, digest: newDigest } : newDigest !== '' ? { tag: '', digest: newDigest } : tagSuffix !== '' ? { tag: tag + tagSuffix, digest: '' } : { tag, digest };
  return `${newName || repository}${written.tag === '' ? '' : `:${written.tag}`}${written.digest === '' ? '' : `@${written.digest}`}`;
}

