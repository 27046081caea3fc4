import type { Pod, ResourceQuota, ResourceQuotaStatus } from '#api/gen/types.ts';
import { qualifiedName, resourceQuotas } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { messageOf, isStatus } from '#common/errors.ts';
import type { Clock } from '#common/clock.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import { forbidden } from '../../api-errors.ts';
import { parseBytes } from '../../encoding.ts';
import type { ApiClient } from '../../types.ts';
import type { AdmissionPlugin, AdmissionRequest, Reservation } from '../types.ts';
import { Ledger } from './ledger.ts';
import { countedOf, inScope, missingFrom, printAmount, resourceOf, type Counted } from './usage.ts';

/** What others write into the status of a quota stays as long: they may want to read it back. */
const meddledMs = 20_000;

/**
 * ResourceQuota: nothing is made that would exceed one, and each quota's status says what is used. Namespaces without
 * quotas cost nothing. `load` finds the quotas at start; `start` keeps their status.
 */
export class QuotaAdmission implements AdmissionPlugin {
  readonly name = 'ResourceQuota';
  readonly #store: Store;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #ledgers = new Map<string, Ledger>();
  /** Namespaces whose quotas may have a status that is no longer true. */
  readonly #stale = new Set<string>();
  /** Namespaces with a quota whose status somebody else has written. */
  readonly #meddled = new Set<string>();
  readonly #wakeup = new Wakeup();

  constructor(deps: { readonly store: Store; readonly log: Log; readonly clock: Clock }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async load(): Promise<void> {
    const { entries } = await this.#store.list({ prefix: storePrefix(resourceQuotas) });
    for (const { value } of entries) this.#setQuota(parseBytes(value) as ResourceQuota);
  }

  /** Reads what is there of a kind before the first of it is counted. */
  async validate({ kind, namespace, operation }: AdmissionRequest): Promise<void> {
    const resource = qualifiedName(kind.resource);
    const ledger = this.#ledgers.get(namespace ?? '');
    if (ledger && operation !== 'delete' && ledger.counts(resource)) await this.#read(namespace ?? '', ledger, resource);
  }

  reserve(request: AdmissionRequest): Reservation | undefined {
    const { kind, namespace, operation, object, old } = request;
    if (!namespace) return undefined;
    const resource = qualifiedName(kind.resource);
    const isQuota = resource === 'resourcequotas';
    const ledger = this.#ledgers.get(namespace);
    const uid = (object ?? old)?.metadata?.uid ?? '';
    const next = operation === 'delete' ? undefined : ledger?.counts(resource) ? countedOf(resource, object ?? {}) : undefined;
    const rollback = ledger && next ? this.#hold(ledger, request, resource, uid, next) : () => undefined;
    const commit = (): void => {
      // Who reads what is stored while this was written may not have seen it: hence the ledger of now.
      const current = this.#ledgers.get(namespace);
      if (current) this.#note(current, namespace, resource, uid, operation === 'delete' ? undefined : next ?? countedOf(resource, object ?? {}));
      if (isQuota) this.#quotaWritten(namespace, request);
    };
    return { commit, rollback };
  }

  /** Takes the room that a write needs until it is known whether it was made. */
  #hold(ledger: Ledger, request: AdmissionRequest, resource: string, uid: string, next: Counted): () => void {
    this.#check(ledger, request, resource, uid, next);
    const before = ledger.get(uid);
    ledger.set(uid, larger(before, next));
    return () => { ledger.set(uid, before); };
  }

