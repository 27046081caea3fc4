import { randomBytes, randomUUID } from 'node:crypto';
import { applyDefaults, prepareCreate, prepareUpdate, validate, type Subresource } from '#api/kinds/engine.ts';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { equal } from '#api/meta/equal.ts';
import { copyJson } from '#api/meta/json.ts';
import { trackUpdate, type Versions } from '#api/meta/managed-fields/apply.ts';
import { safeCharacters } from '#api/meta/names.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus } from '#common/errors.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import type { Entry, Store, WriteRequest } from '#controlplane/store/types.ts';
import type { AdmissionChain } from './admission/chain.ts';
import type { AdmissionRequest, Annotate } from './admission/types.ts';
import { alreadyExists, badRequest, conflict, invalid, notFound } from './api-errors.ts';
import { checkPreconditions, finished, planDeletion } from './deletion.ts';
import { encoder, metaOf, parseBytes, toBytes } from './encoding.ts';
import { KeyLock } from './key-lock.ts';
import type { KindIndex } from './kind-index.ts';
import { hasForeignOwners, withVersions } from './managed-versions.ts';
import { keptUnder, loadEntry, mustAsk } from './stored-form.ts';
import type { DeleteRequest, User } from './types.ts';

export interface WriteOptions {
  readonly user: User;
  readonly dryRun: boolean;
  /** Who owns the fields that change; the default is the user's name. */
  readonly fieldManager?: string;
  /** The ownership of fields has been seen to, as server-side apply does. */
  readonly applied?: boolean;
  /** Takes what admission has to say to the client beside its answer. */
  readonly warnings?: string[];
  readonly annotate?: Annotate | undefined;
  /** The options of the request, for admission; see `AdmissionRequest`. */
  readonly asked?: Readonly<Record<string, unknown>> | undefined;
}

export interface UpdateOptions extends WriteOptions {
  readonly subresource?: Subresource | undefined;
  /** A change of one's own making, e.g. a binding: not prepared and not validated as a client's would be. */
  readonly trusted?: boolean;
}

/** What a write left: as object, and as the bytes stored. */
export interface Written {
  readonly object: KubeObject;
  readonly bytes: Uint8Array;
  /** The object is gone, by this write. */
  readonly removed: boolean;
}

/** Makes the next object from a private copy of the current one. Called again when someone else wrote in between. */
export type Change = (current: KubeObject) => KubeObject | Promise<KubeObject>;

const maxAttempts = 5;
/** Whoever waits for an answer from outside does not keep others off the object, and may lose to them again and again. */
const maxAttemptsUnlocked = 50;

/** What objects are called that are not named by their makers. A simulation brings its own, to repeat itself. */
export interface Ids {
  uid(): string;
  /** Five characters that a name may have. */
  suffix(): string;
}

/** Asking others ends the hold on an object. */
interface Hold { readonly beforeAsking: () => void; readonly attempts: () => number }

function holdOf(release: () => void): Hold {
  let attempts = maxAttempts;
  return { attempts: () => attempts, beforeAsking: () => { attempts = maxAttemptsUnlocked; release(); } };
}

/** Of names that the server makes up. */
const maxNames = 8;

/** The verbs that write one object, the same for every kind and for every way in. */
export class ResourceStore {
  readonly #store: Store;
  readonly #admission: AdmissionChain;
  readonly #clock: Clock;
  readonly #kinds: KindIndex;
  readonly #ids: Ids;
  readonly #locks = new KeyLock();

  constructor(deps: { readonly store: Store; readonly admission: AdmissionChain; readonly kinds: KindIndex; readonly clock: Clock; readonly ids?: Ids }) {
    this.#ids = deps.ids ?? randomIds;
    this.#kinds = deps.kinds;
    this.#store = deps.store;
    this.#admission = deps.admission;
    this.#clock = deps.clock;
  }

  /** As an object of `kind`, whatever form it is stored in. */
  async entry(kind: KindDefinition, namespace: string | undefined, name: string, hold?: Hold): Promise<Entry> {
    const entry = await this.#store.get(storeKey(keptUnder(kind), namespace, name));
    if (!entry) throw notFound(kind.resource, name);
    if (hold && mustAsk(kind, entry)) hold.beforeAsking();
    return kind.stored ? loadEntry(kind, entry) : entry;
  }

