import type { Resource } from '#api/kinds/resources.ts';
import { apiVersionOf, qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { StatusError } from '#common/errors.ts';

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly KindDefinition[];
}

/** One resource: every version of it that is served, the preferred one first. */
type Versions = readonly KindDefinition[];

/**
 * The kinds served, found by URL and by resource. Built-in kinds stay; custom ones come and go. A kind in several
 * versions is several definitions with one `group` and `plural`, under which their objects are stored.
 */
export class KindIndex {
  readonly #builtIn: ReadonlyMap<string, Versions>;
  readonly #custom = new Map<string, Versions>();
  /** The version that objects of a custom resource are stored in: what this process itself reads and writes. */
  readonly #stored = new Map<string, KindDefinition>();
  readonly #byPath = new Map<string, KindDefinition>();
  readonly #listeners = new Set<() => void>();
  #groupVersions: readonly GroupVersion[] | undefined;
  #edition = 0;

  constructor(kinds: Readonly<Record<string, KindDefinition>>) {
    this.#builtIn = Map.groupBy(Object.values(kinds), ({ resource }) => qualifiedName(resource));
    for (const kind of Object.values(kinds)) this.#byPath.set(pathOf(kind.resource), kind);
  }

  /** Counts changes of what is served: caches of what follows from it keep it as their key. */
  get edition(): number { return this.#edition; }

  /** Every version of every kind. */
  get all(): readonly KindDefinition[] {
    return [...this.#builtIn.values(), ...this.#custom.values()].flat();
  }

  /** Each resource once, in the version that is preferred. */
  get resources(): readonly Resource[] {
    return [...this.#builtIn.values(), ...this.#custom.values()].flatMap(([first]) => (first ? [first.resource] : []));
  }

  /** Those that are defined at run time, in every version. */
  get custom(): readonly Resource[] {
    return [...this.#custom.values()].flatMap((versions) => versions.map(({ resource }) => resource));
  }

  find(group: string, version: string, plural: string): KindDefinition | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** The definition of a resource, in its own version where that is served. Asking for a resource that is not served is NotFound. */
  of({ group, plural, version }: Pick<Resource, 'group' | 'plural'> & { readonly version?: string }): KindDefinition {
    const name = qualifiedName({ group, plural });
    const versions = this.#builtIn.get(name) ?? this.#custom.get(name);
    const kind = versions?.find(({ resource }) => resource.version === version) ?? this.#stored.get(name) ?? versions?.[0];
    if (!kind) throw new StatusError('NotFound', `no kind is registered for ${name}`);
    return kind;
  }

  groupVersions(): readonly GroupVersion[] {
    this.#groupVersions ??= [...Map.groupBy(this.all, ({ resource }) => apiVersionOf(resource)).values()]
      .flatMap((kinds) => (kinds[0] ? [{ group: kinds[0].resource.group, version: kinds[0].resource.version, kinds }] : []));
    return this.#groupVersions;
  }

  groupVersion(group: string, version: string): GroupVersion | undefined {
    return this.groupVersions().find((one) => one.group === group && one.version === version);
  }

  /** Serves `kinds`, versions of one resource, in place of what was served for it; none: no longer. Without `stored` its objects are gone too. Built-in kinds are never replaced. */
  replace(name: string, kinds: Versions, stored?: KindDefinition): void {
    if (this.#builtIn.has(name)) return;
    if (stored) this.#stored.set(name, stored);
    else this.#stored.delete(name);
    for (const kind of this.#custom.get(name) ?? []) this.#byPath.delete(pathOf(kind.resource));
    if (kinds.length > 0) this.#custom.set(name, kinds);
    else if (!this.#custom.delete(name)) return;
    for (const kind of kinds) this.#byPath.set(pathOf(kind.resource), kind);
    this.#groupVersions = undefined;
    this.#edition += 1;
    for (const listener of this.#listeners) listener();
  }

  /** Called after each change of what is served. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }
}

function pathOf({ group, version, plural }: Resource): string {
  return `${group}/${version}/${plural}`;
}
