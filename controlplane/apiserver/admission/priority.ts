import type { Pod } from '#api/gen/types.ts';
import { pods, qualifiedName } from '#api/kinds/resources.ts';
import { forbidden } from '../api-errors.ts';
import type { AdmissionPlugin } from './types.ts';

/** The classes that every cluster has. Source: Kubernetes, "Guaranteed scheduling for critical add-on pods". */
const builtIn: Readonly<Record<string, number>> = { 'system-cluster-critical': 2_000_000_000, 'system-node-critical': 2_000_001_000 };

/** Turns a pod's priority class into its number. Clients may name the number only if it is the one they would get. */
export const priority: AdmissionPlugin = {
  name: 'Priority',
  admit({ operation, kind, subresource, name, object, old }) {
    if (subresource !== undefined || qualifiedName(kind.resource) !== 'pods') return;
    const spec = (object as Pod | undefined)?.spec;
    if (!spec) return;
    if (operation === 'update') {
      const before = (old as Pod | undefined)?.spec;
      if (before?.priority !== undefined) spec.priority ??= before.priority;
      if (before?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= before.preemptionPolicy;
      return;
    }
    const { priorityClassName: className } = spec;
    const value = className ? (Object.hasOwn(builtIn, className) ? builtIn[className] : undefined) : 0;
    if (value === undefined) throw forbidden(pods, name, `no PriorityClass with name ${className ?? ''} was found`);
    if (spec.priority !== undefined && spec.priority !== value) {
      throw forbidden(pods, name, `the integer value of priority (${String(spec.priority)}) must not be provided in pod spec; priority admission controller computed ${String(value)} from the given PriorityClass name`);
    }
    spec.priority = value;
    spec.preemptionPolicy ??= 'PreemptLowerPriority';
  },
};
