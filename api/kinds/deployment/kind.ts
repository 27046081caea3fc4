import type { Deployment, DeploymentSpec } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { isNone, validateAtMostAll, validateIntOrPercent } from '../../meta/int-or-percent.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { validateReplicaCounts } from '../../pod-spec/replica-status.ts';
import { validateOwnSelector } from '../../pod-spec/selected.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
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
  if (isNone(maxUnavailable) && isNone(maxSurge)) errors.push(invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  return [...errors, ...validateAtMostAll(maxUnavailable, `${path}.maxUnavailable`)];
}

function validate({ spec }: Deployment, old?: Deployment): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  const { selector, replicas, minReadySeconds = 0, revisionHistoryLimit, progressDeadlineSeconds } = spec;
  const errors = [
    ...notNegative('spec.replicas', replicas),
    ...validateOwnSelector(selector, 'deployment'),
    ...validateRunningTemplate(spec.template, selector, 'spec.template', 'Deployment'),
    ...validateStrategy(spec),
    ...notNegative('spec.minReadySeconds', minReadySeconds),
    ...notNegative('spec.revisionHistoryLimit', revisionHistoryLimit),
  ];
  if (progressDeadlineSeconds !== undefined) {
    errors.push(...notNegative('spec.progressDeadlineSeconds', progressDeadlineSeconds));
    if (progressDeadlineSeconds <= minReadySeconds) {
      errors.push(invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'));
    }
  }
  return old?.spec === undefined ? errors : [...errors, ...immutable('spec.selector', selector, old.spec.selector)];
}

function validateStatus({ status }: Deployment): FieldError[] {
  const parts = ['updatedReplicas', 'readyReplicas', 'availableReplicas'];
  return validateReplicaCounts(status, ['replicas', ...parts, 'unavailableReplicas', 'observedGeneration', 'collisionCount'], parts);
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
