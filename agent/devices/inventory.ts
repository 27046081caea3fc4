import type { Clock } from '#common/clock.ts';
import type { Device, DeviceAmounts, DeviceSink, DeviceSource } from './types.ts';

/** How long devices of a source that is gone still count as there, though not healthy. The kubelet's time. */
const graceMs = 300_000;

interface Resource {
  source: DeviceSource | undefined;
  /** Absent until the source has told of its devices. */
  devices: ReadonlyMap<string, Device>;
  /** Ends the time in which a source that is gone may come back. */
  cancelExpiry: (() => void) | undefined;
}

/** What devices there are, and who speaks for them. A resource that was ever there stays known: with none of it. */
export class Inventory implements DeviceSink {
  readonly #clock: Clock;
  /** `ids`: the resource came to have other devices, or none; otherwise only their health changed. */
  readonly #changed: (ids: boolean) => void;
  readonly #resources = new Map<string, Resource>();

  constructor(clock: Clock, changed: (ids: boolean) => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** What an earlier agent knew: until their sources come back these devices are not healthy. */
  restore(resources: ReadonlyMap<string, readonly string[]>): void {
    for (const [name, ids] of resources) {
      this.#resources.set(name, { source: undefined, devices: new Map(ids.map((id) => [id, { id, healthy: false, numaNodes: [] }])), cancelExpiry: this.#expiry(name) });
    }
  }

  offer(name: string, source: DeviceSource): void {
    const known = this.#resources.get(name);
    known?.cancelExpiry?.();
    // None is given away before the source itself has said that it is there.
    this.#resources.set(name, { source, devices: unhealthy(known?.devices), cancelExpiry: undefined });
    if (!known) this.#changed(true);
  }

  update(name: string, source: DeviceSource, devices: readonly Device[]): void {
    const resource = this.#resources.get(name);
    if (resource?.source !== source) return;
    const before = resource.devices;
    resource.devices = new Map(devices.map((device) => [device.id, device]));
    const ids = before.size !== devices.length || devices.some(({ id }) => !before.has(id));
    if (ids || devices.some(({ id, healthy, nodes }) => before.get(id)?.healthy !== healthy || before.get(id)?.nodes !== nodes)) this.#changed(ids);
  }

  lose(name: string, source: DeviceSource, forGood = false): void {
    const resource = this.#resources.get(name);
    if (resource?.source !== source) return;
    resource.source = undefined;
    resource.devices = forGood ? new Map() : unhealthy(resource.devices);
    resource.cancelExpiry = forGood ? undefined : this.#expiry(name);
    this.#changed(forGood);
  }

  has(name: string): boolean { return this.#resources.has(name); }

  sourceOf(name: string): DeviceSource | undefined { return this.#resources.get(name)?.source; }

  devicesOf(name: string): ReadonlyMap<string, Device> { return this.#resources.get(name)?.devices ?? new Map(); }

  /** By resource, then by id. */
  all(): Map<string, ReadonlyMap<string, Device>> { return new Map([...this.#resources].map(([name, { devices }]) => [name, devices])); }

  /** For the record. */
  ids(): Map<string, readonly string[]> {
    return new Map([...this.#resources].map(([name, { devices }]) => [name, [...devices.keys()].sort()]));
  }

  /** All devices count, and those that are healthy can be given to pods. */
  amounts(): DeviceAmounts {
    const count = (accept: (device: Device) => boolean): Record<string, string> => Object.fromEntries([...this.#resources].map(([name, { devices }]) => [name, String([...devices.values()].filter(accept).length)]));
    return { capacity: count(() => true), allocatable: count(({ healthy }) => healthy) };
  }

  #expiry(name: string): () => void {
    return this.#clock.after(graceMs, () => {
      const resource = this.#resources.get(name);
      if (!resource || resource.source) return;
      resource.devices = new Map();
      this.#changed(true);
    });
  }
}

function unhealthy(devices: ReadonlyMap<string, Device> = new Map()): Map<string, Device> {
  return new Map([...devices].map(([id, device]) => [id, { ...device, healthy: false }]));
}