  /** `object` is decoded, and the caller's to give away. */
  async create(kind: KindDefinition, namespace: string | undefined, object: KubeObject, options: WriteOptions): Promise<Written> {
    const { name, generateName: prefix } = metaOf(object);
    if (kind.resource.namespaced) placeInNamespace(object, namespace);
    if (name || !prefix) return this.#createOnce(kind, namespace, this.#prepareNew(kind, object, options), options);
    for (let attempt = 1; ; attempt++) {
      // A kind may note the name in other places, so each attempt starts from what the client sent.
      const candidate = copyJson(object);
      metaOf(candidate).name = prefix.slice(0, 58) + this.#ids.suffix();
      try {
        return await this.#createOnce(kind, namespace, this.#prepareNew(kind, candidate, options), options);
      } catch (error) {
        if (attempt >= maxNames || !isStatus(error, 'AlreadyExists')) throw error;
      }
    }
  }

  #prepareNew(kind: KindDefinition, object: KubeObject, options: WriteOptions): KubeObject {
    applyDefaults(kind, object);
    prepareCreate(kind, object, this.#ids.uid());
    this.#track(kind, undefined, object, options, undefined);
    metaOf(object).creationTimestamp = rfc3339(this.#clock.now());
    return object;
  }

  async #createOnce(kind: KindDefinition, namespace: string | undefined, object: KubeObject, options: WriteOptions): Promise<Written> {
    const name = object.metadata?.name ?? '';
    const request: AdmissionRequest = { operation: 'create', kind, namespace, name, ...options, subresource: undefined, object, old: undefined };
    await this.#admission.admit(request);
    await kind.prepareToValidate?.(object);
    const errors = validate(kind, object);
    if (errors.length > 0) throw invalid(kind.resource, name, errors);
    options.warnings?.push(...kind.warnings?.(object, undefined) ?? []);
    await this.#admission.validate(request);
    const reservation = this.#admission.reserve(request);
    try {
      const key = storeKey(keptUnder(kind), namespace, name);
      if (options.dryRun) {
        if (await this.#store.get(key)) throw alreadyExists(kind.resource, name);
        reservation.rollback();
        return { object, bytes: toBytes(object), removed: false };
      }
      const written = await this.#write(kind, object, { key, type: 'put', expect: 'absent' });
      reservation.commit();
      return written;
    } catch (error) {
      reservation.rollback();
      throw isStatus(error, 'AlreadyExists') ? alreadyExists(kind.resource, name) : error;
    }
  }

  /**
   * Read, change, compare-and-swap. When the changed object names another resourceVersion than the current one
   * it is a Conflict; when it names none, or the current one's was kept, a lost race is run again.
   */
  update(kind: KindDefinition, namespace: string | undefined, name: string, change: Change, options: UpdateOptions): Promise<Written> {
    return this.#locks.run(storeKey(keptUnder(kind), namespace, name), (release) => this.#update(kind, namespace, name, change, options, holdOf(release)));
  }

  async #update(kind: KindDefinition, namespace: string | undefined, name: string, change: Change, options: UpdateOptions, hold: Hold): Promise<Written> {
    for (let attempt = 1; ; attempt++) {
      const entry = await this.entry(kind, namespace, name, hold);
      const current = parseBytes(entry.value);
      if (kind.stored?.asks === true && hasForeignOwners(kind, [current])) hold.beforeAsking();
      const next = await change(current);
      const wanted = metaOf(next).resourceVersion;
      if (wanted && wanted !== String(entry.modRevision)) throw conflict(kind.resource, name);
      const written = await this.#swap(kind, namespace, name, entry, next, options, hold);
      if (written) return written;
      if (attempt >= hold.attempts()) throw conflict(kind.resource, name);
    }
  }

