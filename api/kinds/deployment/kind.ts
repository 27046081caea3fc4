import type { Deployment, DeploymentSpec } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { percentOf, validateIntOrPercent } from '../../meta/int-or-percent.ts';
import { notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { hasTerms, validateRunningTemplate } from '../../pod-spec/validate.ts';
import { nameWarnings, templateWarnings } from '../../pod-spec/warnings.ts';
import { deployments } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults({ spec }: Deployment): void {
  if (spec === undefined) return;
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  const strategy = (spec.strategy ??= {});
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= '25%';
    rolling.maxSurge ??= '25%';
  }
  setTemplateDefaults(spec.template);
}

function isZero(value: number | string | undefined): boolean {
  return value === 0 || percentOf(value) === 0;
}

function validateStrategy({ strategy = {} }: DeploymentSpec): FieldError[] {
  const field = 'spec.strategy';
  const { type, rollingUpdate } = strategy;
  if (type === 'Recreate') {
    return rollingUpdate === undefined ? [] : [forbidden(`${field}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  }
  if (type !== 'RollingUpdate') return [notSupported(`${field}.type`, type ?? '', ['Recreate', 'RollingUpdate'])];
  if (rollingUpdate === undefined) return [required(`${field}.rollingUpdate`, 'this should be defaulted and never be nil')];
  const { maxSurge, maxUnavailable } = rollingUpdate;
  const path = `${field}.rollingUpdate`;
  const errors = [...validateIntOrPercent(maxUnavailable, `${path}.maxUnavailable`), ...validateIntOrPercent(maxSurge, `${path}.maxSurge`)];
  if (isZero(maxUnavailable) && isZero(maxSurge)) errors.push(invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  if ((percentOf(maxUnavailable) ?? 0) > 100) errors.push(invalid(`${path}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%'));
  return errors;
}

function validate({ spec }: Deployment, old?: Deployment): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  const { selector, replicas, minReadySeconds = 0, revisionHistoryLimit, progressDeadlineSeconds } = spec;
  const errors = notNegative('spec.replicas', replicas);
  if (selector === undefined) errors.push(required('spec.selector'));
  else {
    errors.push(...validateLabelSelector(selector, 'spec.selector'));
    if (!hasTerms(selector)) errors.push(invalid('spec.selector', selector, 'empty selector is invalid for deployment'));
  }
  errors.push(
    ...validateRunningTemplate(spec.template, selector, 'spec.template', 'Deployment'),
    ...validateStrategy(spec),
    ...notNegative('spec.minReadySeconds', minReadySeconds),
    ...notNegative('spec.revisionHistoryLimit', revisionHistoryLimit),
  );
  if (progressDeadlineSeconds !== undefined) {
    errors.push(...notNegative('spec.progressDeadlineSeconds', progressDeadlineSeconds));
    if (progressDeadlineSeconds <= minReadySeconds) {
      errors.push(invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'));
    }
  }
  if (old?.spec !== undefined && !equal(old.spec.selector, selector)) errors.push(invalid('spec.selector', selector, 'field is immutable'));
  return errors;
}

function validateStatus({ status = {} }: Deployment): FieldError[] {
  const errors = (['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas', 'unavailableReplicas', 'observedGeneration', 'collisionCount'] as const)
    .flatMap((name) => notNegative(`status.${name}`, status[name]));
  const { replicas = 0, readyReplicas = 0 } = status;
  for (const name of ['updatedReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status[name] ?? 0) > replicas) errors.push(invalid(`status.${name}`, status[name], 'cannot be greater than status.replicas'));
  }
  if ((status.availableReplicas ?? 0) > readyReplicas) errors.push(invalid('status.availableReplicas', status.availableReplicas, 'cannot be greater than readyReplicas'));
  return errors;
}

export const deployment: KindDefinition<Deployment> = {
  resource: deployments,
  singular: 'deployment',
  shortNames: ['deploy'],
  categories: ['all'],
  schema: () => schemaNamed('Deployment'),
  storage: 'durable',
  status: true,
  scale: { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'], selector: ['spec', 'selector'] },
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => { object.status = {}; },
  validate,
  validateStatus,
  warnings: (object, old) => [...old === undefined ? nameWarnings(object.metadata, 'Pod names and hostnames') : [], ...templateWarnings(object.spec?.template, 'spec.template')],
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Ready', 'How many pods of those wanted are ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
    column('Up-to-date', 'How many pods have the current template', ({ status }) => status?.updatedReplicas ?? 0),
    column('Available', 'How many pods have been ready for minReadySeconds', ({ status }) => status?.availableReplicas ?? 0),
    ageColumn(),
    ...templateColumns<Deployment>(),
  ],
};
