import type { Container, Pod, ResourceRequirements } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { containersOf, initContainersOf } from '../spec/containers.ts';

/** What containers may use, by name. */
export type ResourcesByName = ReadonlyMap<string, ResourceRequirements>;

/** Of all containers that have resources of their own; ephemeral ones have none. */
export function resourcesOf(pod: Pod): Map<string, ResourceRequirements> {
  return new Map([...initContainersOf(pod), ...containersOf(pod)].map(({ name, resources }) => [name, resources ?? {}]));
}

/** The pod with these resources where they differ from its own. */
export function withResources(pod: Pod, resources: ResourcesByName): Pod {
  if (pod.spec === undefined || sameResources(resourcesOf(pod), resources)) return pod;
  const replaced = (container: Container): Container => ({ ...container, resources: resources.get(container.name) ?? container.resources });
  const { containers, initContainers } = pod.spec;
  return { ...pod, spec: { ...pod.spec, containers: containers.map(replaced), ...(initContainers && { initContainers: initContainers.map(replaced) }) } };
}

/** True when all containers that both know have the same. */
export function sameResources(a: ResourcesByName, b: ResourcesByName): boolean {
  return [...a].every(([name, resources]) => equal(resources, b.get(name) ?? resources));
}

/** Whether going from one to the other needs a new container, by the container's resizePolicy. */
export function needsRestart({ resizePolicy = [], resources }: Container, before: ResourceRequirements): boolean {
  return resizePolicy.some(({ resourceName, restartPolicy }) => restartPolicy === 'RestartContainer'
    && (['requests', 'limits'] as const).some((list) => amount(before[list], resourceName) !== amount(resources?.[list], resourceName)));
}

function amount(list: Readonly<Record<string, string>> | undefined, name: string): bigint | undefined {
  const text = list?.[name];
  return text === undefined ? undefined : parseQuantity(text);
}
