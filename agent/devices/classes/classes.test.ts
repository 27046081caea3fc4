import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deviceClass, deviceClassesMap, deviceClassesOf } from '#api/devices/device-class.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryState } from '#agent/pods/testing.ts';
import { Inventory } from '../inventory.ts';
import { ClassSource } from './class-source.ts';
import { DeviceClasses } from './classes.ts';
import { findDevices } from './find.ts';
import type { HostTree } from './properties.ts';

let dir: string;
let tree: HostTree;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-classes-'));
  tree = { sys: join(dir, 'sys'), dev: join(dir, 'dev'), udev: join(dir, 'udev') };
  for (const folder of [...Object.values(tree) as string[], join(tree.sys, 'devices')]) await mkdir(folder, { recursive: true });
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

async function files(folder: string, content: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(content)) await writeFile(join(folder, name), `${text}\n`);
}

/** As sysfs shows a device: its folder below that of the hardware, and a name for it below the class. */
async function device(hardware: string, subsystem: string, name: string, uevent: Readonly<Record<string, string>>, listed = `class/${subsystem}`): Promise<void> {
  const folder = join(tree.sys, 'devices', hardware, subsystem, name);
  await files(folder, { uevent: Object.entries(uevent).map(([key, value]) => `${key}=${value}`).join('\n') });
  await symlink(join(tree.sys, 'devices', hardware), join(folder, 'device'));
  await mkdir(join(tree.sys, listed), { recursive: true });
  await symlink(join(tree.sys, 'class', subsystem), join(folder, 'subsystem')).catch(() => undefined);
  await symlink(folder, join(tree.sys, listed, name));
}

async function usbSerial(port: string, name: string, minor: number, serial?: string): Promise<void> {
  const usb = `pci0/usb1/${port}`;
  await files(join(tree.sys, 'devices', usb), { idVendor: '10c4', idProduct: 'ea60', manufacturer: 'Silicon Labs', product: 'CP2102 Bridge', ...(serial !== undefined && { serial }) });
  await files(join(tree.sys, 'devices', usb, `${port}:1.0`), { bInterfaceNumber: '00', uevent: 'DRIVER=cp210x' });
  await device(`${usb}/${port}:1.0`, 'tty', name, { MAJOR: '188', MINOR: String(minor), DEVNAME: name });
}

