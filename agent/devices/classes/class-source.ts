import type { DeviceClass } from '#api/devices/device-class.ts';
import { StatusError } from '#common/errors.ts';
import { noParts, type ContainerParts, type Device, type DeviceSource } from '../types.ts';
import type { FoundDevice } from './find.ts';

const shareMark = '::';

/** The devices of one class: a container gets their nodes, and is told where they are. */
export class ClassSource implements DeviceSource {
  readonly fresh = true;
  readonly #class: DeviceClass;
  #found = new Map<string, FoundDevice>();

  constructor(deviceClass: DeviceClass) {
    this.#class = deviceClass;
  }

  /** What the host has now; resolves with the units that containers can be given. */
  update(found: readonly FoundDevice[]): Device[] {
    this.#found = new Map(found.map((device) => [device.id, device]));
    const { shares } = this.#class;
    return found.flatMap(({ id, numbers, numaNodes }) => Array.from({ length: shares }, (_, i) => ({ id: shares === 1 ? id : `${id}${shareMark}${String(i)}`, healthy: true, numaNodes, nodes: numbers })));
  }

  allocate(ids: readonly string[]): Promise<ContainerParts> {
    const devices: FoundDevice[] = [];
    for (const id of new Set(ids.map(baseOf))) {
      const device = this.#found.get(id);
      if (!device) return Promise.reject(new StatusError('NotFound', `device ${id} of ${this.#class.resource} is not there now: waiting for it to be plugged in`));
      devices.push(device);
    }
    const nodes = devices.flatMap((device) => device.nodes);
    return Promise.resolve({
      ...noParts,
      env: { [this.#variable]: [...new Set(nodes.map(({ target }) => target))].join(',') },
      devices: nodes.map(({ path, target }) => ({ hostPath: path, containerPath: target, permissions: 'rw' })),
    });
  }

  /** Devices that few others have: a container that asks for two means two. */
  readonly prefer = (available: readonly string[], mustInclude: readonly string[], size: number): Promise<readonly string[]> => {
    const chosen = [...mustInclude];
    const left = new Set(available.filter((id) => !chosen.includes(id)));
    const freeShares = Map.groupBy(available, baseOf);
    while (chosen.length < size && left.size > 0) {
      const taken = new Set(chosen.map(baseOf));
      const rank = (id: string): number => (taken.has(baseOf(id)) ? 1_000_000 : 0) - (freeShares.get(baseOf(id))?.length ?? 0);
      const [next = ''] = [...left].sort((a, b) => rank(a) - rank(b));
      chosen.push(next);
      left.delete(next);
    }
    return Promise.resolve(chosen);
  };

  /** `CLEAT_DEVICES_SERIAL=/dev/ttyUSB0,/dev/serial/by-id/...` */
  get #variable(): string {
    return `CLEAT_DEVICES_${this.#class.name.toUpperCase().replaceAll('-', '_')}`;
  }
}

function baseOf(id: string): string {
  return id.split(shareMark)[0] ?? id;
}
