import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { Inventory } from './inventory.ts';
import type { PodAllocations } from './record.ts';
import { isAllowed, isNear, nearestNodes, TopologyAffinityError, type Topology } from './topology.ts';
import type { Device } from './types.ts';
import { mostAtOnce, type ContainerWants } from './wants.ts';

export interface DeviceChoiceDeps {
  readonly inventory: Inventory;
  readonly log: Log;
  readonly topology: Topology;
  /** What pods have, as it is at any time. */
  readonly pods: ReadonlyMap<string, PodAllocations>;
}

/** So many devices for one container. It must have those that containers before it leave to it. */
export interface Asked { readonly resource: string; readonly count: number; readonly reusable: ReadonlySet<string> }

/** Which devices a container should have. Notes nothing: who asks must do so before anything is waited for. */
export class DeviceChoice {
  readonly #deps: DeviceChoiceDeps;

  constructor(deps: DeviceChoiceDeps) {
    this.#deps = deps;
  }

  /** What the source would choose, or what the container must have anyway; what there is may have changed when it is known. */
  async preferred(asked: Asked, near: ReadonlySet<number> | undefined, signal: AbortSignal): Promise<readonly string[]> {
    const { inventory, log } = this.#deps;
    const { resource, count, reusable } = asked;
    const prefer = inventory.sourceOf(resource)?.prefer;
    const candidates = this.#candidates(asked);
    const first = candidates.filter(({ id }) => reusable.has(id)).map(({ id }) => id).slice(0, count);
    if (!prefer || count === first.length || count === candidates.length) return first;
    const nearby = near ? candidates.filter((device) => isNear(device, near)) : [];
    const offered = nearby.length >= count ? nearby : candidates;
    try {
      return [...first, ...await prefer([...new Set([...first, ...offered.map(({ id }) => id)])], first, count, signal)];
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ resource, err: messageOf(error) }, 'a device plugin does not say which devices it would choose; choosing without it');
      return first;
    }
  }

  /** Of what there is now: what the container must have first, then what is near, then what is preferred. */
  choose(asked: Asked, near: ReadonlySet<number> | undefined, preferred: readonly string[]): string[] {
    const { count, reusable } = asked;
    const rank = (device: Device): number => (reusable.has(device.id) ? 0 : (near && !isNear(device, near) ? 3 : 1) + (preferred.includes(device.id) ? 0 : 1));
    return this.#candidates(asked).toSorted((a, b) => rank(a) - rank(b)).slice(0, count).map(({ id }) => id);
  }

  /** What can be had now; rejects when it is not enough, in the kubelet's words. */
  #candidates({ resource, count, reusable }: Asked): Device[] {
    const healthy = [...this.#deps.inventory.devicesOf(resource).values()].filter((device) => device.healthy);
    if (healthy.length === 0) throw new StatusError('ServiceUnavailable', `no healthy devices present; cannot allocate unhealthy devices ${resource}`);
    const used = this.used(resource);
    const free = healthy.filter(({ id }) => reusable.has(id) || !used.has(id));
    if (free.length < count) throw new StatusError('ServiceUnavailable', `requested number of devices unavailable for ${resource}. Requested: ${String(count)}, Available: ${String(free.length)}`);
    return free;
  }

  /** By whatever pod but these. */
  used(resource: string, except?: ReadonlySet<string>): Set<string> {
    const used = new Set<string>();
    for (const [uid, containers] of this.#deps.pods) if (!except?.has(uid)) for (const own of containers.values()) for (const id of own.get(resource)?.ids ?? []) used.add(id);
    return used;
  }

  /** What is nearest to all that these containers have and want. Throws where that is not near enough. */
  nearest(uid: string, wants: readonly ContainerWants[], reusable: ReadonlyMap<string, ReadonlySet<string>>): ReadonlySet<number> | undefined {
    const { topology: { policy }, inventory } = this.#deps;
    if (policy === 'none') return undefined;
    const demands = [...mostAtOnce(wants)].map(([resource, count]) => {
      const [all, used] = [[...inventory.devicesOf(resource).values()], this.used(resource)];
      const own = new Set([...reusable.get(resource) ?? [], ...wants.flatMap(({ container }) => this.#deps.pods.get(uid)?.get(container)?.get(resource)?.ids ?? [])]);
      return { count, all, available: all.filter(({ id, healthy }) => own.has(id) || (healthy && !used.has(id))), given: all.filter(({ id }) => own.has(id)) };
    });
    const near = nearestNodes(demands);
    if (!isAllowed(policy, near, demands)) throw new TopologyAffinityError();
    return near;
  }
}
