import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { Limit } from '#common/limit.ts';
import type { Log } from '#common/log.ts';
import type { Rejection } from '#agent/pods/spec/admission.ts';
import { DeviceChoice } from './choice.ts';
import type { Inventory } from './inventory.ts';
import type { Allocation, DeviceState, PodAllocations } from './record.ts';
import { TopologyAffinityError, type Topology } from './topology.ts';
import { joinedParts, noParts, type ContainerParts, type DeviceHealth, type DeviceSource } from './types.ts';
import { mostAtOnce, wantsOf, type ContainerWants } from './wants.ts';

export interface AllocatorDeps {
  readonly inventory: Inventory;
  readonly clock: Clock;
  readonly log: Log;
  /** Writes down what pods have; resolved when it is on disk. */
  readonly save: () => Promise<void>;
  readonly bootId: string;
  readonly topology: Topology;
}

/** Plugins need a moment to find this agent, and pods that are being ended to end: a pod that could have its devices then waits so long. */
const patienceMs = 60_000;

type Containers = Map<string, Map<string, Allocation>>;

/** Devices that are a container's. Those that it did not have before are still to be asked for. */
interface Taken { readonly own: Map<string, Allocation>; readonly resource: string; readonly ids: readonly string[]; readonly isNew: boolean }

/** Who has which device. Decides at once and without waiting, so that two pods never get the same; asks the source then. */
export class Allocator {
  readonly #deps: AllocatorDeps;
  readonly #beganMs: number;
  readonly #pods = new Map<string, Containers>();
  readonly #choice: DeviceChoice;
  /** Pods that are being admitted, each once. */
  readonly #admitting = new Map<string, Promise<Rejection | undefined>>();
  readonly #ending = new Set<string>();
  readonly #waiting = new Set<() => void>();
  /** By resource: who chooses of its devices now, and who does next. */
  readonly #turns = new Map<string, Limit>();

  constructor(deps: AllocatorDeps, recorded: DeviceState | undefined) {
    this.#deps = deps;
    this.#beganMs = deps.clock.monotonic();
    this.#choice = new DeviceChoice({ ...deps, pods: this.#pods });
    // What a source said in another boot is asked again: the host was another then.
    const keep = (allocation: Allocation): Allocation => (recorded?.bootId === deps.bootId ? allocation : { ids: allocation.ids });
    for (const [uid, containers] of recorded?.pods ?? []) {
      this.#pods.set(uid, new Map([...containers].map(([name, own]) => [name, new Map([...own].map(([resource, allocation]) => [resource, keep(allocation)]))])));
    }
  }

