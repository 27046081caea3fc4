import type { PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { apiVersionOf, persistentVolumeClaims, pods } from '#api/kinds/resources.ts';
import { controllerReference, isControlledBy } from '../owner-refs.ts';
import { eventAction } from '../execute.ts';
import { isTerminal, isTerminating } from '../pod-state.ts';
import type { Action } from '../types.ts';

/** The claims of a pod's ephemeral volumes that are not there yet; they go with their pod. */
export function reconcileEphemeral(pod: Pod, claim: (name: string) => PersistentVolumeClaim | undefined): Action[] {
  if (isTerminating(pod) || isTerminal(pod)) return [];
  return (pod.spec?.volumes ?? []).flatMap(({ name: volume, ephemeral }): Action[] => {
    const template = ephemeral?.volumeClaimTemplate;
    if (template === undefined) return [];
    const { name: podName = '', namespace, uid } = pod.metadata ?? {};
    const name = `${podName}-${volume}`;
    const found = claim(name);
    if (found === undefined) {
      const { labels, annotations } = template.metadata ?? {};
      const object: PersistentVolumeClaim = {
        apiVersion: apiVersionOf(persistentVolumeClaims), kind: persistentVolumeClaims.kind,
        metadata: { name, namespace, ...(labels && { labels }), ...(annotations && { annotations }), ownerReferences: [controllerReference(pods, pod)] }, spec: template.spec,
      };
      return [{ type: 'create', resource: persistentVolumeClaims, object }];
    }
    if (isControlledBy(found, uid)) return [];
    return [eventAction(pods, pod, 'Warning', 'FailedBinding', `PVC ${namespace ?? ''}/${name} was not created for pod ${namespace ?? ''}/${podName} (pod is not owner)`)];
  });
}
