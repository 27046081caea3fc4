import { isRecord, own } from '#api/meta/json.ts';
import { messageOf } from '#common/errors.ts';
import { nameReferences } from './default-fields.ts';
import { changeField, hasField, splitPath, type FieldSpec } from './field-specs.ts';
import { gvkMatches, isClusterScoped, parseApiVersion, type GvkSelector } from './kinds.ts';
import { refuse } from './refuse.ts';
import type { ResourceList } from './resource-list.ts';
import { effectiveNamespace, idText, textOf, type Resource } from './resource.ts';

/** Where objects name others whose names have changed, the new names are put. */
export function followNames(list: ResourceList): void {
  for (const referrer of list.all) {
    let candidates: readonly Resource[] | undefined;
    for (const { target, fields } of nameReferences) {
      for (const spec of fields) {
        if (!gvkMatches(referrer.originalId, spec) || !hasField(referrer.fields, splitPath(spec.path))) continue;
        candidates ??= list.all.filter((other) => mayBeNamedBy(referrer, other));
        new Reference(referrer, spec, target, candidates).update();
      }
    }
  }
}

function mayBeNamedBy(referrer: Resource, other: Resource): boolean {
  const { id } = other;
  if (isClusterScoped(referrer.gvk) || isClusterScoped(id) || effectiveNamespace(id) === effectiveNamespace(referrer.id)) return true;
  const subjects = referrer.gvk.kind === 'RoleBinding' ? own(referrer.fields, 'subjects') : undefined;
  return Array.isArray(subjects) && subjects.some((subject) => isRecord(subject) && own(subject, 'kind') === 'ServiceAccount' && own(subject, 'namespace') === other.namespace);
}

/** A field of an object that holds the name of another, or a map of name and namespace, or a list of such. */
class Reference {
  readonly #referrer: Resource;
  readonly #spec: FieldSpec;
  readonly #target: GvkSelector;
  readonly #candidates: readonly Resource[];

  constructor(referrer: Resource, spec: FieldSpec, target: GvkSelector, candidates: readonly Resource[]) {
    this.#referrer = referrer;
    this.#spec = spec;
    this.#target = target;
    this.#candidates = candidates;
  }

  update(): void {
    try {
      changeField(this.#referrer, { ...this.#spec, ...this.#referrer.gvk }, (value) => this.#updated(value));
    } catch (error) {
      throw refuse(`updating name reference in '${this.#spec.path}' field of '${idText(this.#referrer.id)}': ${messageOf(error)}`);
    }
  }

  #updated(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#updated(item));
    if (value === null || value === undefined) return value;
    if (!isRecord(value)) return this.#find(textOf(value), this.#candidates, (a, b) => a.name === b.name)?.name ?? value;
    const name = own(value, 'name');
    if (name === undefined) throw refuse("path config error; no 'name' field in node");
    const found = this.#find(textOf(name), this.#inNamespaceOf(value), (a, b) => a.name === b.name && a.namespace === b.namespace);
    if (found) {
      value['name'] = found.name;
      if (found.namespace !== '') value['namespace'] = found.namespace;
    }
    return value;
  }

  #inNamespaceOf(value: Record<string, unknown>): readonly Resource[] {
    if (own(value, 'namespace') === undefined) return this.#candidates;
    const namespace = textOf(own(value, 'namespace'));
    const before = this.#candidates.filter(({ originalId }) => effectiveNamespace(originalId) === namespace);
    return before.length > 0 ? before : this.#candidates.filter(({ id }) => effectiveNamespace(id) === namespace);
  }

  #find(name: string, among: readonly Resource[], alike: (a: Resource, b: Resource) => boolean): Resource | undefined {
    const role = this.#roleRef();
    const fitting = among.filter((other) => other.previousIds.some((id) => id.name === name)
      && other.previousIds.some((id) => gvkMatches(id, this.#target))
      && (role === undefined || other.previousIds.some((id) => gvkMatches(id, role)))
      && this.#inSameNamespace(other));
    if (fitting.length <= 1) return fitting[0];
    const related = fitting.filter((other) => this.#sameAffixes(other, true));
    if (related.length === 1) return related[0];
    const [first, ...others] = related.filter((other) => this.#sameAffixes(other, false));
    if (first && !others.every((other) => alike(first, other))) throw refuse(` found multiple possible referrals: ${[first, ...others].map((other) => idText(other.id)).join(', ')}`);
    return first;
  }

  /** In a binding, the kind that its roleRef means. */
  #roleRef(): GvkSelector | undefined {
    const roleRef = this.#spec.path.endsWith('roleRef/name') ? own(this.#referrer.fields, 'roleRef') : undefined;
    if (!isRecord(roleRef) || roleRef['apiGroup'] === undefined || roleRef['kind'] === undefined) return undefined;
    return { group: parseApiVersion(`${textOf(roleRef['apiGroup'])}/`).group, kind: textOf(roleRef['kind']) };
  }

  #inSameNamespace(other: Resource): boolean {
    return isClusterScoped(this.#referrer.gvk) || isClusterScoped(other.gvk) || other.gvk.kind === 'ServiceAccount' || effectiveNamespace(other.id) === effectiveNamespace(this.#referrer.id);
  }

  #sameAffixes(other: Resource, emptyFits: boolean): boolean {
    return (['prefixes', 'suffixes'] as const).every((which) => {
      const [a, b] = [other[which], this.#referrer[which]];
      return (emptyFits && (a.length === 0 || b.length === 0)) || sameEnd(a, b);
    });
  }
}

function sameEnd(a: readonly string[], b: readonly string[]): boolean {
  const length = Math.min(a.length, b.length);
  return length === 0 ? a.length === b.length : a.slice(-length).join('\0') === b.slice(-length).join('\0');
}
