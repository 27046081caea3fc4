import { isRecord, own, setOwn, type JsonRecord } from '#api/meta/json.ts';
import { gvkText, isClusterScoped, parseApiVersion, type Gvk } from './kinds.ts';

export interface ResourceId extends Gvk { readonly name: string; readonly namespace: string }

/** How a generated object meets one of the same name: of its own, in its place, or added to it. */
export type Behavior = 'create' | 'replace' | 'merge';

const notNamespaced = '_non_namespaceable_';

/** An object on its way through a build, with the names that it had: references are found by those. */
export class Resource {
  fields: JsonRecord;
  behavior: Behavior = 'create';
  /** A hash of what it holds is put behind its name in the end. */
  hashed = false;
  allowNameChange = false;
  allowKindChange = false;
  /** Where it is from, as `originAnnotations` have it. */
  origin: string | undefined;
  /** Oldest first. Group and version are always the present ones. */
  #previous: { kind: string; name: string; namespace: string }[] = [];
  prefixes: string[] = [];
  suffixes: string[] = [];

  constructor(fields: JsonRecord) {
    this.fields = fields;
  }

  copy(): Resource {
    const copy = new Resource(structuredClone(this.fields));
    copy.takeHistory(this);
    copy.allowNameChange = this.allowNameChange;
    copy.allowKindChange = this.allowKindChange;
    return copy;
  }

  /** What is known of `other` becomes what is known of this one. */
  takeHistory(other: Resource): void {
    this.#previous = [...other.#previous];
    this.prefixes = [...other.prefixes];
    this.suffixes = [...other.suffixes];
    this.behavior = other.behavior;
    this.hashed = other.hashed;
    this.origin = other.origin;
  }

  get empty(): boolean {
    return Object.keys(this.fields).length === 0;
  }

  get gvk(): Gvk {
    return { ...parseApiVersion(own(this.fields, 'apiVersion')), kind: textOf(own(this.fields, 'kind')) };
  }

  get metadata(): JsonRecord {
    const metadata = own(this.fields, 'metadata');
    if (isRecord(metadata)) return metadata;
    const made: JsonRecord = {};
    this.fields['metadata'] = made;
    return made;
  }

  get name(): string {
    return textOf(own(this.metadata, 'name'));
  }

  set name(name: string) {
    this.metadata['name'] = name;
  }

  get namespace(): string {
    return textOf(own(this.metadata, 'namespace'));
  }

  set namespace(namespace: string) {
    if (namespace === '') delete this.metadata['namespace'];
    else this.metadata['namespace'] = namespace;
  }

  /** Labels or annotations; changes go to the object by `setMeta`. */
  meta(what: 'labels' | 'annotations'): Record<string, string> {
    const map = own(this.metadata, what);
    return isRecord(map) ? Object.fromEntries(Object.entries(map).map(([key, value]) => [key, value === null ? 'null' : textOf(value)])) : {};
  }

  setMeta(what: 'labels' | 'annotations', values: Readonly<Record<string, string>>): void {
    if (Object.keys(values).length === 0) delete this.metadata[what];
    else this.metadata[what] = copyMap(values);
  }

  get id(): ResourceId {
    return { ...this.gvk, name: this.name, namespace: this.namespace };
  }

  get previousIds(): readonly ResourceId[] {
    const { group, version } = this.gvk;
    return this.#previous.map((id) => ({ group, version, ...id }));
  }

  get originalId(): ResourceId {
    return this.previousIds[0] ?? this.id;
  }

  /** To be called before the name, the namespace or the kind changes. */
  noteId(): void {
    const { id } = this;
    this.#previous.push({ kind: id.kind, name: id.name, namespace: effectiveNamespace(id) });
  }
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null || typeof value === 'object' ? '' : String(value as number | boolean | bigint);
}

function copyMap(values: Readonly<Record<string, string>>): JsonRecord {
  const copy: JsonRecord = {};
  for (const key of Object.keys(values)) setOwn(copy, key, values[key]);
  return copy;
}

export function effectiveNamespace(id: ResourceId): string {
  if (isClusterScoped(id)) return notNamespaced;
  return id.namespace === '' ? 'default' : id.namespace;
}

export function sameId(a: ResourceId, b: ResourceId): boolean {
  return a.group === b.group && a.version === b.version && a.kind === b.kind && a.name === b.name && effectiveNamespace(a) === effectiveNamespace(b);
}

/** `Deployment.v1.apps/web.[noNs]`, as kustomize writes it. */
export function idText(id: ResourceId): string {
  return `${gvkText(id)}/${id.name || '[noName]'}.${id.namespace || '[noNs]'}`;
}
