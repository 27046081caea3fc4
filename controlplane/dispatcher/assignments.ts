import { deviceClassesMap } from '#api/devices/device-class.ts';
import type { ConfigMap, CSIDriver, EndpointSlice, Ingress, IngressClass, Namespace, NetworkPolicy, Node, PersistentVolume, PersistentVolumeClaim, Pod, RuntimeClass, Secret, Service, VolumeAttachment } from '#api/gen/types.ts';
import { configMaps, csiDrivers, endpointSlices, nodes, persistentVolumeClaims, persistentVolumes, qualifiedName, runtimeClasses, secrets, services, volumeAttachments, type Resource } from '#api/kinds/resources.ts';
import { poolSecret } from '#api/load-balancer/pool.ts';
import { keyOf, splitKey, type KubeObject } from '#api/meta/object.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import { rangesConfigMap } from '#api/network/ranges.ts';
import type { Clock } from '#common/clock.ts';
import type { Informer, Lister } from '../cache/types.ts';
import { NodeAssignment, type AssignmentSource } from './node-assignment.ts';
import { IngressIndex } from './ingresses.ts';
import { PolicyIndex } from './policies.ts';
import { referenceKey, type Referable, type ReferenceKey } from './references.ts';
import { trimNode, trimOther, trimSlice } from './trim.ts';

/**
 * What concerns everyone costs as many messages as there are nodes. In a small cluster each change is news at once;
 * with every node beyond these, changes that follow each other closely are gathered for a little longer.
 */
const promptNodes = 10;
const gatherMsPerNode = 0.5;
const maxGatherMs = 250;

/** Every node's resolver reads it: https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/ */
const dnsSettings = referenceKey(configMaps, 'kube-system', 'kube-dns');
/** The ranges that pods and Services have addresses of. */
const clusterRanges = referenceKey(configMaps, rangesConfigMap.namespace, rangesConfigMap.name);
/** Likewise, what devices hosts are searched for. */
const deviceClasses = referenceKey(configMaps, deviceClassesMap.namespace, deviceClassesMap.name);

/** Which addresses hosts answer for; see api/load-balancer/pool.ts. */
const loadBalancerPool = referenceKey(secrets, poolSecret.namespace, poolSecret.name);

/** `pods` must have the index `node`, by `spec.nodeName`. */
export interface AssignmentInformers {
  readonly pods: Informer<Pod>;
  readonly secrets: Informer<Secret>;
  readonly configMaps: Informer<ConfigMap>;
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly nodes: Informer<Node>;
  readonly runtimeClasses: Informer<RuntimeClass>;
  /** Absent where no pod has claims, as in some tests. */
  readonly claims?: Informer<PersistentVolumeClaim>;
  readonly volumes?: Informer<PersistentVolume>;
  readonly csiDrivers?: Informer<CSIDriver>;
  readonly volumeAttachments?: Informer<VolumeAttachment>;
  /** Both absent where no Ingresses are served. */
  readonly ingresses?: Informer<Ingress> | undefined;
  readonly ingressClasses?: Informer<IngressClass> | undefined;
  /** Both absent where no policies are kept, as in some tests. */
  readonly networkPolicies?: Informer<NetworkPolicy>;
  readonly namespaces?: Informer<Namespace>;
}

const noObjects: Lister<KubeObject> = { get: () => undefined, list: () => [], by: () => [] };

/**
 * Works out what each connected node must be told. A change of an object only marks it in the assignments that it
 * concerns; what to send is decided when the node's sender gets to it, from the state at that time.
 */
export class Assignments implements AssignmentSource {
  readonly #informers: AssignmentInformers;
  readonly #clock: Clock;
  readonly #open = new Map<string, Set<NodeAssignment>>();
  readonly #referrers = new Map<ReferenceKey, Set<NodeAssignment>>();
  /** The trimmed nodes as JSON, so that heartbeats and statuses of one are not news to all. */
  readonly #nodeJson = new Map<string, string>();
  /** Everyone's objects, encoded once for all senders that run now. */
  #encoded = new Map<string, { object: KubeObject; json: Uint8Array }>();

  readonly #policies: PolicyIndex | undefined;
  readonly #ingresses: IngressIndex | undefined;

  /** Everyone's keys to be marked when the time has come. */
  readonly #gathered = new Set<string>();
  #flushedAtMs = Number.NEGATIVE_INFINITY;
  #cancelFlush: (() => void) | undefined;

