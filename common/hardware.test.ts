import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { readHardware, throttlingOf } from './hardware.ts';

const folders: string[] = [];
afterEach(async () => { for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true }); });

async function host(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'hardware-'));
  folders.push(root);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return root;
}

it('reads the hottest processor, the firmware of a Pi, and the most worn disk', async () => {
  const root = await host({
    'sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n', 'sys/class/thermal/thermal_zone0/temp': '61300\n',
    'sys/class/thermal/thermal_zone1/type': 'battery\n', 'sys/class/thermal/thermal_zone1/temp': '90000\n',
    'sys/devices/platform/soc/soc:firmware/get_throttled': '50005\n',
    'sys/block/mmcblk0/device/life_time': '0x01 0x03\n', 'sys/block/mmcblk1/device/life_time': '0x00 0x00\n', 'sys/block/sda/size': '1\n',
  });
  expect(await readHardware(root)).toEqual({ celsius: 61.3, throttled: 0x50005, disk: { device: 'mmcblk0', wornPercent: 30 } });
});

it('leaves out what a host does not tell', async () => {
  expect(await readHardware(await host({ 'sys/class/thermal/thermal_zone0/type': 'cpu', 'sys/class/thermal/thermal_zone0/temp': '0' }))).toEqual({});
});

it('tells what is so now from what was', () => {
  expect(throttlingOf(0x50001)).toEqual({ now: ['under-voltage'], since: ['under-voltage', 'throttled'] });
  expect(throttlingOf(0)).toEqual({ now: [], since: [] });
});
