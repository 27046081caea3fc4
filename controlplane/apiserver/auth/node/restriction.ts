import type { Node, Pod } from '#api/gen/types.ts';
import { qualifiedName } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../../admission/types.ts';
import { forbidden } from '../../api-errors.ts';
import { nodeNameOf } from './identity.ts';

type Refuse = (why: string) => Error;

/**
 * What of its own objects a node may change, whatever it is authorized to write.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
 */
export const nodeRestriction: AdmissionPlugin = {
  name: 'NodeRestriction',
  admit(request) {
    if (!request.user.groups.includes('system:nodes')) return;
    const node = nodeNameOf(request.user);
    const refuse: Refuse = (why) => forbidden(request.kind.resource, request.name, why);
    const what = qualifiedName(request.kind.resource);
    if (!guarded.has(what)) return;
    if (node === undefined) throw refuse(`could not determine node from user ${JSON.stringify(request.user.name)}`);
    switch (what) {
      case 'pods': admitPod(node, request, refuse); break;
      case 'nodes': admitNode(node, request, refuse); break;
      default: if (request.name !== node) throw refuse('can only access node object with the same name as the requesting node');
    }
  },
};

const guarded = new Set(['pods', 'nodes', 'leases.coordination.k8s.io', 'csinodes.storage.k8s.io']);
const mirrorAnnotation = 'kubernetes.io/config.mirror';

function admitPod(node: string, { operation, subresource, object, old }: AdmissionRequest, refuse: Refuse): void {
  // The delete that an eviction comes to is looked at.
  if (subresource === 'eviction') return;
  const [pod, before] = [object as Pod | undefined, old as Pod | undefined];
  if (operation === 'delete') {
    if (before?.spec?.nodeName !== node) throw refuse(`node "${node}" can only delete pods with spec.nodeName set to itself`);
    return;
  }
  if (operation === 'create') {
    admitMirrorPod(node, pod, refuse);
    return;
  }
  if (subresource !== 'status') throw refuse(`unexpected subresource ${JSON.stringify(subresource ?? '')} for node "${node}", only status can be updated`);
  if (before?.spec?.nodeName !== node) throw refuse(`node "${node}" can only update pod status for pods with spec.nodeName set to itself`);
  if (!equal(pod?.metadata?.labels ?? {}, before.metadata?.labels ?? {})) throw refuse(`node "${node}" cannot update labels through pod status`);
}

function admitMirrorPod(node: string, pod: Pod | undefined, refuse: Refuse): void {
  const { annotations = {}, ownerReferences = [] } = pod?.metadata ?? {};
  if (annotations[mirrorAnnotation] === undefined) throw refuse(`pod does not have "${mirrorAnnotation}" annotation, node "${node}" can only create mirror pods`);
  if (pod?.spec?.nodeName !== node) throw refuse(`node "${node}" can only create pods with spec.nodeName set to itself`);
  const [owner] = ownerReferences;
  if (ownerReferences.length > 1 || (owner && (owner.kind !== 'Node' || owner.name !== node || owner.controller !== true))) throw refuse(`node "${node}" can only create pods with an owner reference set to itself`);
  if (pod.spec.serviceAccountName) throw refuse(`node "${node}" can not create pods that reference a service account`);
  for (const volume of pod.spec.volumes ?? []) {
    for (const kind of ['secret', 'configMap', 'persistentVolumeClaim', 'projected'] as const) if (volume[kind]) throw refuse(`node "${node}" can not create pods that reference ${kind}s`);
  }
}

function admitNode(node: string, { operation, name, object, old }: AdmissionRequest, refuse: Refuse): void {
  if (name !== node) throw refuse(`node "${node}" is not allowed to modify node "${name}"`);
  const [now, before] = [object as Node | undefined, old as Node | undefined];
  if (operation === 'delete') throw refuse(`node "${node}" is not allowed to delete node "${name}"`);
  const changed = changedLabels(now, before).filter((label) => !mayLabel(label));
  if (changed.length > 0) throw refuse(`is not allowed to modify labels: ${changed.sort().join(', ')}`);
  if (operation === 'create') return;
  if (!equal(now?.spec?.taints ?? [], before?.spec?.taints ?? [])) throw refuse(`node "${node}" is not allowed to modify taints`);
  if (!equal(now?.metadata?.ownerReferences ?? [], before?.metadata?.ownerReferences ?? [])) throw refuse(`node "${node}" is not allowed to modify ownerReferences`);
}

function changedLabels(now: KubeObject | undefined, before: KubeObject | undefined): string[] {
  const [next, old] = [now?.metadata?.labels ?? {}, before?.metadata?.labels ?? {}];
  return [...new Set([...Object.keys(next), ...Object.keys(old)])].filter((key) => next[key] !== old[key]);
}

const ownLabels = new Set([
  'kubernetes.io/hostname', 'kubernetes.io/arch', 'kubernetes.io/os', 'beta.kubernetes.io/arch', 'beta.kubernetes.io/os', 'beta.kubernetes.io/instance-type', 'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/zone', 'topology.kubernetes.io/region', 'topology.kubernetes.io/zone', 'failure-domain.kubernetes.io/region', 'failure-domain.kubernetes.io/zone',
]);

/** Labels of Kubernetes' own domains decide where pods run: a node sets few of them. */
function mayLabel(label: string): boolean {
  const domain = label.includes('/') ? label.slice(0, label.indexOf('/')) : '';
  const within = (parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);
  if (within('node-restriction.kubernetes.io')) return false;
  return ownLabels.has(label) || within('kubelet.kubernetes.io') || within('node.kubernetes.io') || !(within('kubernetes.io') || within('k8s.io'));
}
