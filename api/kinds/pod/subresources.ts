import type { Container, EphemeralContainer, Pod, PodSpec, ResourceRequirements } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, type FieldError } from '../../meta/field-error.ts';
import { copyJson } from '../../meta/json.ts';
import { qosClass } from '../../pod-spec/qos.ts';
import type { ObjectPart } from '../types.ts';

const mirrorAnnotation = 'kubernetes.io/config.mirror';
type ResourceList = Record<string, string>;

function isStatic({ metadata }: Pod): boolean {
  return metadata?.annotations?.[mirrorAnnotation] !== undefined;
}

/** pods/ephemeralcontainers: containers to look into a running pod with. They may only be added. */
export const ephemeralContainers: ObjectPart<Pod> = {
  apply: (pod, { spec }) => {
    if (pod.spec === undefined) return;
    if (spec?.ephemeralContainers === undefined) delete pod.spec.ephemeralContainers;
    else pod.spec.ephemeralContainers = copyJson(spec.ephemeralContainers);
  },
  validate: (pod, old) => {
    if (isStatic(old)) return [forbidden('', 'static pods do not support ephemeral containers')];
    const now = new Map((pod.spec?.ephemeralContainers ?? []).map((container) => [container.name, container]));
    return (old.spec?.ephemeralContainers ?? []).flatMap((before: EphemeralContainer) => {
      const next = now.get(before.name);
      const text = `existing ephemeral containers ${JSON.stringify(before.name)} may not be`;
      if (next === undefined) return [forbidden('spec.ephemeralContainers', `${text} removed`)];
      return equal(next, before) ? [] : [forbidden('spec.ephemeralContainers', `${text} changed`)];
    });
  },
};

/** pods/resize: the CPU and memory of running containers. */
export const resize: ObjectPart<Pod> = {
  apply: (pod, sent) => {
    for (const list of ['containers', 'initContainers'] as const) {
      for (const container of pod.spec?.[list] ?? []) {
        const next = sent.spec?.[list]?.find(({ name }) => name === container.name);
        if (next === undefined) continue;
        for (const field of ['resources', 'resizePolicy'] as const) {
          if (next[field] === undefined) delete container[field];
          else Object.assign(container, { [field]: copyJson(next[field]) });
        }
      }
    }
  },
  validate: (pod, old) => (pod.spec === undefined || old.spec === undefined ? [] : validateResize(pod, pod.spec, old, old.spec)),
};

function validateResize(pod: Pod, spec: PodSpec, old: Pod, before: PodSpec): FieldError[] {
  if (Object.keys({ ...before.resources?.requests, ...before.resources?.limits }).length > 0) return [forbidden('', 'pods with pod-level resources cannot be resized')];
  if (isStatic(old)) return [forbidden('', 'static pods cannot be resized')];
  if (before.os?.name === 'windows') return [forbidden('', 'windows pods cannot be resized')];
  const errors: FieldError[] = [];
  if (qosClass(before) !== qosClass(spec)) errors.push(invalid('spec', pod.status?.qosClass ?? '', 'Pod QOS Class may not change as a result of resizing'));
  if (!canBeResized(old)) errors.push(forbidden('spec', 'Pod running on node without support for resize'));
  for (const list of ['initContainers', 'containers'] as const) {
    for (const [index, container] of (before[list] ?? []).entries()) {
      const next = spec[list]?.[index];
      if (next === undefined) continue;
      const sidecar = list === 'containers' || container.restartPolicy === 'Always';
      if (sidecar) errors.push(...validateKept(next.resources, container.resources, `spec.${list}[${index}].resources`));
      if (equal(sidecar ? withoutCpuAndMemory(next, container) : next, container)) continue;
      const what = list === 'containers' ? 'only cpu and memory resources are mutable'
        : sidecar ? 'only cpu and memory resources for sidecar containers are mutable' : 'resources for non-sidecar init containers are immutable';
      errors.push(forbidden('spec', what));
    }
  }
  return errors;
}

/** A node that can resize says what its containers have got. */
function canBeResized({ status }: Pod): boolean {
  const running = status?.containerStatuses?.find(({ state }) => state?.running !== undefined);
  return running === undefined || running.resources !== undefined;
}

function validateKept(now: ResourceRequirements | undefined, before: ResourceRequirements | undefined, field: string): FieldError[] {
  return (['requests', 'limits'] as const).flatMap((list) => {
    const lost = Object.keys(before?.[list] ?? {}).some((name) => now?.[list]?.[name] === undefined);
    return lost ? [forbidden(`${field}.${list}`, `resource ${list} cannot be removed`)] : [];
  });
}

/** The container with the CPU and memory that it had. */
function withoutCpuAndMemory(container: Container, before: Container): Container {
  const restored = (now: ResourceList | undefined, old: ResourceList | undefined): ResourceList | undefined => {
    if (old === undefined) return undefined;
    const list = { ...now };
    for (const name of ['cpu', 'memory']) {
      delete list[name];
      if (old[name] !== undefined) list[name] = old[name];
    }
    return list;
  };
  const { claims, limits, requests } = container.resources ?? {};
  return { ...container, resizePolicy: before.resizePolicy, resources: { claims, limits: restored(limits, before.resources?.limits), requests: restored(requests, before.resources?.requests) } };
}
