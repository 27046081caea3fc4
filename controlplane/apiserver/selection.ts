import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector, type FieldRequirement, type LabelRequirement } from '#api/meta/selectors.ts';
import { splitStoreKey } from '#controlplane/store/keys.ts';
import { badRequest } from './api-errors.ts';
import { parseBytes } from './encoding.ts';
import { keptUnder } from './stored-form.ts';

export interface SelectorText {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

type Labels = Readonly<Record<string, string>> | undefined;

const keyFields = new Set(['metadata.name', 'metadata.namespace']);

/** Label and field selectors of one request. Names are matched on the key; bytes are parsed only when they must be. */
export class Selection {
  readonly #kind: KindDefinition;
  /** Same text, same selection of one kind in one version. */
  readonly text: string;
  readonly #labels: readonly LabelRequirement[];
  /** The same, where each wants one value: nearly always. */
  readonly #labelValues: readonly (readonly [key: string, value: string])[] | undefined;
  readonly #keyFields: readonly FieldRequirement[];
  readonly #fields: readonly FieldRequirement[];
  /** What the bytes of every object that matches hold somewhere: most others need not be parsed. */
  readonly #marks: readonly Buffer[];

  constructor(kind: KindDefinition, text: SelectorText) {
    this.#kind = kind;
    const { group, version, plural } = kind.resource;
    this.text = JSON.stringify([group, version, plural, text.labelSelector ?? '', text.fieldSelector ?? '']);
    this.#labels = text.labelSelector ? parseLabelSelector(text.labelSelector) : [];
    this.#labelValues = valuesOf(this.#labels);
    this.#marks = this.#labels.flatMap(markOf);
    const fields = text.fieldSelector ? parseFieldSelector(text.fieldSelector) : [];
    for (const { field } of fields) {
      if (keyFields.has(field) || Object.hasOwn(kind.selectableFields, field)) continue;
      const hasOwn = kind.structure !== undefined || Object.keys(kind.selectableFields).length > 0;
      throw badRequest(hasOwn ? `field label not supported: ${field}` : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`);
    }
    this.#keyFields = fields.filter(({ field }) => keyFields.has(field));
    this.#fields = fields.filter(({ field }) => !keyFields.has(field));
  }

  /** True when the key alone decides. */
  get byKeyOnly(): boolean {
    return this.#labels.length === 0 && this.#fields.length === 0;
  }

  get everything(): boolean {
    return this.byKeyOnly && this.#keyFields.length === 0;
  }

  /** The one name that can match, if the selector says so. */
  get name(): string | undefined {
    return this.#keyFields.find(({ field, op }) => field === 'metadata.name' && op === '=')?.value;
  }

  matchesKey(key: string): boolean {
    if (this.#keyFields.length === 0) return true;
    const { namespace, name } = splitStoreKey(keptUnder(this.#kind), key);
    return matchesFields(this.#keyFields, (field) => (field === 'metadata.name' ? name : namespace ?? ''));
  }

  matchesObject(object: KubeObject, labels: Labels = object.metadata?.labels): boolean {
    return (this.#labelValues ? this.#labelValues.every(([key, value]) => labels?.[key] === value) : matchesLabels(this.#labels, labels))
      && (this.#fields.length === 0 || matchesFields(this.#fields, (field) => this.#kind.selectableFields[field]?.(object) ?? ''));
  }

  /** `known` is the object in the entry, where somebody holds it. */
  matches(entry: { readonly key: string; readonly value: Uint8Array }, known?: KubeObject): boolean {
    if (!this.matchesKey(entry.key)) return false;
    if (this.byKeyOnly) return true;
    if (known) return this.matchesObject(known);
    return this.#isMarked(entry.value) && this.matchesObject(parseBytes(entry.value));
  }

  #isMarked({ buffer, byteOffset, length }: Uint8Array): boolean {
    if (this.#marks.length === 0) return true;
    const bytes = Buffer.from(buffer, byteOffset, length);
    return this.#marks.every((mark) => bytes.includes(mark));
  }
}

function valuesOf(requirements: readonly LabelRequirement[]): (readonly [string, string])[] | undefined {
  const values: (readonly [string, string])[] = [];
  for (const { key, operator, values: [value, ...others] } of requirements) {
    if ((operator !== '=' && operator !== 'in') || value === undefined || others.length > 0) return undefined;
    values.push([key, value]);
  }
  return values;
}

/** Objects are stored as `JSON.stringify` writes them, which leaves but one form for a label. */
function markOf({ key, operator, values }: LabelRequirement): Buffer[] {
  const [value] = values;
  if ((operator === '=' || operator === 'in') && values.length === 1) return [Buffer.from(`${JSON.stringify(key)}:${JSON.stringify(value)}`)];
  return operator === '!=' || operator === 'notin' || operator === '!exists' ? [] : [Buffer.from(`${JSON.stringify(key)}:`)];
}