  #check(ledger: Ledger, { kind, name, operation, subresource, object }: AdmissionRequest, resource: string, uid: string, next: Counted): void {
    if (subresource === 'status' || !ledger.isLoaded(resource)) return;
    if (operation === 'create' && resource === 'pods') {
      for (const { metadata, spec = {} } of ledger.quotas) {
        const missing = inScope(spec, next) ? missingFrom(object as Pod, spec.hard ?? {}) : undefined;
        if (missing !== undefined) throw forbidden(kind.resource, name, `failed quota: ${metadata?.name ?? ''}: must specify ${missing}`);
      }
    }
    const exceeded = ledger.exceededBy(uid, next);
    if (!exceeded) return;
    const print = (what: 'requested' | 'used' | 'hard'): string => exceeded.amounts.map((amount) => `${amount.name}=${printAmount(amount.name, amount[what])}`).join(',');
    throw forbidden(kind.resource, name, `exceeded quota: ${exceeded.quota}, requested: ${print('requested')}, used: ${print('used')}, limited: ${print('hard')}`);
  }

  #note(ledger: Ledger, namespace: string, resource: string, uid: string, counted: Counted | undefined): void {
    if (!ledger.counts(resource) && !ledger.get(uid)) return;
    ledger.set(uid, counted);
    this.#touch(namespace);
  }

  #quotaWritten(namespace: string, { operation, name, subresource, object, old }: AdmissionRequest): void {
    if (operation === 'delete') {
      const ledger = this.#ledgers.get(namespace);
      ledger?.removeQuota(name);
      if (ledger?.isEmpty) this.#ledgers.delete(namespace);
    } else if (subresource !== 'status' || !equal((object as ResourceQuota).spec, (old as ResourceQuota | undefined)?.spec)) this.#setQuota(object as ResourceQuota);
    else if (!equal((object as ResourceQuota).status, statusOf(this.#ledgers.get(namespace), object as ResourceQuota))) this.#meddle(namespace);
  }

  #setQuota(quota: ResourceQuota): void {
    const namespace = quota.metadata?.namespace ?? '';
    let ledger = this.#ledgers.get(namespace);
    if (!ledger) this.#ledgers.set(namespace, ledger = new Ledger());
    ledger.setQuota(quota);
    this.#touch(namespace);
  }

  #meddle(namespace: string): void {
    if (this.#meddled.has(namespace)) return;
    this.#meddled.add(namespace);
    this.#clock.after(meddledMs, () => {
      this.#meddled.delete(namespace);
      this.#touch(namespace);
    });
  }

  #touch(namespace: string): void {
    this.#stale.add(namespace);
    this.#wakeup.notify();
  }

  #read(namespace: string, ledger: Ledger, resource: string): Promise<void> {
    return ledger.load(resource, async () => {
      const [plural = '', ...group] = resource.split('.');
      const { entries } = await this.#store.list({ prefix: storePrefix({ plural, group: group.join('.') }, namespace) });
      return entries.map(({ value }) => {
        const object = parseBytes(value);
        return { uid: object.metadata?.uid ?? '', counted: countedOf(resource, object) };
      });
    });
  }

  /** Writes the status of quotas as it changes, until `signal` aborts. */
  async start(client: ApiClient, signal: AbortSignal): Promise<void> {
    for (;;) {
      const namespaces = [...this.#stale];
      const failed: string[] = [];
      this.#stale.clear();
      for (const namespace of namespaces) {
        try {
          await this.#writeStatus(client, namespace);
        } catch (error) {
          if (isAbort(error, signal)) return;
          if (isStatus(error, 'NotFound')) continue;
          this.#log.warn({ err: messageOf(error), namespace }, 'status of resource quotas not written; it is tried again with the next change');
          failed.push(namespace);
        }
      }
      if (this.#stale.size > 0) continue;
      try {
        await this.#wakeup.wait(signal);
        for (const namespace of failed) this.#stale.add(namespace);
      } catch (error) {
        if (isAbort(error, signal)) return;
        throw error;
      }
    }
  }

  async #writeStatus(client: ApiClient, namespace: string): Promise<void> {
    const ledger = this.#ledgers.get(namespace);
    for (const quota of ledger?.quotas ?? []) {
      const name = quota.metadata?.name ?? '';
      const hard = quota.spec?.hard ?? {};
      for (const resource of new Set(Object.keys(hard).map(resourceOf))) if (ledger) await this.#read(namespace, ledger, resource);
      const status = statusOf(ledger, quota);
      const current = await client.get(resourceQuotas, namespace, name);
      if (!equal(current.status, status)) await client.update(resourceQuotas, { ...current, status, metadata: { ...current.metadata, resourceVersion: undefined } }, 'status');
    }
  }
}

function statusOf(ledger: Ledger | undefined, { metadata, spec }: ResourceQuota): ResourceQuotaStatus {
  const used = ledger?.used(metadata?.name ?? '');
  const hard = spec?.hard ?? {};
  return { hard, used: Object.fromEntries(Object.keys(hard).map((key) => [key, printAmount(key, used?.get(key) ?? 0n)])) };
}

/** Of each amount the larger: what an update may need until it is made or not. */
function larger(before: Counted | undefined, next: Counted): Counted {
  if (!before) return next;
  const usage = new Map(next.usage);
  for (const [name, amount] of before.usage) if (amount > (usage.get(name) ?? 0n)) usage.set(name, amount);
  return { usage, scoped: next.scoped };
}
