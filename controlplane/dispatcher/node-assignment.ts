import { hash } from 'node:crypto';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { configMaps, csiDrivers, endpointSlices, nodes, persistentVolumeClaims, persistentVolumes, pods, qualifiedName, runtimeClasses, secrets, services, volumeAttachments, type Resource } from '#api/kinds/resources.ts';
import { splitKey } from '#api/meta/object.ts';
import type { ObjectRef, WireObject } from '#proto/edge/v1/messages.ts';
import type { Lister } from '../cache/types.ts';
import { referencesOf, type ReferenceKey } from './references.ts';
import { trimPod } from './trim.ts';

export type AssignmentChange = { readonly set: WireObject } | { readonly removed: ObjectRef };

/** What an assignment needs of all: objects as they are sent, and being told when a Secret or ConfigMap changes. */
export interface AssignmentSource {
  /** By which a pod's claims lead to volumes; absent where there are none, as in some tests. */
  readonly claims?: Pick<Lister<PersistentVolumeClaim>, 'get'> | undefined;
  /** And these to what their drivers need; likewise. */
  readonly volumes?: Pick<Lister<PersistentVolume>, 'get'> | undefined;
  /** The object behind a key now; undefined when there is none. */
  encode(resource: Resource, key: string): Uint8Array | undefined;
  /** What only some nodes see, and each its own way; undefined when this one does not. */
  encodeFor(nodeName: string, resourceName: string, key: string): Uint8Array | undefined;
  addReferrer(key: ReferenceKey, assignment: NodeAssignment): void;
  dropReferrer(key: ReferenceKey, assignment: NodeAssignment): void;
}

const everyonesResources = new Map([services, endpointSlices, nodes, runtimeClasses].map((resource: Resource) => [qualifiedName(resource), resource]));
const referenceResources = new Map([secrets, configMaps, persistentVolumeClaims, persistentVolumes, csiDrivers, volumeAttachments].map((resource: Resource) => [qualifiedName(resource), resource]));

interface Marks {
  readonly pods: Set<string>;
  readonly references: Set<ReferenceKey>;
  readonly everyones: Set<string>;
  /** Policies about this node's pods, and whom those speak of. */
  readonly own: Set<string>;
}

/** What one connected node was sent and what it has yet to be told. */
export class NodeAssignment {
  readonly nodeName: string;
  readonly #all: AssignmentSource;
  readonly #pods: Lister<Pod>;
  readonly #wake: () => void;
  #marks: Marks = noMarks();
  /** By pod key: a digest of what was sent, and what it refers to. */
  readonly #sentPods = new Map<string, { digest: string; references: readonly ReferenceKey[] }>();
  readonly #referenceCounts = new Map<ReferenceKey, number>();
  readonly #sentReferences = new Set<ReferenceKey>();
  /** By key: a digest of what was sent. */
  readonly #sentOwn = new Map<string, string>();

  constructor(all: AssignmentSource, podLister: Lister<Pod>, nodeName: string, wake: () => void) {
    this.#all = all;
    this.#pods = podLister;
    this.nodeName = nodeName;
    this.#wake = wake;
  }

  get dirty(): boolean {
    const { pods: ofPods, references, everyones, own } = this.#marks;
    return ofPods.size + references.size + everyones.size + own.size > 0;
  }

  references(): Iterable<ReferenceKey> {
    return this.#referenceCounts.keys();
  }

  /** Something that the node is told of whether or not a pod of its refers to it. */
  alwaysRefer(key: ReferenceKey): void {
    this.#referenceCounts.set(key, (this.#referenceCounts.get(key) ?? 0) + 1);
    this.#all.addReferrer(key, this);
    this.markReference(key);
  }

