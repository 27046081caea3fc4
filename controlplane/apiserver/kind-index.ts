import type { Resource } from '#api/kinds/resources.ts';
import { apiVersionOf, qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { StatusError } from '#common/errors.ts';

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly KindDefinition[];
}

/** The kinds served, found by URL and by resource. */
export class KindIndex {
  readonly all: readonly KindDefinition[];
  readonly #byPath = new Map<string, KindDefinition>();
  readonly #byName = new Map<string, KindDefinition>();
  readonly #byGroupVersion = new Map<string, GroupVersion>();

  constructor(kinds: Readonly<Record<string, KindDefinition>>) {
    this.all = Object.values(kinds);
    for (const kind of this.all) {
      const { group, version, plural } = kind.resource;
      this.#byPath.set(`${group}/${version}/${plural}`, kind);
      this.#byName.set(qualifiedName(kind.resource), kind);
      const key = apiVersionOf(kind.resource);
      const known = this.#byGroupVersion.get(key);
      this.#byGroupVersion.set(key, { group, version, kinds: [...(known?.kinds ?? []), kind] });
    }
  }

  find(group: string, version: string, plural: string): KindDefinition | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** Asking for a resource that is not served is a programming error. */
  of(resource: Pick<Resource, 'group' | 'plural'>): KindDefinition {
    const kind = this.#byName.get(qualifiedName(resource));
    if (!kind) throw new StatusError('InternalError', `no kind is registered for ${qualifiedName(resource)}`);
    return kind;
  }

  groupVersions(): GroupVersion[] {
    return [...this.#byGroupVersion.values()];
  }

  groupVersion(group: string, version: string): GroupVersion | undefined {
    return this.#byGroupVersion.get(apiVersionOf({ group, version }));
  }
}
