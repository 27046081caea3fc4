import type { Plugin } from '../../types.ts';

/** A pod with scheduling gates is not tried until the last gate is removed. */
export function schedulingGates(): Plugin {
  return {
    name: 'SchedulingGates',
    events: [],
    preEnqueue(pod) {
      const gates = pod.pod.spec?.schedulingGates ?? [];
      return gates.length === 0 ? undefined : { reasons: [`waiting for scheduling gates: [${gates.map((gate) => gate.name).join(' ')}]`], resolvable: false };
    },
  };
}
