import { matchesLabels, parseLabelSelector } from '#api/meta/selectors.ts';
import { isRecord, own, type JsonRecord } from '#api/meta/json.ts';
import { refuse } from './refuse.ts';
import { effectiveNamespace, idText, sameId, textOf, type Resource, type ResourceId } from './resource.ts';

/** Which objects a patch is for; texts but the last two are regular expressions for the whole value. */
export interface Selector {
  readonly group?: string;
  readonly version?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly annotationSelector?: string;
}

/** The objects of a build in the order in which they came, no two of the same kind, name and namespace. */
export class ResourceList {
  #all: Resource[] = [];

  get all(): readonly Resource[] {
    return this.#all;
  }

  append(resource: Resource): void {
    const { id } = resource;
    if (this.#all.some((other) => sameId(other.id, id))) throw refuse(`may not add resource with an already registered id: ${idText(id)}`);
    this.#all.push(resource);
  }

  /** Takes a generated object: appended, or merged into one that is there, as its behaviour says. */
  absorb(resource: Resource): void {
    const { id, behavior } = resource;
    const matches = this.withAnyId((other) => sameId(other, id));
    const [old] = matches;
    if (old === undefined) {
      if (behavior !== 'create') throw refuse(`id ${idText(id)} does not exist; cannot merge or replace`);
      this.append(resource);
      return;
    }
    if (matches.length > 1) throw refuse(`found multiple objects ${matches.map((match) => idText(match.id)).join(', ')} that could accept merge of ${idText(id)}`);
    if (behavior === 'create') throw refuse(`id ${idText(id)} exists; behavior must be merge or replace`);
    const hashed = resource.hashed && old.hashed;
    for (const what of ['labels', 'annotations'] as const) resource.setMeta(what, { ...old.meta(what), ...resource.meta(what) });
    resource.name = old.name;
    resource.namespace = old.namespace;
    resource.takeHistory(old);
    resource.hashed = hashed;
    if (behavior === 'merge') for (const field of ['data', 'binaryData']) mergeData(resource.fields, old.fields, field);
    this.#all[this.#all.indexOf(old)] = resource;
  }

  withAnyId(matches: (id: ResourceId) => boolean): Resource[] {
    return this.#all.filter((resource) => !resource.empty && [...resource.previousIds, resource.id].some(matches));
  }

  /** The one object that has or had this id. */
  only(id: ResourceId): Resource {
    const [found, second] = this.withAnyId((other) => sameId(other, id));
    if (found === undefined || second !== undefined) throw refuse(`${found === undefined ? 'no' : 'multiple'} matches for Id ${idText(id)}; failed to find unique target for patch ${idText(id)}`);
    return found;
  }

  select(selector: Selector): Resource[] {
    const matcher = (pattern: string | undefined): ((value: string) => boolean) => {
      if (pattern === undefined || pattern === '') return () => true;
      const expression = compile(`^(?:${pattern})$`);
      return (value) => expression.test(value);
    };
    const [group, version, kind, name, namespace] = [selector.group, selector.version, selector.kind, selector.name, selector.namespace].map(matcher);
    return this.#all.filter((resource) => {
      const { gvk, id, originalId } = resource;
      return (namespace?.(effectiveNamespace(originalId)) === true || namespace?.(effectiveNamespace(id)) === true)
        && (name?.(originalId.name) === true || name?.(id.name) === true)
        && group?.(gvk.group) === true && version?.(gvk.version) === true && kind?.(gvk.kind) === true
        && matchesSelectors(resource, selector);
    });
  }

  dropEmpty(): void {
    this.#all = this.#all.filter(({ empty }) => !empty);
  }

  keep(wanted: (resource: Resource) => boolean): void {
    this.#all = this.#all.filter(wanted);
  }

  sort(compare: (a: Resource, b: Resource) => number): void {
    this.#all.sort(compare);
  }
}

export function matchesSelectors(resource: Resource, { labelSelector = '', annotationSelector = '' }: Selector): boolean {
  return matchesLabels(parseLabelSelector(labelSelector), resource.meta('labels')) && matchesLabels(parseLabelSelector(annotationSelector), resource.meta('annotations'));
}

/** What is no regular expression is refused. */
export function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch {
    throw refuse(`error parsing regexp: ${JSON.stringify(pattern)}`);
  }
}

function mergeData(into: JsonRecord, from: JsonRecord, field: string): void {
  const [old, now] = [own(from, field), own(into, field)].map((value) => (isRecord(value) ? Object.entries(value).map(([key, text]) => [key, textOf(text)] as const) : []));
  const merged = new Map([...(old ?? []), ...(now ?? [])]);
  if (merged.size > 0) into[field] = Object.fromEntries(merged);
  else delete into[field];
}
