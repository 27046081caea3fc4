import type { Pod } from '#api/gen/types.ts';
import { isExtendedResource } from '#api/pod-spec/resources.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { containersOf, initContainersOf, isSidecar } from '#agent/pods/spec/containers.ts';

/** What one container asks for. */
export interface ContainerWants {
  readonly container: string;
  /** Ends before the others begin, so that they may have its devices. */
  readonly passesOn: boolean;
  /** By extended resource. */
  readonly counts: ReadonlyMap<string, number>;
}

/** Containers in the order in which they start; those that want no device are left out. Asked for by limits, which requests equal. */
export function wantsOf(pod: Pod): ContainerWants[] {
  const of = (container: NonNullable<Pod['spec']>['containers'][number], passesOn: boolean): ContainerWants => {
    const asked = Object.entries(container.resources?.limits ?? {}).filter(([name]) => isExtendedResource(name));
    return { container: container.name, passesOn, counts: new Map(asked.map(([name, quantity]): [string, number] => [name, quantityValue(quantity)]).filter(([, count]) => count > 0)) };
  };
  return [...initContainersOf(pod).map((container) => of(container, !isSidecar(container))), ...containersOf(pod).map((container) => of(container, false))].filter(({ counts }) => counts.size > 0);
}

/** How many of each resource the containers have together at the most: those that end first hand theirs on. */
export function mostAtOnce(wants: readonly ContainerWants[]): Map<string, number> {
  const [running, most] = [new Map<string, number>(), new Map<string, number>()];
  for (const { counts, passesOn } of wants) {
    for (const [resource, count] of counts) {
      const all = (running.get(resource) ?? 0) + count;
      if (!passesOn) running.set(resource, all);
      most.set(resource, Math.max(most.get(resource) ?? 0, all));
    }
  }
  return most;
}
