import type { Container, Pod } from '#api/gen/types.ts';
import { containersOf, initContainersOf } from './containers.ts';
import { cpuMillisOf, memoryBytesOf } from './quantities.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** Kubernetes' quality-of-service class, which never changes in a pod's life. */
export function qosClassOf(pod: Pod): QosClass {
  const known = pod.status?.qosClass;
  if (known === 'Guaranteed' || known === 'Burstable' || known === 'BestEffort') return known;
  const all = [...containersOf(pod), ...initContainersOf(pod)];
  if (all.every(isBestEffort)) return 'BestEffort';
  return all.every(isGuaranteed) ? 'Guaranteed' : 'Burstable';
}

function isBestEffort({ resources }: Container): boolean {
  return [resources?.requests, resources?.limits].every((list) => !cpuMillisOf(list) && !memoryBytesOf(list));
}

function isGuaranteed({ resources }: Container): boolean {
  const { limits } = resources ?? {};
  const requests = { ...limits, ...resources?.requests };
  return [cpuMillisOf, memoryBytesOf].every((read) => (read(limits) ?? 0) > 0 && read(limits) === read(requests));
}
