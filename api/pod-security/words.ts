import type { Container, EphemeralContainer, Pod, PodSpec } from '../gen/types.ts';

/** Why a pod is not what a level allows, in Kubernetes' words: `hostPath volumes (volume "a")`. */
export interface Violation {
  readonly reason: string;
  readonly detail?: string;
}

/** One rule of the Pod Security Standards. Undefined: kept. */
export type Check = (pod: Pick<Pod, 'metadata'> & { readonly spec: PodSpec }) => Violation | undefined;

export type AnyContainer = Container | EphemeralContainer;

export function containersOf({ initContainers = [], containers, ephemeralContainers = [] }: PodSpec): AnyContainer[] {
  return [...initContainers, ...containers, ...ephemeralContainers];
}

export function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}

export function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}

export function sorted(values: Iterable<string>): string[] {
  return [...new Set(values)].sort();
}

/** `container "a"`, `containers "a", "b"`. */
export function named(containers: readonly AnyContainer[]): string {
  return `${plural('container', containers.length)} ${quoted(containers.map(({ name }) => name))}`;
}

/** Who sets something: `pod and containers "a", "b"`. Empty: nobody. */
export function setters(pod: boolean, containers: readonly AnyContainer[]): string {
  return [...(pod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(' and ');
}

export function isWindows(spec: PodSpec): boolean {
  return spec.os?.name === 'windows';
}