  markPod(key: string): void { this.#mark(this.#marks.pods, key); }
  markReference(key: ReferenceKey): void { this.#mark(this.#marks.references, key); }
  markEveryones(key: string): void { this.#mark(this.#marks.everyones, key); }
  markOwn(key: string): void { this.#mark(this.#marks.own, key); }

  #mark(marks: Set<string>, key: string): void {
    const wasClean = !this.dirty;
    marks.add(key);
    if (wasClean) this.#wake();
  }

  /**
   * What is marked now, one change at a time, each object at most once; marks made from here on are for the next
   * call. What a pod refers to comes before the pod, and so do the node itself and the policies about it; these go after it.
   */
  *changes(): Generator<AssignmentChange> {
    const marks = this.#marks;
    this.#marks = noMarks();
    const orphans = new Set<ReferenceKey>();
    // A node refuses pods that are not for nodes of its labels.
    const itself = `${qualifiedName(nodes)} ${this.nodeName}`;
    if (marks.everyones.delete(itself)) yield everyonesChange(this.#all, itself);
    for (const key of marks.references) yield* this.#reference(key);
    for (const key of marks.own) yield* this.#own(key, false);
    for (const key of marks.pods) yield* this.#pod(key, orphans);
    for (const key of marks.own) yield* this.#own(key, true);
    for (const key of orphans) yield* this.#orphan(key);
    for (const key of marks.everyones) yield everyonesChange(this.#all, key);
  }

  /** Either what the node needs, or what it needs no more. */
  *#own(key: string, removals: boolean): Generator<AssignmentChange> {
    const { resource, name } = splitMark(key);
    const json = this.#all.encodeFor(this.nodeName, resource, name);
    if (removals) {
      if (!json && this.#sentOwn.delete(key)) yield removal(key);
      return;
    }
    if (!json) return;
    const digest = hash('sha1', json, 'base64');
    if (digest === this.#sentOwn.get(key)) return;
    this.#sentOwn.set(key, digest);
    yield { set: { resource, json } };
  }

  *#pod(key: string, orphans: Set<ReferenceKey>): Generator<AssignmentChange> {
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.get(namespace, name);
    const sent = this.#sentPods.get(key);
    if (pod?.spec?.nodeName !== this.nodeName) {
      if (!sent) return;
      this.#sentPods.delete(key);
      this.#release(sent.references, orphans);
      yield { removed: { resource: qualifiedName(pods), namespace: namespace ?? '', name } };
      return;
    }
    const json = Buffer.from(JSON.stringify(trimPod(pod)));
    const references = referencesOf(pod, this.#all);
    // Claims find their volumes when the pod is here already, if somebody has put it here.
    const digest = hash('sha1', Buffer.concat([json, Buffer.from(references.join())]), 'base64');
    if (digest === sent?.digest) return;
    this.#sentPods.set(key, { digest, references });
    for (const reference of references) {
      const count = this.#referenceCounts.get(reference) ?? 0;
      this.#referenceCounts.set(reference, count + 1);
      if (count > 0) continue;
      this.#all.addReferrer(reference, this);
      yield* this.#reference(reference); // also when it was sent before: nobody watched it since
    }
    if (sent) this.#release(sent.references, orphans);
    yield { set: { resource: qualifiedName(pods), json } };
  }

  #release(references: readonly ReferenceKey[], orphans: Set<ReferenceKey>): void {
    for (const reference of references) {
      const count = (this.#referenceCounts.get(reference) ?? 1) - 1;
      if (count > 0) {
        this.#referenceCounts.set(reference, count);
      } else {
        this.#referenceCounts.delete(reference);
        this.#all.dropReferrer(reference, this);
        orphans.add(reference);
      }
    }
  }

  *#reference(key: ReferenceKey): Generator<AssignmentChange> {
    if (!this.#referenceCounts.has(key)) return;
    const { resource, name } = splitMark(key);
    const known = referenceResources.get(resource);
    const json = known && this.#all.encode(known, name);
    if (json) {
      this.#sentReferences.add(key);
      yield { set: { resource, json } };
    } else if (this.#sentReferences.delete(key)) {
      yield removal(key);
    }
  }

  /** Removals come last: another pod may have taken a reference up again in the meantime. */
  *#orphan(key: ReferenceKey): Generator<AssignmentChange> {
    if (!this.#referenceCounts.has(key) && this.#sentReferences.delete(key)) yield removal(key);
  }
}

function noMarks(): Marks {
  return { pods: new Set(), references: new Set(), everyones: new Set(), own: new Set() };
}

function everyonesChange(all: AssignmentSource, key: string): AssignmentChange {
  const { resource, name } = splitMark(key);
  const known = everyonesResources.get(resource);
  const json = known && all.encode(known, name);
  return json ? { set: { resource, json } } : removal(key);
}

function removal(key: string): AssignmentChange {
  const { resource, name: objectName } = splitMark(key);
  const { namespace, name } = splitKey(objectName);
  return { removed: { resource, namespace: namespace ?? '', name } };
}

function splitMark(key: string): { resource: string; name: string } {
  const space = key.indexOf(' ');
  return { resource: key.slice(0, space), name: key.slice(space + 1) };
}
