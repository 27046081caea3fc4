import type { ContainerStatus, Endpoint, EndpointSlice, Node, ObjectMeta, Pod, PodStatus } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { networkAnnotation, seenAtAnnotation } from '#api/network/annotations.ts';

/**
 * What a node is sent of an object: no more than it acts on, so that changes of the rest (statuses above all) cost
 * neither traffic nor a write to its disk.
 */
export function trimPod(pod: Pod): Pod {
  const { resourceVersion: _version, managedFields: _fields, ...metadata } = pod.metadata ?? {};
  const status = trimPodStatus(pod.status ?? {});
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: pod.spec, ...(Object.keys(status).length > 0 && { status }) };
}

/** Conditions that the agent itself decides. */
export const agentPodConditions: ReadonlySet<string> = new Set(['Initialized', 'Ready', 'ContainersReady', 'PodReadyToStartContainers', 'PodResizePending', 'PodResizeInProgress']);

/** What must outlive a host that lost its containers: how the pod ended, or when it began, restart counts, others' conditions. */
function trimPodStatus(status: PodStatus): PodStatus {
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return status; // it does not change any more
  const conditions = status.conditions?.filter((condition) => !agentPodConditions.has(condition.type)) ?? [];
  const counts = (statuses: readonly ContainerStatus[] | undefined): ContainerStatus[] => (statuses ?? [])
    .filter((container) => container.restartCount > 0)
    .map(({ name, restartCount }) => ({ name, restartCount, image: '', imageID: '', ready: false }));
  const [containerStatuses, initContainerStatuses] = [counts(status.containerStatuses), counts(status.initContainerStatuses)];
  return {
    ...(status.startTime !== undefined && { startTime: status.startTime }),
    ...(conditions.length > 0 && { conditions }),
    ...(containerStatuses.length > 0 && { containerStatuses }),
    ...(initContainerStatuses.length > 0 && { initContainerStatuses }),
  };
}

/** Peers need a node's name, labels, pod ranges, addresses and what it tells of its network. */
export function trimNode(node: Node): Node {
  const { name, uid, labels, annotations: all = {} } = node.metadata ?? {};
  const annotations = Object.fromEntries([networkAnnotation, seenAtAnnotation].flatMap((key) => (all[key] === undefined ? [] : [[key, all[key]]])));
  const metadata: ObjectMeta = { name, uid, labels, ...(Object.keys(annotations).length > 0 && { annotations }) };
  return {
    apiVersion: 'v1', kind: 'Node', metadata,
    spec: { podCIDR: node.spec?.podCIDR, podCIDRs: node.spec?.podCIDRs },
    status: { addresses: node.status?.addresses },
  };
}

/**
 * Every node is sent every endpoint: what says the default goes, and of the target all but what finds it among the
 * node's own pods. That is half of it.
 */
export function trimSlice(slice: EndpointSlice): EndpointSlice {
  const { name, namespace, labels } = slice.metadata ?? {};
  return { ...slice, metadata: { name, namespace, labels }, endpoints: slice.endpoints?.map(trimEndpoint) };
}

/** Source of the defaults: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions */
function trimEndpoint({ targetRef, conditions, ...endpoint }: Endpoint): Endpoint {
  const { ready = true, serving = ready, terminating = false } = conditions ?? {};
  const said = { ...(!ready && { ready }), ...(serving !== ready && { serving }), ...(terminating && { terminating }) };
  return { ...endpoint, ...(Object.keys(said).length > 0 && { conditions: said }), ...(targetRef && { targetRef: { uid: targetRef.uid } }) };
}

export function trimOther(object: KubeObject): KubeObject {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
