import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { conflict } from './api-errors.ts';
import type { ResourceStore, WriteOptions } from './resource-store.ts';

export interface BindRequest {
  readonly namespace: string;
  readonly podName: string;
  /** Empty: any pod of that name. */
  readonly podUid: string;
  readonly nodeName: string;
  /** Empty or absent: any version of it. */
  readonly resourceVersion?: string;
  /** Go onto the pod. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Assigns a pod to a node, once. */
export async function bindPod(resources: ResourceStore, kind: KindDefinition, request: BindRequest, options: WriteOptions, nowMs: number): Promise<void> {
  const { namespace, podName, podUid, nodeName, resourceVersion, annotations = {} } = request;
  await resources.update(kind, namespace, podName, (current) => {
    const pod = current as Pod;
    const refuse = (why: string): Error => conflict({ ...pods, plural: 'pods/binding' }, podName, why);
    if (podUid !== '' && podUid !== pod.metadata?.uid) throw refuse(`the UID in the precondition (${podUid}) does not match the UID in record (${pod.metadata?.uid ?? ''}). The object might have been deleted and then recreated`);
    if (resourceVersion && resourceVersion !== pod.metadata?.resourceVersion) throw refuse(`the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${pod.metadata?.resourceVersion ?? ''}). The object might have been modified`);
    if (pod.metadata?.deletionTimestamp !== undefined) throw refuse(`pod ${podName} is being deleted, cannot be assigned to a host`);
    if (pod.spec?.nodeName) throw refuse(`pod ${podName} is already assigned to node "${pod.spec.nodeName}"`);
    if (pod.spec?.schedulingGates?.length) throw refuse(`pod ${podName} has non-empty .spec.schedulingGates`);
    const metadata = Object.keys(annotations).length > 0 ? { ...pod.metadata, annotations: { ...pod.metadata?.annotations, ...annotations } } : pod.metadata;
    const conditions = setCondition(pod.status?.conditions, { type: 'PodScheduled', status: 'True' }, rfc3339(nowMs));
    return { ...pod, metadata, spec: { ...pod.spec, containers: pod.spec?.containers ?? [], nodeName }, status: { ...pod.status, conditions } } as Pod;
  }, { ...options, subresource: 'binding', trusted: true });
}