  get pods(): ReadonlyMap<string, PodAllocations> { return this.#pods; }

  /** Devices came or went, or a pod did: whoever waits looks again. */
  poke(): void {
    const waiting = [...this.#waiting];
    for (const look of waiting) look();
  }

  async admit(pod: Pod, signal: AbortSignal): Promise<Rejection | undefined> {
    const uid = pod.metadata?.uid ?? '';
    const wants = this.#managed(wantsOf(pod));
    if (wants.length === 0) return undefined;
    const running = this.#admitting.get(uid);
    if (running) return running;
    const work = this.#admit(uid, wants, signal).finally(() => { this.#admitting.delete(uid); });
    this.#admitting.set(uid, work);
    return work;
  }

  async parts(pod: Pod, container: string, signal: AbortSignal): Promise<ContainerParts | undefined> {
    const uid = pod.metadata?.uid ?? '';
    const [wants] = this.#managed(wantsOf(pod)).filter((own) => own.container === container);
    if (!wants) return undefined;
    const all: ContainerParts[] = [];
    for (const [resource, count] of wants.counts) {
      // One that began before anybody spoke for its devices gets them now.
      if (!this.#of(uid, container)?.has(resource)) {
        await this.#ask([await this.#inTurn([resource], () => this.#take(uid, wants, resource, count, new Map(), () => undefined, signal), signal)], signal);
        await this.#deps.save();
      }
      all.push(await this.#partsOf(uid, container, resource, signal));
    }
    return all.reduce(joinedParts, noParts);
  }

  outdated(uid: string): ReadonlySet<string> {
    const isOutdated = ([resource, { ids, nodes }]: [string, Allocation]): boolean => {
      const now = nodes === undefined ? undefined : this.#nodesOf(resource, ids);
      return now !== undefined && now !== nodes;
    };
    return new Set([...this.#pods.get(uid) ?? []].filter(([, own]) => [...own].some(isOutdated)).map(([container]) => container));
  }

  health(uid: string): ReadonlyMap<string, readonly DeviceHealth[]> {
    const { inventory } = this.#deps;
    const of = (resource: string, id: string): DeviceHealth['resources'][number] => {
      const device = inventory.sourceOf(resource) ? inventory.devicesOf(resource).get(id) : undefined;
      return { resourceID: id, health: device === undefined ? 'Unknown' : device.healthy ? 'Healthy' : 'Unhealthy' };
    };
    return new Map([...this.#pods.get(uid) ?? []].map(([container, own]) => [container, [...own].map(([resource, { ids }]) => ({ name: resource, resources: ids.map((id) => of(resource, id)) }))]));
  }

  ending(uid: string): void {
    if (this.#pods.has(uid)) this.#ending.add(uid);
  }

  release(uid: string): void {
    this.#ending.delete(uid);
    if (!this.#pods.delete(uid)) return;
    this.#deps.save().catch((error: unknown) => { this.#deps.log.warn({ err: messageOf(error) }, 'it cannot be written down that devices are free again; done with the next change'); });
    this.poke();
  }

  retain(uids: ReadonlySet<string>): void {
    for (const uid of this.#pods.keys()) if (!uids.has(uid)) this.release(uid);
  }

  async #admit(uid: string, wants: readonly ContainerWants[], signal: AbortSignal): Promise<Rejection | undefined> {
    const had = this.#pods.has(uid);
    try {
      await this.#ask(await this.#reserve(uid, wants, signal), signal);
      await this.#deps.save();
      return undefined;
    } catch (error) {
      if (!had) this.release(uid);
      signal.throwIfAborted();
      if (error instanceof TopologyAffinityError) return { reason: error.name, message: error.message };
      return { reason: 'UnexpectedAdmissionError', message: `Allocate failed due to ${messageOf(error)}, which is unexpected` };
    }
  }

  /**
   * For all containers before any source is asked for them, and one pod after the other where they want the same, as the
   * kubelet does it: nobody comes between two containers of a pod and takes what is near to the first. Waits while
   * somebody who must still come, or go, stands in the way.
   */
  async #reserve(uid: string, wants: readonly ContainerWants[], signal: AbortSignal): Promise<readonly Taken[]> {
    const { clock } = this.#deps;
    const [counts, untilMs] = [mostAtOnce(wants), clock.monotonic() + patienceMs];
    const mustWait = (): boolean => clock.monotonic() < untilMs && this.#isInTheWay(uid, counts);
    for (;;) {
      while (mustWait()) await this.#nextPoke(untilMs, signal);
      const taken = await this.#inTurn([...counts.keys()], async () => (mustWait() ? undefined : this.#takeAll(uid, wants, signal)), signal);
      if (taken) return taken;
    }
  }

  /** A plugin that takes its time to say what it would choose keeps others waiting who want of the same, and nobody else. */
  #inTurn<T>(resources: readonly string[], work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turnOf = (resource: string): Limit => {
      const turn = this.#turns.get(resource) ?? new Limit(1);
      this.#turns.set(resource, turn);
      return turn;
    };
    // Always in the same order, so that no two wait for each other.
    return resources.toSorted().reduceRight((next, resource) => () => turnOf(resource).run(next, signal), work)();
  }

  async #takeAll(uid: string, wants: readonly ContainerWants[], signal: AbortSignal): Promise<readonly Taken[]> {
    const all: Taken[] = [];
    const reusable = new Map<string, Set<string>>();
    try {
      for (const own of wants) {
        const near = (): ReadonlySet<number> | undefined => this.#choice.nearest(uid, this.#deps.topology.scope === 'pod' ? wants : [own], reusable);
        for (const [resource, count] of own.counts) {
          const taken = await this.#take(uid, own, resource, count, reusable, near, signal);
          all.push(taken);
          const left = reusable.get(resource) ?? new Set();
          for (const id of taken.ids) if (own.passesOn) left.add(id); else left.delete(id);
          reusable.set(resource, left);
        }
      }
      return all;
    } catch (error) {
      this.#giveBack(all);
      throw error;
    }
  }

  /** The devices are the container's from now on, before the source is asked for them. */
  async #take(uid: string, { container }: ContainerWants, resource: string, count: number, reusable: ReadonlyMap<string, ReadonlySet<string>>, near: () => ReadonlySet<number> | undefined, signal: AbortSignal): Promise<Taken> {
    const present = this.#of(uid, container)?.get(resource);
    if (present && present.ids.length !== count) throw new StatusError('Invalid', `pod "${uid}" container "${container}" changed request for resource "${resource}" from ${String(present.ids.length)} to ${String(count)}`);
    if (present) return { own: this.#own(uid, container), resource, ids: present.ids, isNew: false };
    this.#sourceOf(resource);
    const asked = { resource, count, reusable: reusable.get(resource) ?? new Set<string>() };
    const preferred = await this.#choice.preferred(asked, near(), signal);
    // From here to where it is noted nothing is waited for. What there is may have changed until now.
    const ids = this.#choice.choose(asked, near(), preferred);
    const own = this.#own(uid, container);
    own.set(resource, { ids });
    return { own, resource, ids, isNew: true };
  }

  /** What a source does not give, or is not asked for any more, is free again. */
  async #ask(taken: readonly Taken[], signal: AbortSignal): Promise<void> {
    const asked = taken.filter(({ isNew }) => isNew);
    for (const [at, { own, resource, ids }] of asked.entries()) {
      try {
        const source = this.#sourceOf(resource);
        if (!source.fresh) own.set(resource, { ids, parts: await source.allocate(ids, signal) });
      } catch (error) {
        this.#giveBack(asked.slice(at));
        throw error;
      }
    }
  }

  #giveBack(taken: readonly Taken[]): void {
    for (const { own, resource, isNew } of taken) if (isNew) own.delete(resource);
    this.poke();
  }

  #sourceOf(resource: string): DeviceSource {
    const source = this.#deps.inventory.sourceOf(resource);
    if (!source) throw new StatusError('NotFound', `cannot allocate unregistered device ${resource}`);
    return source;
  }

  /** Devices that are asked for may still come, or will soon be free. */
  #isInTheWay(uid: string, counts: ReadonlyMap<string, number>): boolean {
    const { clock, inventory } = this.#deps;
    return [...counts].some(([resource, count]) => {
      const healthy = [...inventory.devicesOf(resource).values()].filter((device) => device.healthy);
      if (healthy.length < count) return clock.monotonic() < this.#beganMs + patienceMs;
      const [used, kept] = [this.#choice.used(resource, new Set([uid])), this.#choice.used(resource, new Set([...this.#ending, uid]))];
      const free = (taken: ReadonlySet<string>): number => healthy.filter(({ id }) => !taken.has(id)).length;
      return free(used) < count && free(kept) >= count;
    });
  }

  async #nextPoke(untilMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const look = (): void => { resolve(undefined); };
    this.#waiting.add(look);
    signal.addEventListener('abort', look, { once: true });
    const cancel = this.#deps.clock.after(untilMs - this.#deps.clock.monotonic(), look);
    try {
      await promise;
    } finally {
      cancel();
      this.#waiting.delete(look);
      signal.removeEventListener('abort', look);
    }
    signal.throwIfAborted();
  }

  async #partsOf(uid: string, container: string, resource: string, signal: AbortSignal): Promise<ContainerParts> {
    const source = this.#deps.inventory.sourceOf(resource);
    const { ids, parts } = this.#of(uid, container)?.get(resource) ?? { ids: [], parts: noParts };
    if (source?.fresh) return this.#partsNow(source, uid, container, resource, ids, signal);
    // What it said before holds, also while it is not there to say it again.
    const known = parts ?? await this.#askAgain(uid, container, resource, ids, signal);
    await source?.prepare?.(ids, signal).catch((error: unknown) => {
      throw new StatusError('NotFound', `device plugin PreStartContainer rpc failed with err: ${messageOf(error)}`, { cause: error });
    });
    return known;
  }

