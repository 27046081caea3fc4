import type { Container, Pod, PodSpec, Toleration } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, type FieldError } from '../../meta/field-error.ts';
import { copyJson } from '../../meta/json.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { named } from '../../meta/rules.ts';

const immutableText = 'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** A pod's spec is settled when it is made; a few fields may still change. */
export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const spec = pod.spec;
  const before = old.spec;
  if (spec === undefined || before === undefined) return [];
  const errors: FieldError[] = [];
  for (const list of ['containers', 'initContainers'] as const) {
    if ((spec[list] ?? []).length !== (before[list] ?? []).length) errors.push(forbidden(`spec.${list}`, 'pod updates may not add or remove containers'));
  }
  if (errors.length > 0) return errors;
  errors.push(...validateDeadline(spec.activeDeadlineSeconds, before.activeDeadlineSeconds));
  errors.push(...validateTolerationsKept(spec.tolerations ?? [], before.tolerations ?? []));
  errors.push(...validateGates(spec, before));
  if (!equal(frozenPart(spec, before), frozenPart(before, before))) errors.push(forbidden('spec', immutableText));
  return errors;
}

/** What must stay: the spec with everything that may change taken from `before`. */
function frozenPart(spec: PodSpec, before: PodSpec): PodSpec {
  const part = copyJson(spec);
  const images = (list: Container[] | undefined, source: readonly Container[] | undefined): void => {
    for (const [index, container] of (list ?? []).entries()) {
      const image = source?.[index]?.image;
      if (image === undefined) delete container.image;
      else container.image = image;
    }
  };
  images(part.containers, before.containers);
  images(part.initContainers, before.initContainers);
  for (const field of ['activeDeadlineSeconds', 'tolerations', 'schedulingGates', 'ephemeralContainers'] as const) delete part[field];
  if (before.terminationGracePeriodSeconds !== undefined && before.terminationGracePeriodSeconds < 0 && part.terminationGracePeriodSeconds === 1) {
    part.terminationGracePeriodSeconds = before.terminationGracePeriodSeconds;
  }
  // Until its gates open, a pod may still be narrowed to fewer nodes.
  if ((before.schedulingGates ?? []).length > 0) {
    const selector = part.nodeSelector ?? {};
    const kept = Object.entries(before.nodeSelector ?? {}).every(([key, value]) => Object.hasOwn(selector, key) && selector[key] === value);
    if (kept) part.nodeSelector = before.nodeSelector;
  }
  return part;
}

function validateDeadline(now: number | undefined, before: number | undefined): FieldError[] {
  const field = 'spec.activeDeadlineSeconds';
  if (before === undefined || now === before) return [];
  if (now === undefined) return [invalid(field, now, 'must not update from a positive integer to nil value')];
  return now > before ? [invalid(field, now, 'must be less than or equal to previous value')] : [];
}

/** A toleration but for its seconds, which may change. */
function identity({ key = '', operator = '', value = '', effect = '' }: Toleration): string {
  return JSON.stringify([key, operator, value, effect]);
}

function validateTolerationsKept(now: readonly Toleration[], before: readonly Toleration[]): FieldError[] {
  const kept = new Set(now.map(identity));
  const lost = before.some((old) => !kept.has(identity(old)));
  return lost ? [forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')] : [];
}

function validateGates(now: PodSpec, before: PodSpec): FieldError[] {
  const old = new Set((before.schedulingGates ?? []).map(({ name }) => name));
  return (now.schedulingGates ?? []).filter(({ name }) => !old.has(name)).map(({ name }, index) => forbidden(`spec.schedulingGates[${index}].name`, `only deletion is allowed, but found new scheduling gate '${name}'`));
}

/** A container that has ended for good must not seem to run again. */
export function validatePodStatus(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  const nominated = pod.status?.nominatedNodeName;
  if (nominated) errors.push(...named('status.nominatedNodeName', nominated, dns1123Subdomain));
  const policy = old.spec?.restartPolicy;
  if (policy === 'Always') return errors;
  for (const [index, before] of (old.status?.containerStatuses ?? []).entries()) {
    const ended = before.state?.terminated;
    const now = pod.status?.containerStatuses?.find(({ name }) => name === before.name);
    const final = ended !== undefined && (policy === 'Never' || ended.exitCode === 0);
    if (final && now !== undefined && now.state?.terminated === undefined) {
      errors.push(forbidden(`status.containerStatuses[${index}].state`, 'may not be transitioned to non-terminated state'));
    }
  }
  return errors;
}
