import { createHash } from 'node:crypto';
import type { Container, EphemeralContainer, Pod } from '#api/gen/types.ts';

type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

const defaultGraceSeconds = 30;

export function restartPolicyOf(pod: Pod): RestartPolicy {
  const policy = pod.spec?.restartPolicy;
  return policy === 'OnFailure' || policy === 'Never' ? policy : 'Always';
}

/** A sidecar: an init container that keeps running. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

export function initContainersOf(pod: Pod): readonly Container[] {
  return pod.spec?.initContainers ?? [];
}

export function containersOf(pod: Pod): readonly Container[] {
  return pod.spec?.containers ?? [];
}

/** Added to a pod that runs, by `kubectl debug`: started once, restarted never. */
export function ephemeralContainersOf(pod: Pod): readonly EphemeralContainer[] {
  return pod.spec?.ephemeralContainers ?? [];
}

export function allContainersOf(pod: Pod): readonly (Container & EphemeralContainer)[] {
  return [...initContainersOf(pod), ...containersOf(pod), ...ephemeralContainersOf(pod)];
}

/** The images that a pod cannot do without, of its containers and its volumes. */
export function imagesOf(pod: Pod): readonly string[] {
  return [...allContainersOf(pod).map(({ image = '' }) => image), ...(pod.spec?.volumes ?? []).flatMap(({ image }) => image?.reference ?? [])];
}

export function containerNamed(pod: Pod, name: string): (Container & EphemeralContainer) | undefined {
  return allContainersOf(pod).find((c) => c.name === name);
}

/** The field of a container for Events, as kubelet writes it. */
export function fieldPathOf(pod: Pod, name: string): string {
  const is = (c: { readonly name: string }): boolean => c.name === name;
  const field = initContainersOf(pod).some(is) ? 'initContainers' : ephemeralContainersOf(pod).some(is) ? 'ephemeralContainers' : 'containers';
  return `spec.${field}{${name}}`;
}

/** What may change in a running pod and needs a new container: the image. As kubelet's hash since 1.31, so that new defaults restart nothing. */
export function specHash(container: Container): string {
  return createHash('sha256').update(JSON.stringify([container.name, container.image ?? ''])).digest('hex').slice(0, 16);
}

export function graceSecondsOf(pod: Pod): number {
  return pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds;
}
