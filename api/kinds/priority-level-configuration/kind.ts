import type { LimitedPriorityLevelConfiguration, PriorityLevelConfiguration } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { inRange, notNegative, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { priorityLevelConfigurations } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults({ spec }: PriorityLevelConfiguration): void {
  if (spec?.exempt) {
    spec.exempt.nominalConcurrencyShares ??= 0;
    spec.exempt.lendablePercent ??= 0;
  }
  const { limited } = spec ?? {};
  if (!limited) return;
  limited.nominalConcurrencyShares ??= 30;
  limited.lendablePercent ??= 0;
  const queuing = limited.limitResponse?.queuing;
  if (!queuing) return;
  queuing.queues ??= 64;
  queuing.handSize ??= 8;
  queuing.queueLengthLimit ??= 50;
}

function validateLimited({ nominalConcurrencyShares, lendablePercent, borrowingLimitPercent, limitResponse }: LimitedPriorityLevelConfiguration): FieldError[] {
  const field = 'spec.limited';
  const { type, queuing } = limitResponse ?? {};
  const errors = [
    ...notNegative(`${field}.nominalConcurrencyShares`, nominalConcurrencyShares),
    ...inRange(`${field}.lendablePercent`, lendablePercent, 0, 100), ...notNegative(`${field}.borrowingLimitPercent`, borrowingLimitPercent),
    ...supported(`${field}.limitResponse.type`, type, ['Queue', 'Reject']),
  ];
  if (type === 'Reject' && queuing !== undefined) errors.push(forbidden(`${field}.limitResponse.queuing`, 'must be nil if limited.limitResponse.type is not Limited'));
  if (type === 'Queue' && queuing === undefined) errors.push(required(`${field}.limitResponse.queuing`, 'must not be empty if limited.limitResponse.type is Limited'));
  for (const name of ['queues', 'handSize', 'queueLengthLimit'] as const) {
    const value = queuing?.[name];
    if (value !== undefined && value <= 0) errors.push(invalid(`${field}.limitResponse.queuing.${name}`, value, 'must be positive'));
  }
  const { queues = 0, handSize = 0 } = queuing ?? {};
  if (handSize > queues) errors.push(invalid(`${field}.limitResponse.queuing.handSize`, handSize, `should not be greater than queues (${queues})`));
  return errors;
}

function validate({ metadata, spec }: PriorityLevelConfiguration): FieldError[] {
  const { type, limited, exempt } = spec ?? {};
  const errors = supported('spec.type', type, ['Exempt', 'Limited']);
  if ((metadata?.name === 'exempt') !== (type === 'Exempt')) errors.push(invalid('spec.type', type, "type must be 'Exempt' if and only if name is 'exempt'"));
  if (type === 'Exempt' && limited !== undefined) errors.push(forbidden('spec.limited', 'must be nil if the type is not Limited'));
  if (type === 'Limited' && exempt !== undefined) errors.push(forbidden('spec.exempt', 'must be nil if the type is Limited'));
  if (type === 'Limited' && limited === undefined) errors.push(required('spec.limited', 'must not be empty when type is Limited'));
  return [...errors, ...(limited ? validateLimited(limited) : [])];
}

const none = '<none>';

export const priorityLevelConfiguration: KindDefinition<PriorityLevelConfiguration> = {
  resource: priorityLevelConfigurations,
  singular: 'prioritylevelconfiguration',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('PriorityLevelConfiguration'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => { object.status = {}; },
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Type', 'Exempt or Limited', ({ spec }) => spec?.type ?? ''),
    column('NominalConcurrencyShares', 'Its part of all requests at once', ({ spec }) => spec?.limited?.nominalConcurrencyShares ?? none),
    column('Queues', 'How many queues it has', ({ spec }) => spec?.limited?.limitResponse?.queuing?.queues ?? none),
    column('HandSize', 'Among how many queues a flow is spread', ({ spec }) => spec?.limited?.limitResponse?.queuing?.handSize ?? none),
    column('QueueLengthLimit', 'How many may wait in a queue', ({ spec }) => spec?.limited?.limitResponse?.queuing?.queueLengthLimit ?? none),
    ageColumn(),
  ],
};
