import type { Pod } from '#api/gen/types.ts';
import { qosClass } from '#api/pod-spec/qos.ts';

/** Kubernetes' quality-of-service class, which never changes in a pod's life. */
export function qosClassOf({ spec, status }: Pod): ReturnType<typeof qosClass> {
  const known = status?.qosClass;
  return known === 'Guaranteed' || known === 'Burstable' || known === 'BestEffort' ? known : qosClass(spec);
}