describe('devices of a class', () => {
  const find = (name: string, value: object = {}) => findDevices(tree, deviceClass(name, value));

  it('are known by their hardware, without udev, wherever they are plugged in', async () => {
    await usbSerial('1-1', 'ttyUSB0', 0, '0001');
    await usbSerial('1-2', 'ttyUSB1', 1);
    await files(join(tree.sys, 'devices/pci0/usb1'), { idVendor: '1d6b', serial: '0000:00:14.0' });
    await files(join(tree.sys, 'devices/pci0'), { numa_node: '1' });
    await device('platform/serial8250', 'tty', 'ttyS0', { MAJOR: '4', MINOR: '64', DEVNAME: 'ttyS0' });
    await files(join(tree.sys, 'devices/platform/serial8250/tty/ttyS0'), { type: '0' });
    const all = await find('serial', { match: { ID_VENDOR_ID: '10c4', ID_VENDOR: 'Silicon*' } });
    expect(all).toEqual([
      { id: 'usb-10c4-ea60-0001-if00', nodes: [{ path: join(tree.dev, 'ttyUSB0'), target: '/dev/ttyUSB0' }], numbers: 'ttyUSB0=188:0', numaNodes: [1] },
      { id: 'usb-1-2-if00', nodes: [{ path: join(tree.dev, 'ttyUSB1'), target: '/dev/ttyUSB1' }], numbers: 'ttyUSB1=188:1', numaNodes: [1] },
    ]);
    expect((await find('serial')).map(({ id }) => id)).toHaveLength(2);
    expect(await find('serial', { match: { ID_VENDOR_ID: '0403' } })).toEqual([]);
    expect(await find('serial', { match: { ID_SERIAL_SHORT: '000?' } })).toHaveLength(1);
  });

  it('are known by what udev says, where there is one', async () => {
    await usbSerial('1-1', 'ttyUSB0', 0, '0001');
    await writeFile(join(tree.udev, 'c188:0'), 'S:serial/by-id/usb-Silicon_Labs_0001-if00\nS:other\nE:ID_VENDOR_ID=10c4\nE:ID_MODEL=Better_Name\n');
    const [found] = await find('serial', { match: { ID_MODEL: 'Better_Name' } });
    expect(found).toEqual({
      id: 'usb-Silicon_Labs_0001-if00', numbers: 'ttyUSB0=188:0', numaNodes: [],
      nodes: [{ path: join(tree.dev, 'ttyUSB0'), target: '/dev/ttyUSB0' }, { path: join(tree.dev, 'ttyUSB0'), target: '/dev/serial/by-id/usb-Silicon_Labs_0001-if00' }],
    });
  });

  it('are whole: all nodes of a camera or a GPU', async () => {
    await files(join(tree.sys, 'devices/pci0/0000:00:02.0'), { uevent: 'DRIVER=i915\nPCI_ID=8086:5917\nPCI_SLOT_NAME=0000:00:02.0' });
    await device('pci0/0000:00:02.0', 'drm', 'card0', { MAJOR: '226', MINOR: '0', DEVNAME: 'dri/card0' });
    await device('pci0/0000:00:02.0', 'drm', 'renderD128', { MAJOR: '226', MINOR: '128', DEVNAME: 'dri/renderD128' });
    await device('pci0/0000:00:02.0', 'drm', 'card0-HDMI-A-1', {});
    await files(join(tree.sys, 'devices/usb1/1-3'), { idVendor: '046d', idProduct: '0825' });
    await device('usb1/1-3', 'video4linux', 'video0', { MAJOR: '81', MINOR: '0', DEVNAME: 'video0' });
    await device('usb1/1-3', 'video4linux', 'video1', { MAJOR: '81', MINOR: '1', DEVNAME: 'video1' });
    await device('gpio0', 'gpio', 'gpiochip0', { MAJOR: '254', MINOR: '0', DEVNAME: 'gpiochip0' }, 'bus/gpio/devices');
    await files(join(tree.sys, 'devices/usb1/1-4'), { idVendor: '0bda', idProduct: '2838', bDeviceClass: '00', uevent: 'DEVNAME=bus/usb/001/004\nMAJOR=189\nMINOR=3' });
    await files(join(tree.sys, 'devices/usb1'), { idVendor: '1d6b', bDeviceClass: '09', uevent: 'DEVNAME=bus/usb/001/001\nMAJOR=189\nMINOR=0' });
    await mkdir(join(tree.sys, 'bus/usb/devices'), { recursive: true });
    for (const name of ['usb1/1-4', 'usb1']) await symlink(join(tree.sys, 'devices', name), join(tree.sys, 'bus/usb/devices', name.replace('/', '_')));
    const targets = async (type: string, match = {}): Promise<string[]> => (await find('x', { type, match })).map(({ id, nodes }) => `${id} ${nodes.map(({ target }) => target).join()}`);
    expect(await targets('dri', { DRIVER: 'i915', PCI_ID: '8086:*' })).toEqual(['pci-0000:00:02.0 /dev/dri/card0,/dev/dri/renderD128']);
    expect(await targets('video')).toEqual(['usb-1-3 /dev/video0,/dev/video1']);
    expect(await targets('gpio')).toEqual(['gpiochip0 /dev/gpiochip0']);
    expect(await targets('usb', { ID_VENDOR_ID: '0bda' })).toEqual(['usb-1-4 /dev/bus/usb/001/004']);
    expect(await targets('usb')).toHaveLength(1);
  });

  it('are this host\'s own, by path', async () => {
    const [zero] = await findDevices({ sys: '/sys', dev: '/dev', udev: '/none' }, deviceClass('zero', { paths: ['/dev/zer?', '/dev/no/such/*'] }));
    expect(zero).toEqual({ id: 'zero', nodes: [{ path: '/dev/zero', target: '/dev/zero' }], numbers: 'zero=1:5', numaNodes: [] });
  });
});

