import type { PodTemplateSpec, StatefulSet, StatefulSetSpec } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { isNone, validateAtMostAll, validateIntOrPercent } from '../../meta/int-or-percent.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { named, notNegative, supportedIfSet } from '../../meta/rules.ts';
import { validateOwnSelector } from '../../pod-spec/selected.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
import { validateReplicaCounts } from '../../pod-spec/replica-status.ts';

const changeable = ['replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy', 'minReadySeconds'] as const;
const immutableText = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

function validateStrategy({ updateStrategy = {} }: StatefulSetSpec): FieldError[] {
  const field = 'spec.updateStrategy';
  const { rollingUpdate, type } = updateStrategy;
  if (!type) return [required(field)];
  if (type === 'OnDelete') return rollingUpdate === undefined ? [] : [invalid(`${field}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")];
  if (type !== 'RollingUpdate') return [invalid(field, updateStrategy, "must be 'RollingUpdate' or 'OnDelete'")];
  const [share, most] = [`${field}.rollingUpdate.maxUnavailable`, rollingUpdate?.maxUnavailable];
  return [
    ...notNegative(`${field}.rollingUpdate.partition`, rollingUpdate?.partition), ...validateIntOrPercent(most, share),
    ...(isNone(most) ? [invalid(share, most, 'cannot be 0')] : []), ...validateAtMostAll(most, share),
  ];
}

function validatePolicies({ persistentVolumeClaimRetentionPolicy: retention, podManagementPolicy: management }: StatefulSetSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (!management) errors.push(required('spec.podManagementPolicy'));
  else if (management !== 'OrderedReady' && management !== 'Parallel') errors.push(invalid('spec.podManagementPolicy', management, "must be 'OrderedReady' or 'Parallel'"));
  for (const name of ['whenDeleted', 'whenScaled'] as const) {
    errors.push(...supportedIfSet(`spec.persistentVolumeClaimRetentionPolicy.${name}`, retention?.[name], ['Retain', 'Delete']));
  }
  return errors;
}

/** All of the spec that may never change. */
function settled(spec: StatefulSetSpec): Partial<StatefulSetSpec> {
  const rest: Partial<StatefulSetSpec> = { ...spec };
  for (const name of changeable) delete rest[name];
  return rest;
}

/** The template as its pods will have it: each claim is a volume, which mounts may name. */
function withClaims({ template, volumeClaimTemplates = [] }: StatefulSetSpec): PodTemplateSpec {
  if (template?.spec === undefined || volumeClaimTemplates.length === 0) return template;
  const { volumes = [] } = template.spec;
  const claims = new Set(volumeClaimTemplates.flatMap(({ metadata }) => (metadata?.name ? [metadata.name] : [])));
  for (const { name } of volumes) claims.delete(name);
  return { ...template, spec: { ...template.spec, volumes: [...volumes, ...[...claims].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))] } };
}

export function validateStatefulSet({ spec }: StatefulSet, old?: StatefulSet): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  const errors = [
    ...validatePolicies(spec),
    ...validateStrategy(spec),
    ...notNegative('spec.replicas', spec.replicas),
    ...notNegative('spec.minReadySeconds', spec.minReadySeconds),
    ...notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit),
    ...notNegative('spec.ordinals.start', spec.ordinals?.start),
    ...validateOwnSelector(spec.selector, 'statefulset'),
    ...validateRunningTemplate(withClaims(spec), spec.selector, 'spec.template', 'StatefulSet'),
  ];
  if (old === undefined && spec.serviceName) errors.push(...named('spec.serviceName', spec.serviceName, dns1123Subdomain));
  if (old?.spec !== undefined && !equal(settled(spec), settled(old.spec))) errors.push(forbidden('spec', immutableText));
  return errors;
}

export function validateStatefulSetStatus({ status }: StatefulSet): FieldError[] {
  const parts = ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'];
  return validateReplicaCounts(status, ['replicas', ...parts, 'observedGeneration', 'collisionCount'], parts, 'status.readyReplicas');
}
