import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { freeze } from '#api/meta/equal.ts';
import { keyOf, type KubeObject } from '#api/meta/object.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { StoreInformer } from '#controlplane/cache/store-informer.ts';
import type { Indexes, Informer, InformerHandler } from '#controlplane/cache/types.ts';
import type { RemoteService } from './api-services.ts';
import type { RemoteObjects } from './remote-objects.ts';

export interface RemoteInformerDeps {
  /** Loaded with the first server that there is. */
  readonly objects: () => Promise<RemoteObjects>;
  readonly clock: Clock;
  readonly log: Log;
  /** The service that answers for the resource now; undefined while none does. */
  readonly service: () => RemoteService | 'unavailable' | undefined;
  /** Resolves at the next change of that. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
}

const retry = { baseMs: 1000, maxMs: 60_000, jitter: 0.2 };
/** A watch that lasted so long was well: its end is no failure. */
const healthyMs = 10_000;
const watchSeconds = 300;
const graceSeconds = 30;

/** A copy of what another server keeps of one resource: listed, then watched, and listed again whenever that breaks. */
export class RemoteInformer implements Informer<KubeObject> {
  readonly #copy: StoreInformer<KubeObject>;
  readonly #deps: RemoteInformerDeps;
  readonly #resource: Resource;

  constructor(deps: RemoteInformerDeps, resource: Resource) {
    this.#deps = deps;
    this.#resource = resource;
    this.#copy = new StoreInformer<KubeObject>({ log: deps.log }, { prefix: '', resource: qualifiedName(resource) });
  }

  get(namespace: string | undefined, name: string): KubeObject | undefined { return this.#copy.get(namespace, name); }
  list(namespace?: string): readonly KubeObject[] { return this.#copy.list(namespace); }
  by(index: string, value: string): readonly KubeObject[] { return this.#copy.by(index, value); }
  subscribe(handler: InformerHandler<KubeObject>): () => void { return this.#copy.subscribe(handler); }
  addIndexes(indexes: Indexes<KubeObject>): void { this.#copy.addIndexes(indexes); }

  /** At once: nobody waits for a server that may be away for good. */
  synced(): Promise<void> { return Promise.resolve(); }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; ;) {
      const service = this.#deps.service();
      if (service === undefined || service === 'unavailable') {
        // What nobody serves is not there; of a server that is away its objects stay known.
        if (service === undefined) this.#copy.replace(new Map());
        await this.#deps.changed(signal);
        continue;
      }
      const begun = this.#deps.clock.now();
      try {
        await this.#follow(service, signal);
      } catch (error) {
        if (isAbort(error, signal)) throw error;
        if (!isStatus(error, 'Expired', 'Gone')) this.#deps.log.debug({ resource: qualifiedName(this.#resource), err: messageOf(error) }, 'objects of another API server cannot be followed; trying again');
      }
      signal.throwIfAborted();
      failures = this.#deps.clock.now() - begun > healthyMs ? 1 : failures + 1;
      await this.#deps.clock.sleep(backoffMs(retry, failures, Math.random), signal);
    }
  }

  async #follow(service: RemoteService, signal: AbortSignal): Promise<void> {
    const objects = await this.#deps.objects();
    const { items, resourceVersion } = await objects.list(service, this.#resource, undefined, {}, signal);
    this.#copy.replace(new Map(items.map((item) => [keyOf(item), freeze(item)])));
    for (let from = resourceVersion, begun = -Infinity; this.#deps.service() === service;) {
      // One that ends at once has nothing to say; what is there is then asked for anew, in a while.
      if (this.#deps.clock.now() - begun < healthyMs) return;
      begun = this.#deps.clock.now();
      // The other end may be gone without a word.
      const end = AbortSignal.any([signal, AbortSignal.timeout((watchSeconds + graceSeconds) * 1000)]);
      for await (const { type, object } of objects.watch(service, this.#resource, { resourceVersion: from, timeoutSeconds: watchSeconds }, end)) {
        from = object.metadata?.resourceVersion ?? from;
        if (type === 'DELETED') this.#copy.apply(keyOf(object), undefined);
        else if (type !== 'BOOKMARK') this.#copy.apply(keyOf(object), freeze(object));
      }
    }
  }
}
