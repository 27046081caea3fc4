import type { Job, JobSpec, PodTemplateSpec } from '../../gen/types.ts';
import { isConditionTrue } from '../../meta/conditions.ts';
import { duplicate, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { dns1123Label } from '../../meta/names.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { validateJobSpec } from '../../job-spec/validate.ts';
import { validateSelected } from '../../pod-spec/validate.ts';
import { controllerUidLabels, jobNameLabels } from './labels.ts';

export function validateJob(object: Job, old?: Job): FieldError[] {
  const { metadata, spec } = object;
  if (spec === undefined) return [required('spec.template')];
  const errors = old === undefined ? [...validateGeneratedSelector(object), ...validatePodNames(object)] : [];
  errors.push(...validateJobSpec(spec, 'spec'));
  if (spec.selector === undefined) errors.push(required('spec.selector'));
  else errors.push(...validateLabelSelector(spec.selector, 'spec.selector'), ...validateSelected(spec.selector, spec.template?.metadata?.labels ?? {}, 'spec.template'));
  if (old?.spec !== undefined && metadata !== undefined) errors.push(...validateUpdate(spec, old, old.spec));
  return errors;
}

/** What `generateSelector` makes, or the same by hand. */
function validateGeneratedSelector({ metadata, spec }: Job): FieldError[] {
  if (spec?.manualSelector === true || spec?.selector === undefined) return [];
  const labels = spec.template?.metadata?.labels ?? {};
  const uid = metadata?.uid ?? '';
  const errors: FieldError[] = [];
  const mustBe = (name: string, value: string): void => {
    const path = `spec.template.metadata.labels[${name}]`;
    if (labels[name] === undefined) errors.push(required(path, `must be '${value}'`));
    else if (labels[name] !== value) errors.push(invalid(path, labels, `must be '${value}'`));
  };
  for (const name of controllerUidLabels) mustBe(name, uid);
  for (const name of jobNameLabels) mustBe(name, metadata?.name ?? '');
  const selected = spec.selector.matchLabels ?? {};
  if (!controllerUidLabels.some((name) => selected[name] === uid)) errors.push(invalid('spec.selector', spec.selector, '`selector` not auto-generated'));
  return errors;
}

/** Each index of an Indexed Job becomes part of a pod's name. */
function validatePodNames({ metadata, spec }: Job): FieldError[] {
  const { completionMode, completions = 0 } = spec ?? {};
  if (completionMode !== 'Indexed' || completions <= 0) return [];
  const podName = `${metadata?.name ?? ''}-${completions - 1}`;
  return dns1123Label(podName) === undefined ? [] : [invalid('metadata.name', metadata?.name, `will not able to create pod with invalid DNS label: ${podName}`)];
}

function validateUpdate(spec: JobSpec, old: Job, before: JobSpec): FieldError[] {
  const started = before.suspend !== true || old.status?.startTime !== undefined;
  const template = started ? spec.template : withScheduling(spec.template, before.template);
  return [
    ...validateCompletions(spec, before),
    ...immutable('spec.selector', spec.selector, before.selector),
    ...immutable('spec.template', template, before.template),
    ...(['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const).flatMap((name) => immutable(`spec.${name}`, spec[name], before[name])),
  ];
}

/** Only an Indexed Job grows or shrinks, and only together with its parallelism. */
function validateCompletions(spec: JobSpec, before: JobSpec): FieldError[] {
  const { completions, parallelism } = spec;
  if (spec.completionMode !== 'Indexed' || completions === undefined || before.completions === undefined) return immutable('spec.completions', completions, before.completions);
  if (completions === before.completions || completions === parallelism) return [];
  return [invalid('spec.completions', completions, 'can only be modified in tandem with spec.parallelism')];
}

/** Until a suspended Job first starts, where its pods may run can still be decided. */
function withScheduling(template: PodTemplateSpec, before: PodTemplateSpec): PodTemplateSpec {
  const spec = template?.spec;
  const old = before?.spec;
  if (spec === undefined || old === undefined) return template;
  const affinity = { ...spec.affinity, nodeAffinity: old.affinity?.nodeAffinity };
  return {
    metadata: { ...template.metadata, labels: before.metadata?.labels, annotations: before.metadata?.annotations },
    spec: {
      ...spec, nodeSelector: old.nodeSelector, tolerations: old.tolerations, schedulingGates: old.schedulingGates,
      affinity: old.affinity === undefined && Object.values(affinity).every((part) => part === undefined) ? undefined : affinity,
    },
  };
}

export function validateJobStatus({ status }: Job, old: Job): FieldError[] {
  const errors = (['active', 'succeeded', 'failed', 'ready', 'terminating'] as const).flatMap((name) => notNegative(`status.${name}`, status?.[name]));
  const is = (type: string): boolean => isConditionTrue(status?.conditions, type);
  const was = (type: string): boolean => isConditionTrue(old.status?.conditions, type);
  const seen = new Set<string>();
  for (const name of ['succeeded', 'failed'] as const) {
    for (const [i, uid] of (status?.uncountedTerminatedPods?.[name] ?? []).entries()) {
      const path = `status.uncountedTerminatedPods.${name}[${i}]`;
      if (uid === '') errors.push(invalid(path, uid, 'must not be empty'));
      else if (seen.has(uid)) errors.push(duplicate(path, uid));
      seen.add(uid);
    }
  }
  if (is('Complete') && is('Failed')) errors.push(invalid('status.conditions', status?.conditions, 'cannot set Complete=True and Failed=True conditions'));
  if (is('Complete') && is('FailureTarget')) errors.push(invalid('status.conditions', status?.conditions, 'cannot set Complete=True and FailureTarget=true conditions'));
  for (const type of ['Complete', 'Failed', 'FailureTarget', 'SuccessCriteriaMet']) {
    if (was(type) && !is(type)) errors.push(invalid('status.conditions', status?.conditions, `cannot disable a terminal ${type}=True condition`));
  }
  if ((is('Complete') || is('Failed')) && (status?.active ?? 0) > 0) errors.push(invalid('status.active', status?.active, 'active>0 is invalid for finished job'));
  if (status?.completionTime !== undefined && !is('Complete')) errors.push(invalid('status.completionTime', status.completionTime, 'cannot set completionTime when there is no Complete=True condition'));
  if (status?.completionTime === undefined && is('Complete')) errors.push(required('status.completionTime', 'completionTime is required for Complete jobs'));
  return errors;
}
