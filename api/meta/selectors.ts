import type { LabelSelector } from '../gen/types.ts';

export type LabelOperator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!exists' | '>' | '<';

/** One term of a label selector; all terms must hold. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** One for =, !=, > and <; any number for in and notin; none for exists and !exists. */
  readonly values: readonly string[];
}

export interface FieldRequirement {
  readonly field: string;
  readonly op: '=' | '!=';
  readonly value: string;
}

/** The text form (`app=web,tier in (a,b),!canary`). Bad text is BadRequest in Kubernetes' words. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  void text;
  throw new Error('not built yet');
}

/** What a selector that selects nothing is made of; compare with `selectsNothing`. */
export const nothing: readonly LabelRequirement[] = Object.freeze([{ key: '', operator: 'in', values: [] } as const]);

/** An undefined selector selects nothing, an empty one everything. A bad one is BadRequest. */
export function requirementsOf(selector: LabelSelector | undefined): readonly LabelRequirement[] {
  void selector;
  throw new Error('not built yet');
}

export function selectsNothing(requirements: readonly LabelRequirement[]): boolean {
  return requirements === nothing;
}

export function matchesLabels(requirements: readonly LabelRequirement[], labels: Readonly<Record<string, string>> | undefined): boolean {
  void requirements; void labels;
  throw new Error('not built yet');
}

/** The text form of requirements, as Kubernetes prints it. */
export function formatLabelSelector(requirements: readonly LabelRequirement[]): string {
  void requirements;
  throw new Error('not built yet');
}

/** `metadata.name=x,status.phase!=Running`. Bad text is BadRequest. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  void text;
  throw new Error('not built yet');
}

/** `valueOf` gives an object's value for a field; the caller has checked that it knows every field. */
export function matchesFields(requirements: readonly FieldRequirement[], valueOf: (field: string) => string): boolean {
  return requirements.every(({ field, op, value }) => (valueOf(field) === value) === (op === '='));
}
