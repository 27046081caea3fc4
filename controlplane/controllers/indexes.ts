import type { EndpointSlice, Pod } from '#api/gen/types.ts';
import { objectKey, type KubeObject } from '#api/meta/object.ts';
import type { Indexes } from '../cache/types.ts';
import { controllerOf } from './owner-refs.ts';

/** Label that ties an EndpointSlice to its Service. */
export const serviceNameLabel = 'kubernetes.io/service-name';

function controllerUid(object: KubeObject): readonly string[] {
  const uid = controllerOf(object)?.uid;
  return uid === undefined ? [] : [uid];
}

/** `controller`: uid of the controlling owner. `orphan`: the namespace of a pod without one. `node`: where it is bound. */
export const podIndexes: Indexes<Pod> = {
  controller: controllerUid,
  orphan: (pod) => (controllerOf(pod) === undefined ? [pod.metadata?.namespace ?? ''] : []),
  node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []),
};

/** `controller`: uid of the controlling owner. `orphan`: the namespace of one without. */
export const ownedIndexes: Indexes<KubeObject> = {
  controller: controllerUid,
  orphan: (object) => (controllerOf(object) === undefined ? [object.metadata?.namespace ?? ''] : []),
};

/** `service`: key of the Service it belongs to. */
export const endpointSliceIndexes: Indexes<EndpointSlice> = {
  service: (slice) => {
    const name = slice.metadata?.labels?.[serviceNameLabel];
    return name === undefined ? [] : [objectKey(slice.metadata?.namespace, name)];
  },
};