  async #partsNow(source: DeviceSource, uid: string, container: string, resource: string, ids: readonly string[], signal: AbortSignal): Promise<ContainerParts> {
    const parts = await source.allocate(ids, signal);
    const nodes = this.#nodesOf(resource, ids);
    if (nodes !== undefined && nodes !== this.#of(uid, container)?.get(resource)?.nodes) {
      this.#own(uid, container).set(resource, { ids, nodes });
      await this.#deps.save();
    }
    return parts;
  }

  /** Undefined while one of them is not there, or nobody knows. */
  #nodesOf(resource: string, ids: readonly string[]): string | undefined {
    const devices = this.#deps.inventory.devicesOf(resource);
    const nodes = ids.map((id) => devices.get(id)?.nodes);
    return nodes.includes(undefined) ? undefined : nodes.join(' ');
  }

  /** After a boot: for the same devices. */
  async #askAgain(uid: string, container: string, resource: string, ids: readonly string[], signal: AbortSignal): Promise<ContainerParts> {
    const { inventory, save } = this.#deps;
    const source = inventory.sourceOf(resource);
    if (!source) throw new StatusError('NotFound', `waiting for the device plugin of ${resource} to register`);
    const absent = ids.find((id) => !inventory.devicesOf(resource).get(id)?.healthy);
    if (absent !== undefined) throw new StatusError('NotFound', `waiting for device ${absent} of ${resource}, which the pod had before this host was booted and which is not there, or not healthy, now`);
    const parts = await source.allocate(ids, signal).catch((error: unknown) => {
      throw new StatusError('NotFound', `Allocate failed due to ${messageOf(error)}`, { cause: error });
    });
    this.#own(uid, container).set(resource, { ids, parts });
    await save();
    return parts;
  }

  #managed(wants: readonly ContainerWants[]): ContainerWants[] {
    return wants.map((own) => ({ ...own, counts: new Map([...own.counts].filter(([resource]) => this.#deps.inventory.has(resource))) })).filter(({ counts }) => counts.size > 0);
  }

  #of(uid: string, container: string): Map<string, Allocation> | undefined {
    return this.#pods.get(uid)?.get(container);
  }

  #own(uid: string, container: string): Map<string, Allocation> {
    const containers: Containers = this.#pods.get(uid) ?? new Map<string, Map<string, Allocation>>();
    this.#pods.set(uid, containers);
    const own = containers.get(container) ?? new Map<string, Allocation>();
    containers.set(container, own);
    return own;
  }
}
