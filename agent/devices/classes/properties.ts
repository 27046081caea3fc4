import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Where the host tells of its devices. Others than the usual ones are for tests. */
export interface HostTree {
  /** `/sys` */
  readonly sys: string;
  /** `/dev` */
  readonly dev: string;
  /** `/run/udev/data`; nothing is there on hosts without udev. */
  readonly udev: string;
}

export interface SysDevice {
  /** Its folder below /sys, without symbolic links. */
  readonly folder: string;
  /** Below /dev: `ttyUSB0`, `dri/card0`. */
  readonly devName: string;
  /** As udev names them. */
  readonly properties: Readonly<Record<string, string>>;
  /** Other names of it below /dev, such as `serial/by-id/usb-...`. */
  readonly links: readonly string[];
  readonly numaNodes: readonly number[];
}

/**
 * What is known of a device that has a node, from sysfs, and from udev where there is one: udev's word counts more, but
 * what people match by (ID_VENDOR_ID, ID_MODEL_ID, ID_SERIAL_SHORT ...) is there without it. Undefined for one that is
 * gone, or has no node.
 */
export async function sysDevice(tree: HostTree, path: string): Promise<SysDevice | undefined> {
  const folder = await realpath(path).catch(() => undefined);
  if (folder === undefined) return undefined;
  const own = await uevent(folder);
  const { DEVNAME: devName, MAJOR: major, MINOR: minor } = own;
  if (devName === undefined || major === undefined || minor === undefined) return undefined;
  const properties: Record<string, string> = {};
  const numaNodes: number[] = [];
  for (const above of await ancestors(tree, folder)) {
    for (const [key, value] of Object.entries(above === folder ? own : await uevent(above))) if (above === folder || inherited.has(key)) properties[key] ??= value;
    const numa = Number(await text(above, 'numa_node') ?? -1);
    if (numaNodes.length === 0 && numa >= 0) numaNodes.push(numa);
    // The nearest only: further up is the hub that it is plugged into, with a serial number of its own.
    if (properties['ID_BUS'] === undefined) for (const [key, value] of Object.entries(await bus(above))) properties[key] ??= value;
  }
  properties['SUBSYSTEM'] = basename(await readlink(join(folder, 'subsystem')).catch(() => ''));
  const udev = await udevRecord(tree, properties['SUBSYSTEM'] === 'block' ? 'b' : 'c', major, minor);
  return { folder, devName, properties: { ...properties, ...udev.properties, DEVNAME: join('/dev', devName) }, links: udev.links, numaNodes };
}

/** A device's own, and those that say what hardware it is. */
const inherited = new Set(['DRIVER', 'PCI_ID', 'PCI_SLOT_NAME', 'OF_NAME', 'OF_FULLNAME', 'OF_COMPATIBLE_0', 'HID_ID', 'HID_NAME']);

/** Names of entries of a folder; none where there is no such folder. */
export async function entriesOf(folder: string): Promise<string[]> {
  return (await readdir(folder).catch((): string[] => [])).sort();
}

/** The device's folder, and those above it that are devices. */
async function ancestors({ sys }: HostTree, folder: string): Promise<string[]> {
  const top = await realpath(join(sys, 'devices')).catch(() => sys);
  const found = [];
  for (let at = folder; at.startsWith(`${top}/`); at = dirname(at)) found.push(at);
  return found;
}

async function bus(folder: string): Promise<Record<string, string>> {
  const number = await text(folder, 'bInterfaceNumber');
  if (number !== undefined) return { ID_USB_INTERFACE_NUM: number };
  const vendor = await text(folder, 'idVendor');
  if (vendor === undefined) return {};
  const values: Record<string, string | undefined> = {
    ID_BUS: 'usb', ID_VENDOR_ID: vendor, ID_MODEL_ID: await text(folder, 'idProduct'), ID_REVISION: await text(folder, 'bcdDevice'), ID_SERIAL_SHORT: await text(folder, 'serial'),
    ID_VENDOR: plain(await text(folder, 'manufacturer')), ID_MODEL: plain(await text(folder, 'product')), ID_USB_PORT: basename(folder),
  };
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** As udev writes names. */
function plain(value: string | undefined): string | undefined {
  return value?.replaceAll(/[^\w#+.:=@-]+/g, '_');
}

async function uevent(folder: string): Promise<Record<string, string>> {
  return pairs(await text(folder, 'uevent') ?? '');
}

function pairs(lines: string): Record<string, string> {
  return Object.fromEntries(lines.split('\n').filter((line) => line.includes('=')).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** Source: systemd's src/libsystemd/sd-device: `E:` lines are properties, `S:` lines names below /dev. */
async function udevRecord({ udev }: HostTree, kind: string, major: string, minor: string): Promise<{ properties: Record<string, string>; links: string[] }> {
  const lines = (await text(udev, `${kind}${major}:${minor}`) ?? '').split('\n');
  const of = (letter: string): string[] => lines.filter((line) => line.startsWith(`${letter}:`)).map((line) => line.slice(2));
  return { properties: pairs(of('E').join('\n')), links: of('S') };
}

export async function text(folder: string, file: string): Promise<string | undefined> {
  const read = await readFile(join(folder, file), 'utf8').catch(() => undefined);
  return read?.trim();
}
