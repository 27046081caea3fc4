import type { DaemonSet, DaemonSetSpec } from '../../gen/types.ts';
import { invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { isNone, validateAtMostAll, validateIntOrPercent } from '../../meta/int-or-percent.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { validateOwnSelector } from '../../pod-spec/selected.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';

function validateStrategy({ updateStrategy = {} }: DaemonSetSpec): FieldError[] {
  const field = 'spec.updateStrategy';
  const { rollingUpdate, type = '' } = updateStrategy;
  if (type === 'OnDelete') return [];
  if (type !== 'RollingUpdate') return [notSupported(field, updateStrategy, ['RollingUpdate', 'OnDelete'])];
  if (rollingUpdate === undefined) return [required(`${field}.rollingUpdate`)];
  const errors = (['maxUnavailable', 'maxSurge'] as const).flatMap((name) => {
    const path = `${field}.rollingUpdate.${name}`;
    return [...validateIntOrPercent(rollingUpdate[name], path), ...validateAtMostAll(rollingUpdate[name], path)];
  });
  const { maxSurge = 0, maxUnavailable = 0 } = rollingUpdate;
  if (!isNone(maxUnavailable) && !isNone(maxSurge)) errors.push(invalid(`${field}.rollingUpdate.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
  if (isNone(maxUnavailable) && isNone(maxSurge)) errors.push(required(`${field}.rollingUpdate.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return errors;
}

export function validateDaemonSet({ spec }: DaemonSet, old?: DaemonSet): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  return [
    ...validateOwnSelector(spec.selector, 'daemonset'),
    ...validateRunningTemplate(spec.template, spec.selector, 'spec.template', 'DaemonSet'),
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...validateStrategy(spec),
    ...notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit),
    ...(old?.spec === undefined ? [] : immutable('spec.selector', spec.selector, old.spec.selector)),
  ];
}

const counts = [
  'currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady', 'observedGeneration', 'updatedNumberScheduled', 'numberAvailable', 'numberUnavailable', 'collisionCount',
] as const;

export function validateDaemonSetStatus({ status }: DaemonSet): FieldError[] {
  return counts.flatMap((name) => notNegative(`status.${name}`, status?.[name]));
}