it('shares are spread, and a container is told where its devices are', async () => {
  const source = new ClassSource(deviceClass('my-port', { type: 'serial', shares: 2 }));
  const units = source.update(['a', 'b'].map((id) => ({ id, nodes: [{ path: `/dev/${id}`, target: `/dev/${id}` }], numbers: '', numaNodes: [] }))).map(({ id }) => id);
  expect(units).toEqual(['a::0', 'a::1', 'b::0', 'b::1']);
  expect(await source.prefer(units, [], 2)).toEqual(['a::0', 'b::0']);
  expect(await source.prefer(['a::1', 'b::0', 'b::1'], [], 1)).toEqual(['b::0']);
  expect(await source.allocate(['a::1'])).toMatchObject({ env: { CLEAT_DEVICES_MY_PORT: '/dev/a' }, devices: [{ hostPath: '/dev/a', containerPath: '/dev/a', permissions: 'rw' }] });
  source.update([]);
  await expect(source.allocate(['a::1'])).rejects.toMatchObject({ code: 'NotFound', message: 'device a of cleat.dev/my-port is not there now: waiting for it to be plugged in' });
});

it.each<[string, object, RegExp | undefined]>([
  ['serial', {}, undefined],
  ['Serial', {}, /DNS label/],
  ['gps', {}, /unknown type "gps": expected one of serial, video, dri, gpio, usb, path/],
  ['gps', { type: 'serial', vendor: 'x' }, /unknown field "vendor"/],
  ['gps', { paths: ['/etc/passwd'] }, /is no path below \/dev/],
  ['gps', { paths: ['/dev/../etc/passwd'] }, /is no path below \/dev/],
  ['gps', { type: 'serial', shares: 0 }, /shares must be/],
  ['gps', { type: 'serial', resource: 'cpu' }, /resource "cpu" is invalid/],
  ['gps', { type: 'serial', match: { A: 1 } }, /as text/],
])('judges class %s %j', (name, value, problem) => {
  const { classes, problems } = deviceClassesOf({ [name]: JSON.stringify(value) });
  if (problem) expect(problems.join()).toMatch(problem);
  else expect(classes).toEqual([{ name, type: 'serial', resource: `cleat.dev/${name}`, match: {}, paths: [], shares: 1 }]);
});

it('follows devices as they come and go, and classes as they change', async () => {
  const state = new MemoryState();
  const told: string[] = [];
  const inventory = new Inventory(systemClock, () => undefined);
  const stop = new AbortController();
  const running = new DeviceClasses({ state, sink: inventory, clock: systemClock, log: silentLog, tell: (reason, message) => { told.push(`${reason}: ${message}`); } }, tree).start(stop.signal);
  const classes = (data: Record<string, string>): void => { state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: deviceClassesMap, data }); };
  const untilCount = (resource: string, count: string | undefined): Promise<void> => vi.waitFor(() => { expect(inventory.amounts().allocatable[resource]).toBe(count); }, 10_000);
  classes({ serial: '{"match":{"ID_VENDOR_ID":"10c4"}}', bad: '{' });
  await untilCount('cleat.dev/serial', '0');
  expect(told).toEqual([expect.stringContaining('InvalidDeviceClass: in ConfigMap kube-system/cleat-device-classes: class "bad": ')]);
  await usbSerial('1-1', 'ttyUSB0', 0, '0001');
  await writeFile(join(tree.dev, 'ttyUSB0'), '');
  await untilCount('cleat.dev/serial', '1');
  await rm(join(tree.sys, 'class/tty/ttyUSB0'));
  await rm(join(tree.dev, 'ttyUSB0'));
  await untilCount('cleat.dev/serial', '0');
  await symlink(join(tree.sys, 'devices/pci0/usb1/1-1/1-1:1.0/tty/ttyUSB0'), join(tree.sys, 'class/tty/ttyUSB0'));
  await writeFile(join(tree.dev, 'ttyUSB0'), '');
  classes({ serial: '{"match":{"ID_VENDOR_ID":"10c4"},"shares":3}' });
  await untilCount('cleat.dev/serial', '3');
  classes({});
  await untilCount('cleat.dev/serial', '0');
  stop.abort();
  await running;
});
