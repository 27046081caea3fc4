import type { Pod, PriorityClass } from '#api/gen/types.ts';
import { pods, priorityClasses, qualifiedName } from '#api/kinds/resources.ts';
import { forbidden } from '../api-errors.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

/** Turns a pod's priority class into its number. Clients may name the number only if it is the one they would get. */
export function priority(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'Priority',
    async admit(request) {
      if (request.subresource !== undefined) return;
      if (qualifiedName(request.kind.resource) === 'pods' && request.operation !== 'delete') await admitPod(objects, request);
    },
    async validate({ kind, operation, name, object }) {
      if (qualifiedName(kind.resource) !== 'priorityclasses.scheduling.k8s.io' || operation === 'delete' || !(object as PriorityClass).globalDefault) return;
      const other = (await objects.list(priorityClasses)).find((one) => one.globalDefault === true && one.metadata?.name !== name);
      if (other) throw forbidden(priorityClasses, name, `PriorityClass ${other.metadata?.name ?? ''} is already marked as default. Only one default can exist`);
    },
  };
}

async function admitPod(objects: StoredObjects, { operation, name, object, old }: AdmissionRequest): Promise<void> {
  const spec = (object as Pod | undefined)?.spec;
  if (!spec) return;
  if (operation === 'update') {
    const before = (old as Pod | undefined)?.spec;
    if (before?.priority !== undefined) spec.priority ??= before.priority;
    if (before?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= before.preemptionPolicy;
    return;
  }
  const found = spec.priorityClassName ? await objects.get(priorityClasses, undefined, spec.priorityClassName) : await defaultClass(objects);
  if (spec.priorityClassName && !found) throw forbidden(pods, name, `no PriorityClass with name ${spec.priorityClassName} was found`);
  const { value = 0, preemptionPolicy = 'PreemptLowerPriority' } = found ?? {};
  const why = 'priority admission controller computed';
  if (spec.priority !== undefined && spec.priority !== value) {
    throw forbidden(pods, name, `the integer value of priority (${String(spec.priority)}) must not be provided in pod spec; ${why} ${String(value)} from the given PriorityClass name`);
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy) {
    throw forbidden(pods, name, `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${why} ${preemptionPolicy} from the given PriorityClass name`);
  }
  if (found?.metadata?.name !== undefined) spec.priorityClassName = found.metadata.name;
  spec.priority = value;
  spec.preemptionPolicy = preemptionPolicy;
}

/** The lowest, should there be more than one. */
async function defaultClass(objects: StoredObjects): Promise<PriorityClass | undefined> {
  const found = (await objects.list(priorityClasses)).filter(({ globalDefault }) => globalDefault === true);
  return [...found].sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}
