import { StatusError } from '#common/errors.ts';
import type { LabelSelector } from '../gen/types.ts';
import { forbidden, invalid, printFieldError, required, type FieldError } from './field-error.ts';
import { own } from './json.ts';
import { labelValue, qualifiedName } from './names.ts';
import { parseRequirements, type LabelOperator, type LabelRequirement } from './selector-parser.ts';

export type { LabelRequirement };

export interface FieldRequirement {
  readonly field: string;
  readonly op: '=' | '!=';
  readonly value: string;
}

/** The text form (`app=web,tier in (a,b),!canary`). Bad text is BadRequest in Kubernetes' words. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const requirements = parseRequirements(text);
  for (const requirement of requirements) {
    const problem = requirementProblem(requirement);
    if (problem !== undefined) throw new StatusError('BadRequest', `unable to parse requirement: ${printFieldError(problem)}`);
  }
  return requirements;
}

function requirementProblem({ key, operator, values }: LabelRequirement): FieldError | undefined {
  const keyProblem = qualifiedName(key);
  if (keyProblem !== undefined) return invalid('key', key, keyProblem);
  if ((operator === '>' || operator === '<') && !/^[+-]?[0-9]{1,18}$/.test(values[0] ?? '')) {
    return invalid('values[0]', values[0], "for 'Gt', 'Lt' operators, the value must be an integer");
  }
  for (const [index, value] of values.entries()) {
    const problem = labelValue(value);
    if (problem !== undefined) return invalid(`values[${index}][${key}]`, value, problem);
  }
  return undefined;
}

/** What a selector that selects nothing is made of. */
export const nothing: readonly LabelRequirement[] = Object.freeze([{ key: '', operator: 'in', values: [] } as const]);

/** An undefined selector selects nothing, an empty one everything. A bad one is BadRequest. */
export function requirementsOf(selector: LabelSelector | undefined): readonly LabelRequirement[] {
  if (selector === undefined) return nothing;
  const requirements: LabelRequirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({ key, operator: '=', values: [value] }));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const translated = operators.get(operator);
    if (translated === undefined) throw new StatusError('BadRequest', `${JSON.stringify(operator)} is not a valid label selector operator`);
    requirements.push({ key, operator: translated, values: values ?? [] });
  }
  return requirements;
}

const operators: ReadonlyMap<string, LabelOperator> = new Map([['In', 'in'], ['NotIn', 'notin'], ['Exists', 'exists'], ['DoesNotExist', '!exists']]);

/** The requirements of a plain map of labels, as Services and node selectors have it. Undefined and empty select everything. */
export function requirementsOfMap(labels: Readonly<Record<string, string>> | undefined): LabelRequirement[] {
  return Object.entries(labels ?? {}).map(([key, value]) => ({ key, operator: '=', values: [value] }));
}

export function matchesLabels(requirements: readonly LabelRequirement[], labels: Readonly<Record<string, string>> | undefined): boolean {
  return requirements.every((requirement) => holds(requirement, own(labels ?? {}, requirement.key)));
}

function holds({ operator, values }: LabelRequirement, value: unknown): boolean {
  const present = typeof value === 'string';
  switch (operator) {
    case 'exists': return present;
    case '!exists': return !present;
    case '=': case 'in': return present && values.includes(value);
    case '!=': case 'notin': return !present || !values.includes(value);
    case '>': return present && /^[+-]?[0-9]+$/.test(value) && Number(value) > Number(values[0]);
    case '<': return present && /^[+-]?[0-9]+$/.test(value) && Number(value) < Number(values[0]);
  }
}

/** The text form of requirements, as Kubernetes prints it: sorted by key, values sorted. */
export function formatLabelSelector(requirements: readonly LabelRequirement[]): string {
  return [...requirements].sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ key, operator, values }) => {
    switch (operator) {
      case 'exists': return key;
      case '!exists': return `!${key}`;
      case 'in': case 'notin': return `${key} ${operator} (${[...values].sort().join(',')})`;
      default: return `${key}${operator}${values[0] ?? ''}`;
    }
  }).join(',');
}

/** The rules of a LabelSelector inside an object. */
export function validateLabelSelector(selector: LabelSelector | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = (key: string, path: string): void => {
    const problem = qualifiedName(key);
    if (problem !== undefined) errors.push(invalid(path, key, problem));
  };
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    name(key, `${field}.matchLabels`);
    const problem = labelValue(value);
    if (problem !== undefined) errors.push(invalid(`${field}.matchLabels`, value, problem));
  }
  for (const [index, { key, operator, values }] of (selector?.matchExpressions ?? []).entries()) {
    const path = `${field}.matchExpressions[${index}]`;
    if (operator === 'In' || operator === 'NotIn') {
      if ((values ?? []).length === 0) errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if ((values ?? []).length > 0) errors.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    } else {
      errors.push(invalid(`${path}.operator`, operator, 'not a valid selector operator'));
    }
    name(key ?? '', `${path}.key`);
    for (const [i, value] of (values ?? []).entries()) {
      const problem = labelValue(value);
      if (problem !== undefined) errors.push(invalid(`${path}.values[${i}]`, value, problem));
    }
  }
  return errors;
}

/** `metadata.name=x,status.phase!=Running`. `\` escapes `,`, `=` and itself. Bad text is BadRequest. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return splitEscaped(text).filter((term) => term !== '').map((term) => {
    const match = /^((?:\\.|[^\\=!]|!(?!=))*)(==|!=|=)([\s\S]*)$/.exec(term);
    if (match === null) throw new StatusError('BadRequest', `invalid selector: '${text}'; can't understand '${term}'`);
    return { field: (match[1] ?? '').trim(), op: match[2] === '!=' ? '!=' : '=', value: unescape(match[3] ?? '', text) };
  });
}

function splitEscaped(text: string): string[] {
  const terms: string[] = [];
  let term = '';
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === ',') {
      terms.push(term);
      term = '';
    } else {
      term += character;
      if (character === '\\' && i + 1 < text.length) term += text.charAt(++i);
    }
  }
  terms.push(term);
  return terms;
}

function unescape(value: string, text: string): string {
  if (/^(?:\\[\\,=]|[^\\,=])*$/.test(value)) return value.replaceAll(/\\([\\,=])/g, '$1');
  throw new StatusError('BadRequest', `invalid selector: '${text}'; can't understand '${value}'`);
}

/** `valueOf` gives an object's value for a field; the caller has checked that it knows every field. */
export function matchesFields(requirements: readonly FieldRequirement[], valueOf: (field: string) => string): boolean {
  return requirements.every(({ field, op, value }) => (valueOf(field) === value) === (op === '='));
}
