import type { PersistentVolume, PersistentVolumeClaim, Pod, PolicyRule, VolumeAttachment } from '#api/gen/types.ts';
import { configMaps, persistentVolumeClaims, persistentVolumes, pods, secrets, volumeAttachments } from '#api/kinds/resources.ts';
import type { Informer } from '#controlplane/cache/types.ts';
import { referenceKey, referencesOf } from '#controlplane/dispatcher/references.ts';
import { ruleAllows } from '../rbac/rules.ts';
import type { Attributes, Authorizer, Decision, Informers } from '../types.ts';
import { nodeNameOf } from './identity.ts';

type Asked = NonNullable<Attributes['resource']>;

const allowed: Decision = { allowed: true, reason: '' };
const no = (reason: string): Decision => ({ allowed: false, reason });

/** Where nodes leave their heartbeats. */
const leaseNamespace = 'kube-node-lease';

/**
 * A node may touch what is its own: its Node, Lease and CSINode, the pods bound to it, and what these name. The rest
 * of what every node may do is the same for all of them, `rules`.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/node/
 */
export class NodeAuthorizer implements Authorizer {
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #attachments: Informer<VolumeAttachment>;
  readonly #rules: readonly PolicyRule[];

  constructor(informers: Informers, rules: readonly PolicyRule[]) {
    this.#pods = informers.informer(pods, { node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) });
    this.#claims = informers.informer(persistentVolumeClaims);
    this.#volumes = informers.informer(persistentVolumes);
    this.#attachments = informers.informer(volumeAttachments);
    this.#rules = rules;
  }

  async synced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#pods, this.#claims, this.#volumes, this.#attachments].map((informer) => informer.synced(signal)));
  }

  authorize(attributes: Attributes): Decision {
    const node = nodeNameOf(attributes.user);
    if (node === undefined || !attributes.resource) return no('');
    const { verb, resource } = attributes;
    switch (`${resource.plural}.${resource.group}`) {
      case 'secrets.':
      case 'configmaps.': return this.#read(node, verb, resource, ['get', 'list', 'watch'], (pod) => referencesOf(pod).includes(referenceKey(resource.plural === 'secrets' ? secrets : configMaps, resource.namespace, resource.name ?? '')));
      case 'persistentvolumeclaims.': {
        if (resource.subresource === 'status') return this.#related(node, verb, resource, ['get', 'update', 'patch'], (pod) => claimsOf(pod).includes(resource.name ?? ''));
        return this.#read(node, verb, resource, ['get'], (pod) => claimsOf(pod).includes(resource.name ?? ''));
      }
      case 'persistentvolumes.': return this.#read(node, verb, resource, ['get'], (pod) => this.#volumesOf(pod).includes(resource.name ?? ''));
      case 'serviceaccounts.': {
        if (verb !== 'create' || resource.subresource !== 'token') return no('can only create tokens for individual service accounts');
        return this.#related(node, verb, resource, ['create'], (pod) => pod.spec?.serviceAccountName === resource.name);
      }
      case 'volumeattachments.storage.k8s.io': {
        if (verb !== 'get' || resource.subresource !== undefined) return no('can only get individual resources of this type');
        return this.#attachments.get(undefined, resource.name ?? '')?.spec.nodeName === node ? allowed : no(`no relationship found between node '${node}' and this object`);
      }
      case 'pods.': return this.#podAccess(node, attributes, resource);
      case 'nodes.': return ownNode(node, attributes, resource, this.#rules);
      case 'leases.coordination.k8s.io': {
        if (resource.namespace !== leaseNamespace) return no(`can only access leases in the "${leaseNamespace}" system namespace`);
        return ownNamed(node, verb, resource, 'lease');
      }
      case 'csinodes.storage.k8s.io': return ownNamed(node, verb, resource, 'CSINode');
      default: return byRules(this.#rules, attributes);
    }
  }

  #read(node: string, verb: string, resource: Asked, verbs: readonly string[], names: (pod: Pod) => boolean): Decision {
    if (resource.subresource !== undefined) return no('cannot read subresource');
    return this.#related(node, verb, resource, verbs, names);
  }

  /** One object, named by a pod of the node in the same namespace; a cluster's object by any. */
  #related(node: string, verb: string, { namespace, name }: Asked, verbs: readonly string[], names: (pod: Pod) => boolean): Decision {
    if (!verbs.includes(verb)) return no('can only read resources of this type');
    if (!name) return no('can only read individual resources of this type');
    const found = this.#pods.by('node', node).some((pod) => (namespace === undefined || pod.metadata?.namespace === namespace) && names(pod));
    return found ? allowed : no(`no relationship found between node '${node}' and this object`);
  }

  #volumesOf(pod: Pod): string[] {
    return claimsOf(pod).flatMap((claim) => this.#claims.get(pod.metadata?.namespace, claim)?.spec?.volumeName ?? []);
  }

  /** Reads are of the node's own pods; what writes may change is for admission to see. */
  #podAccess(node: string, attributes: Attributes, resource: Asked): Decision {
    const { verb } = attributes;
    if (resource.subresource !== undefined || !['get', 'list', 'watch'].includes(verb)) return byRules(this.#rules, attributes);
    if (verb !== 'get' && resource.fields?.get('spec.nodeName') === node) return allowed;
    if (!resource.name) return no(`can only list/watch pods with spec.nodeName field selector`);
    return this.#related(node, verb, resource, ['get', 'list', 'watch'], (pod) => pod.metadata?.name === resource.name);
  }
}

function byRules(rules: readonly PolicyRule[], attributes: Attributes): Decision {
  return rules.some((rule) => ruleAllows(rule, attributes)) ? allowed : no('');
}

function ownNode(node: string, attributes: Attributes, { name, subresource }: Asked, rules: readonly PolicyRule[]): Decision {
  const { verb } = attributes;
  if (verb === 'create' && subresource === undefined) return allowed;
  if (name === node) return byRules(rules, attributes);
  if (['get', 'list', 'watch'].includes(verb)) return no(`node '${node}' cannot read ${name ? `'${name}'` : 'all nodes'}, only its own Node object`);
  return no(`node '${node}' cannot ${verb} '${name ?? ''}', only its own Node object`);
}

function ownNamed(node: string, verb: string, { name, subresource }: Asked, what: string): Decision {
  if (subresource !== undefined || !['get', 'create', 'update', 'patch', 'delete'].includes(verb)) return no(`can only get, create, update, patch, or delete a node ${what}`);
  // A create names nothing yet; admission looks at what it makes.
  return verb === 'create' || name === node ? allowed : no(`can only access node ${what} with the same name as the requesting node`);
}

/** Claims by name, those of ephemeral volumes included. */
function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap((volume) => (volume.ephemeral ? [`${metadata?.name ?? ''}-${volume.name}`] : volume.persistentVolumeClaim?.claimName ?? []));
}
