import type { Container, NodeAffinity, Pod, PodSpec, Toleration } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, invalid, type FieldError } from '../../meta/field-error.ts';
import { ipProblem } from '../../meta/ip.ts';
import { copyJson } from '../../meta/json.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { immutable, named } from '../../meta/rules.ts';
import { startsAgain } from '../../pod-spec/restart.ts';
import { validateGatedPlacement } from './gated.ts';

const immutableText = 'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** What comes later has its own ways: nodes by binding, ephemeral containers by their subresource. */
export function validateNewPod({ spec }: Pod): FieldError[] {
  const errors = (spec?.ephemeralContainers ?? []).length > 0 ? [forbidden('spec.ephemeralContainers', 'cannot be set on create')] : [];
  return spec?.nodeName && (spec.schedulingGates ?? []).length > 0 ? [...errors, forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared')] : errors;
}

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
  if (isGated(before)) errors.push(...validateGatedPlacement(spec, before));
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
  for (const field of ['activeDeadlineSeconds', 'tolerations', 'schedulingGates'] as const) delete part[field];
  if (before.terminationGracePeriodSeconds !== undefined && before.terminationGracePeriodSeconds < 0 && part.terminationGracePeriodSeconds === 1) {
    part.terminationGracePeriodSeconds = before.terminationGracePeriodSeconds;
  }
  if (isGated(before)) {
    // What may change of these is judged apart.
    part.nodeSelector = before.nodeSelector;
    part.affinity = withNodeAffinity(part.affinity, before.affinity?.nodeAffinity);
  }
  return part;
}

function isGated({ schedulingGates = [] }: PodSpec): boolean {
  return schedulingGates.length > 0;
}

function withNodeAffinity(affinity: PodSpec['affinity'], nodeAffinity: NodeAffinity | undefined): PodSpec['affinity'] {
  const next = { ...affinity, nodeAffinity };
  return Object.values(next).every((part) => part === undefined) ? undefined : next;
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
  return (now.schedulingGates ?? []).flatMap(({ name }, i) => (old.has(name) ? [] : [forbidden(`spec.schedulingGates[${i}].name`, `only deletion is allowed, but found new scheduling gate '${name}'`)]));
}

/** What a node reports must be of this pod, and a container that has ended for good must not seem to run again. */
export function validatePodStatus(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  const { nominatedNodeName, qosClass } = pod.status ?? {};
  if (nominatedNodeName && nominatedNodeName !== old.status?.nominatedNodeName) errors.push(...named('status.nominatedNodeName', nominatedNodeName, dns1123Subdomain));
  if (qosClass !== undefined && old.status?.qosClass !== undefined) errors.push(...immutable('status.qosClass', qosClass, old.status.qosClass));
  errors.push(...validateIps(pod, 'podIPs'), ...validateIps(pod, 'hostIPs'));
  for (const field of ['podIP', 'hostIP'] as const) if (pod.status?.[field]) errors.push(...validateIp(`status.${field}`, pod.status[field]));
  const { restartPolicy, containers = [], initContainers = [] } = old.spec ?? {};
  errors.push(...validateTransitions(pod, old, 'containerStatuses', (name, exitCode) => startsAgain(containers.find((c) => c.name === name) ?? {}, restartPolicy, exitCode, false)));
  errors.push(...validateTransitions(pod, old, 'initContainerStatuses', (name, exitCode) => startsAgain(initContainers.find((c) => c.name === name) ?? {}, restartPolicy, exitCode, true)));
  return [...errors, ...validateTransitions(pod, old, 'ephemeralContainerStatuses', () => false)];
}

/** Others program their networks by these. */
function validateIps({ status }: Pod, list: 'podIPs' | 'hostIPs'): FieldError[] {
  const ips = (status?.[list] ?? []).map(({ ip }) => ip);
  const field = `status.${list}`;
  const seen = new Set<string>();
  const errors = ips.flatMap((ip, i): FieldError[] => {
    if (seen.has(ip)) return [duplicate(`${field}[${String(i)}]`, ip)];
    seen.add(ip);
    return validateIp(`${field}[${String(i)}]`, ip);
  });
  const families = new Set(ips.map((ip) => ip.includes(':')));
  return errors.length === 0 && (ips.length > 2 || families.size < ips.length) ? [invalid(field, ips, 'may specify no more than one IP for each IP family')] : errors;
}

function validateIp(field: string, ip: string): FieldError[] {
  const problem = ipProblem(ip);
  return problem === undefined ? [] : [invalid(field, ip, problem)];
}

function validateTransitions(pod: Pod, old: Pod, list: 'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses', mayStart: (name: string, exitCode: number) => boolean): FieldError[] {
  return (old.status?.[list] ?? []).flatMap((before, index) => {
    const ended = before.state?.terminated;
    const now = pod.status?.[list]?.find(({ name }) => name === before.name);
    const final = ended !== undefined && !mayStart(before.name, ended.exitCode);
    return final && now !== undefined && now.state?.terminated === undefined ? [forbidden(`status.${list}[${index}].state`, 'may not be transitioned to non-terminated state')] : [];
  });
}
