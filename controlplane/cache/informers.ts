import type { KubeObject } from '#api/meta/object.ts';
import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { backoffMs, type BackoffConfig } from '#common/backoff.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort, TaskGroup, untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store, StoreEvent } from '#controlplane/store/types.ts';
import { SharedObjects } from './shared-objects.ts';
import { StoreInformer } from './store-informer.ts';
import type { Indexes, Informer } from './types.ts';

export interface InformersDeps {
  readonly store: Store;
  readonly log: Log;
  readonly clock?: Clock;
  /** Yields 0 to 1, for jitter. */
  readonly random?: () => number;
  /** Shared with whoever else parses stored bytes; its own when absent. */
  readonly objects?: SharedObjects;
}

const retry: BackoffConfig = { baseMs: 100, maxMs: 10_000, jitter: 0.5 };

/** One informer per resource, shared by all that ask; each lists once, then watches the store. */
export class Informers implements Runnable {
  readonly #deps: Required<InformersDeps>;
  readonly #tasks: TaskGroup;
  readonly #informers = new Map<string, StoreInformer<KubeObject>>();
  #signal: AbortSignal | undefined;

  constructor(deps: InformersDeps) {
    const log = deps.log.child({ component: 'informers' });
    this.#deps = { clock: systemClock, random: Math.random, objects: new SharedObjects(), ...deps, log };
    this.#tasks = new TaskGroup(log);
  }

  /**
   * The shared informer of `resource`. Its indexes are added to those it has; one name must mean one
   * function. Made after `start`, it starts at once.
   */
  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T> {
    const prefix = storePrefix(resource);
    let shared = this.#informers.get(prefix) as StoreInformer<T> | undefined;
    if (!shared) {
      shared = new StoreInformer<T>({ log: this.#deps.log }, { prefix, resource: qualifiedName(resource) });
      this.#informers.set(prefix, shared as unknown as StoreInformer<KubeObject>);
      if (this.#signal) this.#run(shared, this.#signal);
    }
    if (indexes) shared.addIndexes(indexes);
    return shared;
  }

  /**
   * What is held of a resource anyway, by key and revision, so that stored bytes need not be parsed to look into them;
   * undefined where no informer has it, or has it at another revision. The objects are frozen, and as they are stored.
   */
  known(resource: Pick<Resource, 'group' | 'plural'>): ((key: string, modRevision: number) => KubeObject | undefined) | undefined {
    const shared = this.#informers.get(storePrefix(resource));
    return shared && ((key, modRevision) => {
      const object = shared.at(key);
      return Number(object?.metadata?.resourceVersion) === modRevision ? object : undefined;
    });
  }

  /** The frozen object in stored bytes; parsed once for all who hold it. */
  cachedObject<T extends KubeObject>(source: Pick<StoreEvent, 'value'>): T {
    return this.#deps.objects.parse<T>(source.value);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const informer of this.#informers.values()) this.#run(informer, signal);
    await untilAborted(signal);
    await this.#tasks.drain();
  }

  #run<T extends KubeObject>(informer: StoreInformer<T>, signal: AbortSignal): void {
    this.#tasks.run(`informer ${informer.prefix}`, signal, () => this.#follow(informer, signal));
  }

  /** Lists and watches until the signal aborts; lists again whenever the watch cannot go on. */
  async #follow<T extends KubeObject>(informer: StoreInformer<T>, signal: AbortSignal): Promise<void> {
    const { store, clock, random, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const { entries, revision } = await store.list({ prefix: informer.prefix });
        if (signal.aborted) return;
        informer.replace(new Map(entries.flatMap(({ key, value }) => this.#object<T>(key, value))));
        failures = 0;
        for await (const events of store.watch({ prefix: informer.prefix, after: revision, signal })) {
          for (const event of events) this.#apply(informer, event);
        }
        failures++;
      } catch (error) {
        if (isAbort(error, signal)) return;
        failures++;
        if (!isStatus(error, 'Expired')) log.warn({ prefix: informer.prefix, err: messageOf(error), failures }, 'informer lost the store; listing again');
      }
      if (!signal.aborted) await clock.sleep(backoffMs(retry, Math.max(1, failures), random), signal);
    }
  }

  #apply<T extends KubeObject>(informer: StoreInformer<T>, event: StoreEvent): void {
    if (event.type === 'delete') informer.apply(event.key, undefined);
    else for (const [key, object] of this.#object<T>(event.key, event.value)) informer.apply(key, object);
  }

  /** Nothing, and a line in the log, when the bytes cannot be read: one bad object must not stop the others. */
  #object<T extends KubeObject>(key: string, value: Uint8Array): [string, T][] {
    try {
      return [[key, this.#deps.objects.parse<T>(value)]];
    } catch (error) {
      this.#deps.log.error({ key, err: messageOf(error) }, 'stored object is not JSON; it is left out');
      return [];
    }
  }
}
