import type { PriorityClass } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, type FieldError } from '../../meta/field-error.ts';
import { immutable, supportedIfSet } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { priorityClasses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

/** The classes that every cluster has. Source: Kubernetes, "Guaranteed scheduling for critical add-on pods". */
export const systemClasses: Readonly<Record<string, number>> = { 'system-cluster-critical': 2_000_000_000, 'system-node-critical': 2_000_001_000 };
const maxUserPriority = 1_000_000_000;

function systemProblem({ metadata, value, globalDefault }: PriorityClass): string | undefined {
  const name = metadata?.name ?? '';
  const known = Object.hasOwn(systemClasses, name) ? systemClasses[name] : undefined;
  if (known === undefined) return `${name} is not a known system priority class`;
  if (value !== known) return `value of ${name} PriorityClass must be ${known}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

function validate(object: PriorityClass, old?: PriorityClass): FieldError[] {
  const errors: FieldError[] = [];
  if (object.metadata?.name?.startsWith('system-')) {
    const problem = systemProblem(object);
    if (problem !== undefined) errors.push(forbidden('metadata.name', `priority class names with 'system-' prefix are reserved for system use only. error: ${problem}`));
  } else if ((object.value ?? 0) > maxUserPriority) errors.push(forbidden('value', `maximum allowed value of a user defined priority is ${maxUserPriority}`));
  errors.push(...supportedIfSet('preemptionPolicy', object.preemptionPolicy, ['Never', 'PreemptLowerPriority']));
  if (old === undefined) return errors;
  if ((old.value ?? 0) !== (object.value ?? 0)) errors.push(forbidden('value', 'may not be changed in an update.'));
  return [...errors, ...immutable('preemptionPolicy', object.preemptionPolicy, old.preemptionPolicy)];
}

export const priorityClass: KindDefinition<PriorityClass> = {
  resource: priorityClasses,
  singular: 'priorityclass',
  shortNames: ['pc'],
  categories: [],
  schema: () => schemaNamed('PriorityClass'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: (object) => { object.value ??= 0; object.preemptionPolicy ??= 'PreemptLowerPriority'; },
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Value', 'Higher goes first', ({ value }) => value ?? 0, 'integer'),
    column('Global-Default', 'Whether pods without a class have this one', ({ globalDefault }) => globalDefault ?? false, 'boolean'),
    ageColumn(),
    column('PreemptionPolicy', 'Whether its pods may push out others', ({ preemptionPolicy }) => preemptionPolicy ?? ''),
  ],
};
