import { glob, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { matches, type DeviceClass } from '#api/devices/device-class.ts';
import { entriesOf, sysDevice, text, type HostTree, type SysDevice } from './properties.ts';

/** One piece of hardware that a container can be given. */
export interface FoundDevice {
  /** The same when it is unplugged and plugged in again. */
  readonly id: string;
  /** Its nodes, below /dev, the same in a container. */
  readonly nodes: readonly { readonly path: string; readonly target: string }[];
  /** Their names and numbers, as the kernel has them now. */
  readonly numbers: string;
  readonly numaNodes: readonly number[];
}

const maxFound = 1000;

/** The devices of this host that belong to the class, by what the host says now. */
export async function findDevices(tree: HostTree, { type, match, paths }: DeviceClass): Promise<FoundDevice[]> {
  if (type === 'path') return byPath(tree, paths, match);
  const all = (await Promise.all((await candidates(tree)[type]()).map((path) => sysDevice(tree, path)))).filter((device) => device !== undefined);
  const fitting = all.filter(({ properties }) => matches(properties, match)).slice(0, maxFound);
  const groups = type === 'video' || type === 'dri' ? Map.groupBy(fitting, ({ folder }) => hardwareOf(folder)) : new Map(fitting.map((device) => [device.folder, [device]]));
  return distinct([...groups.values()].map((devices) => found(tree, devices)));
}

/** Folders below /sys where devices of a type are. */
function candidates({ sys }: HostTree): Record<Exclude<DeviceClass['type'], 'path'>, () => Promise<string[]>> {
  const below = async (folder: string, accept: (name: string, path: string) => boolean | Promise<boolean>): Promise<string[]> => {
    const list = (await entriesOf(join(sys, folder))).map((name) => ({ name, path: join(sys, folder, name) }));
    const accepted = await Promise.all(list.map(async ({ name, path }) => accept(name, path)));
    return list.filter((_item, i) => accepted[i]).map(({ path }) => path);
  };
  return {
    // Consoles have no hardware; ports of a PC that are not there are of type 0.
    serial: () => below('class/tty', async (_name, path) => await stat(join(path, 'device')).then(() => true, () => false) && await text(path, 'type') !== '0'),
    video: () => below('class/video4linux', () => true),
    dri: () => below('class/drm', (name) => /^(card|renderD)\d+$/.test(name)),
    gpio: () => below('bus/gpio/devices', (name) => name.startsWith('gpiochip')),
    // Not hubs: they are the host's.
    usb: () => below('bus/usb/devices', async (_name, path) => await text(path, 'idVendor') !== undefined && await text(path, 'bDeviceClass') !== '09'),
  };
}

/** A camera, or a GPU, has several nodes: they lie below the folder of the hardware. */
function hardwareOf(folder: string): string {
  return folder.replace(/\/(video4linux|drm)\/[^/]+$/, '');
}

function found({ dev }: HostTree, devices: readonly SysDevice[]): FoundDevice {
  const [first] = devices.toSorted((a, b) => a.devName.localeCompare(b.devName, 'en', { numeric: true }));
  const nodes = devices.flatMap(({ devName, links }) => {
    const path = join(dev, devName);
    return [{ path, target: join('/dev', devName) }, ...links.filter((link) => link.startsWith('serial/by-id/')).map((link) => ({ path, target: join('/dev', link) }))];
  });
  const numbers = devices.map(({ devName, properties }) => `${devName}=${properties['MAJOR'] ?? ''}:${properties['MINOR'] ?? ''}`).sort().join();
  return { id: first ? idOf(first) : '', nodes, numbers, numaNodes: first?.numaNodes ?? [] };
}

/** By what stays when it is plugged in again: its serial number, else where it is plugged in, else its name. */
function idOf({ properties, devName, links }: SysDevice): string {
  const byId = links.find((link) => link.startsWith('serial/by-id/'));
  if (byId !== undefined) return basename(byId);
  const { ID_VENDOR_ID: vendor, ID_MODEL_ID: model, ID_SERIAL_SHORT: serial, ID_USB_PORT: port, ID_USB_INTERFACE_NUM: number, PCI_SLOT_NAME: slot } = properties;
  const part = number === undefined ? '' : `-if${number}`;
  if (vendor !== undefined && serial !== undefined && serial !== '') return `usb-${vendor}-${model ?? ''}-${serial}${part}`.replaceAll(/[^\w.:-]/g, '_');
  if (port !== undefined) return `usb-${port}${part}`;
  return slot === undefined ? devName.replaceAll('/', '-') : `pci-${slot}`;
}

/** Two that claim to be the same are told apart by their order. */
function distinct(devices: readonly FoundDevice[]): FoundDevice[] {
  const seen = new Map<string, number>();
  return devices.map((device) => {
    const count = (seen.get(device.id) ?? 0) + 1;
    seen.set(device.id, count);
    return count === 1 ? device : { ...device, id: `${device.id}-${String(count)}` };
  });
}

async function byPath({ dev, sys, udev }: HostTree, patterns: readonly string[], match: DeviceClass['match']): Promise<FoundDevice[]> {
  const devices = new Map<string, FoundDevice>();
  for (const pattern of patterns) {
    for await (const path of glob(join(dev, relative('/dev', pattern)))) {
      const node = await stat(path).catch(() => undefined);
      if (devices.size >= maxFound || !node || !(node.isCharacterDevice() || node.isBlockDevice())) continue;
      const numbers = `${String(majorOf(node.rdev))}:${String(minorOf(node.rdev))}`;
      if (Object.keys(match).length > 0) {
        const known = await sysDevice({ dev, sys, udev }, join(sys, 'dev', node.isBlockDevice() ? 'block' : 'char', numbers));
        if (!known || !matches(known.properties, match)) continue;
      }
      const name = relative(dev, path);
      devices.set(path, { id: name.replaceAll('/', '-'), nodes: [{ path, target: join('/dev', name) }], numbers: `${name}=${numbers}`, numaNodes: [] });
    }
  }
  return [...devices.values()].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
}

/** As gnu_dev_major(3) and gnu_dev_minor(3) take them apart. */
function majorOf(rdev: number): number {
  return Number(((BigInt(rdev) >> 8n) & 0xfffn) | ((BigInt(rdev) >> 32n) & ~0xfffn));
}

function minorOf(rdev: number): number {
  return Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & ~0xffn));
}