  /** Undefined when someone else wrote first. */
  async #swap(kind: KindDefinition, namespace: string | undefined, name: string, entry: Entry, next: KubeObject, options: UpdateOptions, { beforeAsking }: Hold): Promise<Written | undefined> {
    const old = parseBytes(entry.value);
    if (next.metadata?.uid && next.metadata.uid !== old.metadata?.uid) {
      throw conflict(kind.resource, name, `Precondition failed: UID in precondition: ${next.metadata.uid}, UID in object meta: ${old.metadata?.uid ?? ''}`);
    }
    metaOf(next).resourceVersion = String(entry.modRevision);
    const { subresource } = options;
    const request: AdmissionRequest = { operation: 'update', kind, namespace, name, user: options.user, dryRun: options.dryRun, warnings: options.warnings, annotate: options.annotate, asked: options.asked, beforeAsking, subresource, object: next, old };
    if (!options.trusted) {
      applyDefaults(kind, next);
      prepareUpdate(kind, next, old, subresource);
      if (kind.stored?.asks === true && hasForeignOwners(kind, [next])) beforeAsking();
      await withVersions(this.#kinds, kind, [old, next], (versions) => { this.#track(kind, old, next, options, versions); });
      await this.#admission.admit(request);
      await kind.prepareToValidate?.(next);
      const errors = validate(kind, next, old, subresource);
      if (errors.length > 0) throw invalid(kind.resource, name, errors);
      // Who changes something else has been told before.
      const changed = next.metadata?.generation === undefined || next.metadata.generation !== old.metadata?.generation;
      if (subresource === undefined && changed) options.warnings?.push(...kind.warnings?.(next, old) ?? []);
      await this.#admission.validate(request);
    }
    if (finished(next)) return this.#remove(kind, namespace, name, entry, next, options);
    if (sameButForTimes(next, old) && !await this.#outdated(kind, namespace, name)) return { object: old, bytes: entry.value, removed: false };
    return this.#commit(request, entry, () => this.#put(kind, namespace, name, entry, next), options.dryRun, next);
  }

  /**
   * Keeps the ownership of fields. Before admission: what that fills in belongs to nobody. Heartbeats and events of our own
   * have no owners until somebody else writes them: it would be the most of what they are.
   */
  #track(kind: KindDefinition, old: KubeObject | undefined, next: KubeObject, { user, fieldManager, subresource, applied }: UpdateOptions, versions: Versions | undefined): void {
    if (applied) return;
    const known = old?.metadata?.managedFields !== undefined || next.metadata?.managedFields !== undefined;
    if (!known && (old !== undefined || (kind.storage === 'volatile' && fieldManager === undefined))) return;
    const writer = { manager: fieldManager ?? user.name.replace(/^system:/, ''), subresource: subresource ?? '', apiVersion: apiVersionOf(kind.resource), now: rfc3339(this.#clock.now()) };
    try {
      trackUpdate(kind.schema(), old, next, writer, versions);
    } catch (error) {
      // Items of a list without their key: validation has better words for that, or allows it.
      if (!isStatus(error, 'BadRequest')) throw error;
      delete metaOf(next).managedFields;
    }
  }

  /** Asks admission whether somebody may do what writes nothing itself: open a stream into an object, evict it. `object` says what. */
  async permit(kind: KindDefinition, namespace: string | undefined, name: string, { operation, subresource, object }: Pick<AdmissionRequest, 'operation' | 'subresource' | 'object'>, options: WriteOptions): Promise<void> {
    const request: AdmissionRequest = { operation, kind, namespace, name, ...options, subresource, object, old: undefined };
    await this.#admission.admit(request);
    await this.#admission.validate(request);
  }

  /** Deletes as `request` says; the result is the object's last state, or its state while others finish. */
  delete(kind: KindDefinition, namespace: string | undefined, name: string, request: DeleteRequest, options: WriteOptions): Promise<Written> {
    return this.#locks.run(storeKey(keptUnder(kind), namespace, name), (release) => this.#delete(kind, namespace, name, request, options, holdOf(release)));
  }

  async #delete(kind: KindDefinition, namespace: string | undefined, name: string, request: DeleteRequest, options: WriteOptions, hold: Hold): Promise<Written> {
    for (let attempt = 1; ; attempt++) {
      const entry = await this.entry(kind, namespace, name, hold);
      const object = parseBytes(entry.value);
      checkPreconditions(kind, object, request);
      const admission: AdmissionRequest = { operation: 'delete', kind, namespace, name, ...options, beforeAsking: hold.beforeAsking, subresource: undefined, object: undefined, old: object };
      await this.#admission.admit(admission);
      await this.#admission.validate(admission);
      const plan = planDeletion(kind, object, request, this.#clock.now());
      if (plan.action === 'none') return { object, bytes: entry.value, removed: false };
      const written = plan.action === 'remove'
        ? await this.#remove(kind, namespace, name, entry, object, options)
        : options.dryRun ? { object: plan.object, bytes: toBytes(plan.object), removed: false } : await this.#put(kind, namespace, name, entry, plan.object);
      if (written) return written;
      if (attempt >= hold.attempts()) throw conflict(kind.resource, name);
    }
  }

  async #put(kind: KindDefinition, namespace: string | undefined, name: string, entry: Entry, object: KubeObject): Promise<Written | undefined> {
    try {
      return await this.#write(kind, object, { key: storeKey(keptUnder(kind), namespace, name), type: 'put', expect: entry.modRevision });
    } catch (error) {
      if (isStatus(error, 'NotFound')) throw notFound(kind.resource, name);
      if (isStatus(error, 'Conflict')) return undefined;
      throw error;
    }
  }

  async #remove(kind: KindDefinition, namespace: string | undefined, name: string, entry: Entry, object: KubeObject, options: WriteOptions): Promise<Written | undefined> {
    const request: AdmissionRequest = { operation: 'delete', kind, namespace, name, user: options.user, dryRun: options.dryRun, subresource: undefined, object: undefined, old: parseBytes(entry.value) };
    return this.#commit(request, entry, async () => {
      try {
        return await this.#write(kind, object, { key: storeKey(keptUnder(kind), namespace, name), type: 'delete', expect: entry.modRevision });
      } catch (error) {
        if (isStatus(error, 'NotFound')) throw notFound(kind.resource, name);
        if (isStatus(error, 'Conflict')) return undefined;
        throw error;
      }
    }, options.dryRun, object);
  }

  /** In the form that the kind is stored in; the result is as the kind serves it. */
  async #write(kind: KindDefinition, object: KubeObject, write: Omit<WriteRequest, 'encode'>): Promise<Written> {
    const removed = write.type === 'delete';
    if (!kind.stored) return { object, bytes: (await this.#store.write({ ...write, encode: encoder(object) })).value, removed };
    const stored = copyJson(await kind.stored.save(object));
    const { value, modRevision } = await this.#store.write({ ...write, encode: encoder(stored) });
    metaOf(object).resourceVersion = String(modRevision);
    return { object, bytes: stored.apiVersion === object.apiVersion ? value : toBytes(object), removed };
  }

  /** Stored in another form than it would be now: a write that changes nothing else changes that. */
  async #outdated(kind: KindDefinition, namespace: string | undefined, name: string): Promise<boolean> {
    if (!kind.stored) return false;
    const entry = await this.#store.get(storeKey(keptUnder(kind), namespace, name));
    return entry !== undefined && parseBytes(entry.value).apiVersion !== kind.stored.apiVersion;
  }

  /** Takes what the write needs, writes, and settles. */
  async #commit(request: AdmissionRequest, entry: Entry, write: () => Promise<Written | undefined>, dryRun: boolean, object: KubeObject): Promise<Written | undefined> {
    const reservation = this.#admission.reserve(request);
    if (dryRun) {
      reservation.rollback();
      return { object, bytes: toBytes(object), removed: request.operation === 'delete' };
    }
    try {
      const written = await write();
      if (written) reservation.commit();
      else reservation.rollback();
      return written;
    } catch (error) {
      reservation.rollback();
      throw error;
    }
  }
}

/** A write that only says again when somebody owned what is no write. */
function sameButForTimes(next: KubeObject, old: KubeObject): boolean {
  const timeless = (object: KubeObject): KubeObject => ({ ...object, metadata: { ...object.metadata, managedFields: object.metadata?.managedFields?.map((entry) => ({ ...entry, time: '' })) } });
  return equal(next, old) || (next.metadata?.managedFields?.length === old.metadata?.managedFields?.length && equal(timeless(next), timeless(old)));
}

function placeInNamespace(object: KubeObject, namespace: string | undefined): void {
  const meta = metaOf(object);
  meta.namespace ??= namespace;
  if (meta.namespace !== namespace) throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
}

const randomIds: Ids = {
  uid: () => randomUUID(),
  suffix: () => [...randomBytes(5)].map((byte) => safeCharacters[byte % safeCharacters.length] ?? 'x').join(''),
};