  constructor(informers: AssignmentInformers, clock: Clock) {
    this.#informers = informers;
    this.#clock = clock;
    const { networkPolicies, namespaces, pods, ingresses, ingressClasses, secrets: secretInformer, nodes: nodeInformer } = informers;
    this.#policies = networkPolicies && namespaces && new PolicyIndex({ networkPolicies, namespaces, pods }, (node, key) => {
      for (const assignment of this.#open.get(node) ?? []) assignment.markOwn(key);
    });
    this.#ingresses = ingresses && ingressClasses && new IngressIndex({ ingresses, ingressClasses, secrets: secretInformer, nodes: nodeInformer }, (node, key) => {
      for (const list of node === undefined ? this.#open.values() : [this.#open.get(node) ?? []]) for (const assignment of list) assignment.markOwn(key);
    });
  }

  /** Follows the informers until the returned function is called. */
  start(): () => void {
    const informers = this.#informers;
    const reference = (resource: Referable) => ({ object, old }: { object: KubeObject | undefined; old: KubeObject | undefined }): void => {
      const { namespace, name } = (object ?? old)?.metadata ?? {};
      const key = referenceKey(resource, namespace, name ?? '');
      for (const assignment of this.#referrers.get(key) ?? []) assignment.markReference(key);
    };
    const everyone = (resource: Resource) => ({ object, old }: { object: KubeObject | undefined; old: KubeObject | undefined }): void => {
      const changed = object ?? old;
      if (changed) this.#markEveryone(`${qualifiedName(resource)} ${keyOf(changed)}`);
    };
    const stops = [
      this.#policies?.start(),
      this.#ingresses?.start(),
      informers.pods.subscribe(({ object, old }) => {
        for (const node of new Set([object?.spec?.nodeName, old?.spec?.nodeName])) {
          for (const assignment of this.#open.get(node ?? '') ?? []) assignment.markPod(keyOf(object ?? old ?? {}));
        }
      }),
      informers.secrets.subscribe(reference(secrets)),
      informers.configMaps.subscribe(reference(configMaps)),
      informers.claims?.subscribe(reference(persistentVolumeClaims)),
      informers.claims?.subscribe(({ object, old }) => { if (object && old && object.spec?.volumeName !== old.spec?.volumeName) this.#claimBound(object); }),
      informers.volumes?.subscribe(reference(persistentVolumes)),
      informers.volumes?.subscribe(({ object, old }) => { if (object?.spec?.csi && !old) this.#volumeSeen(object); }),
      informers.csiDrivers?.subscribe(reference(csiDrivers)),
      informers.volumeAttachments?.subscribe(reference(volumeAttachments)),
      informers.services.subscribe(everyone(services)),
      informers.endpointSlices.subscribe(everyone(endpointSlices)),
      informers.runtimeClasses.subscribe(everyone(runtimeClasses)),
      informers.nodes.subscribe(({ object, old }) => { this.#nodeChanged(object, old); }),
    ];
    return () => {
      for (const stop of stops) stop?.();
      this.#cancelFlush?.();
    };
  }

  /** Everything of a node is marked at first; `wake` is called when something is marked after `changes` had run dry. */
  open(nodeName: string, wake: () => void): NodeAssignment {
    const assignment = new NodeAssignment(this, this.#informers.pods, nodeName, wake);
    const list = this.#open.get(nodeName) ?? new Set();
    this.#open.set(nodeName, list.add(assignment));
    for (const key of [dnsSettings, clusterRanges, deviceClasses, loadBalancerPool]) assignment.alwaysRefer(key);
    for (const index of [this.#policies, this.#ingresses]) for (const key of index?.keysOf(nodeName) ?? []) assignment.markOwn(key);
    for (const pod of this.#informers.pods.by('node', nodeName)) assignment.markPod(keyOf(pod));
    for (const resource of [services, endpointSlices, nodes, runtimeClasses]) {
      for (const object of this.#lister(resource).list()) assignment.markEveryones(`${qualifiedName(resource)} ${keyOf(object)}`);
    }
    return assignment;
  }

  close(assignment: NodeAssignment): void {
    const list = this.#open.get(assignment.nodeName);
    list?.delete(assignment);
    if (list?.size === 0) this.#open.delete(assignment.nodeName);
    for (const key of assignment.references()) this.dropReferrer(key, assignment);
  }

  addReferrer(key: ReferenceKey, assignment: NodeAssignment): void {
    this.#referrers.set(key, (this.#referrers.get(key) ?? new Set()).add(assignment));
  }

  dropReferrer(key: ReferenceKey, assignment: NodeAssignment): void {
    const referrers = this.#referrers.get(key);
    referrers?.delete(assignment);
    if (referrers?.size === 0) this.#referrers.delete(key);
  }

  #lister(resource: Resource): Lister<KubeObject> {
    switch (resource.plural) {
      case secrets.plural: return this.#informers.secrets;
      case configMaps.plural: return this.#informers.configMaps;
      case persistentVolumeClaims.plural: return this.#informers.claims ?? noObjects;
      case persistentVolumes.plural: return this.#informers.volumes ?? noObjects;
      case csiDrivers.plural: return this.#informers.csiDrivers ?? noObjects;
      case volumeAttachments.plural: return this.#informers.volumeAttachments ?? noObjects;
      case services.plural: return this.#informers.services;
      case endpointSlices.plural: return this.#informers.endpointSlices;
      case runtimeClasses.plural: return this.#informers.runtimeClasses;
      default: return this.#informers.nodes;
    }
  }

  /** The object behind a key now, as it is sent; undefined when there is none. */
  encode(resource: Resource, key: string): Uint8Array | undefined {
    const { namespace, name } = splitKey(key);
    const object = this.#lister(resource).get(namespace, name);
    if (!object) return undefined;
    const cacheKey = `${qualifiedName(resource)} ${key}`;
    const cached = this.#encoded.get(cacheKey);
    if (cached?.object === object) return cached.json;
    const json = Buffer.from(JSON.stringify(trim(resource, object)));
    if (this.#encoded.size === 0) setImmediate(() => { this.#encoded = new Map(); });
    this.#encoded.set(cacheKey, { object, json });
    return json;
  }

  encodeFor(nodeName: string, resourceName: string, key: string): Uint8Array | undefined {
    const object = (IngressIndex.has(resourceName) ? this.#ingresses : this.#policies)?.objectFor(nodeName, resourceName, key);
    return object && Buffer.from(JSON.stringify(object));
  }

  get claims(): AssignmentInformers['claims'] { return this.#informers.claims; }
  get volumes(): AssignmentInformers['volumes'] { return this.#informers.volumes; }

  /** Pods that were put on a node before their claim had a volume have one more to know now. */
  #claimBound(claim: PersistentVolumeClaim): void {
    const { namespace, name } = claim.metadata ?? {};
    for (const assignment of this.#referrers.get(referenceKey(persistentVolumeClaims, namespace, name ?? '')) ?? []) {
      for (const pod of this.#informers.pods.by('node', assignment.nodeName)) if (pod.metadata?.namespace === namespace && claimNamesOf(pod).includes(name ?? '')) assignment.markPod(keyOf(pod));
    }
  }

  /** Pods whose claim was seen to have it before it was seen itself have what its driver needs to know now. */
  #volumeSeen({ metadata, spec }: PersistentVolume): void {
    for (const assignment of this.#referrers.get(referenceKey(persistentVolumes, undefined, metadata?.name ?? '')) ?? []) {
      for (const pod of this.#informers.pods.by('node', assignment.nodeName)) if (pod.metadata?.namespace === spec?.claimRef?.namespace && claimNamesOf(pod).length > 0) assignment.markPod(keyOf(pod));
    }
  }

  #nodeChanged(object: Node | undefined, old: Node | undefined): void {
    const name = (object ?? old)?.metadata?.name ?? '';
    const json = object && JSON.stringify(trimNode(object));
    if (json === this.#nodeJson.get(name)) return;
    if (json === undefined) this.#nodeJson.delete(name);
    else this.#nodeJson.set(name, json);
    const key = `${qualifiedName(nodes)} ${name}`;
    // The node itself is not kept waiting: pods may be on their way to it because of what has changed.
    for (const assignment of this.#open.get(name) ?? []) assignment.markEveryones(key);
    this.#markEveryone(key);
  }

  #markEveryone(key: string): void {
    this.#gathered.add(key);
    if (this.#cancelFlush) return;
    const gatherMs = Math.min(maxGatherMs, (this.#open.size - promptNodes) * gatherMsPerNode);
    const waitMs = this.#flushedAtMs + gatherMs - this.#clock.monotonic();
    if (gatherMs <= 0 || waitMs <= 0) this.#flush();
    else this.#cancelFlush = this.#clock.after(waitMs, () => { this.#flush(); });
  }

  #flush(): void {
    this.#cancelFlush = undefined;
    this.#flushedAtMs = this.#clock.monotonic();
    const keys = [...this.#gathered];
    this.#gathered.clear();
    for (const list of this.#open.values()) for (const assignment of list) for (const key of keys) assignment.markEveryones(key);
  }
}

function trim(resource: Resource, object: KubeObject): KubeObject {
  if (resource.plural === nodes.plural) return trimNode(object);
  return resource.plural === endpointSlices.plural ? trimSlice(object as EndpointSlice) : trimOther(object);
}
