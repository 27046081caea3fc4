import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What a host tells of its own body; what it does not tell is absent. */
export interface Hardware {
  /** The hottest sensor of the processor, in degrees Celsius. */
  readonly celsius?: number;
  /** The firmware's bits of a Raspberry Pi; see `throttlingOf`. */
  readonly throttled?: number;
  /** The most worn disk. */
  readonly disk?: { readonly device: string; readonly wornPercent: number };
}

/** Reads a few small files, starts nothing. `root` is where /sys is below. */
export async function readHardware(root = '/'): Promise<Hardware> {
  const [celsius, throttled, disk] = await Promise.all([readTemperature(root), readThrottled(root), readWear(root)]);
  return { ...(celsius !== undefined && { celsius }), ...(throttled !== undefined && { throttled }), ...(disk && { disk }) };
}

/** Bit of the firmware's word, and what it says while it is set; 16 higher: what was so since the start. Source: Raspberry Pi's documentation of `vcgencmd get_throttled`. */
const throttlingBits: readonly (readonly [bit: number, what: string])[] = [[0, 'under-voltage'], [1, 'frequency capped'], [2, 'throttled'], [3, 'soft temperature limit']];

/** What slows a Raspberry Pi down now, and what did since it was started. */
export function throttlingOf(word: number): { readonly now: readonly string[]; readonly since: readonly string[] } {
  const set = (shift: number): string[] => throttlingBits.filter(([bit]) => (word >>> (bit + shift) & 1) === 1).map(([, what]) => what);
  return { now: set(0), since: set(16) };
}

async function readTemperature(root: string): Promise<number | undefined> {
  const folder = join(root, 'sys/class/thermal');
  const found: number[] = [];
  for (const zone of await list(folder)) {
    if (!zone.startsWith('thermal_zone') || !/cpu|soc|pkg|core|acpitz/i.test(await text(join(folder, zone, 'type')) ?? '')) continue;
    const milli = Number(await text(join(folder, zone, 'temp')) ?? Number.NaN);
    // Sensors that are not there say 0 or nonsense.
    if (milli > 0 && milli < 150_000) found.push(milli / 1000);
  }
  return found.length === 0 ? undefined : Math.max(...found);
}

async function readThrottled(root: string): Promise<number | undefined> {
  for (const path of ['sys/devices/platform/soc/soc:firmware/get_throttled', 'sys/devices/platform/axi/soc:firmware/get_throttled', 'sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled']) {
    const word = Number.parseInt(await text(join(root, path)) ?? '', 16);
    if (Number.isSafeInteger(word)) return word;
  }
  return undefined;
}

/** eMMC and newer SD cards tell their wear in steps of 10 %: 0x01 is up to 10 %, 0x0b more than was promised. Source: JEDEC JESD84-B51, 7.4.38. */
async function readWear(root: string): Promise<Hardware['disk']> {
  let worst: Hardware['disk'];
  for (const device of await list(join(root, 'sys/block'))) {
    const steps = (await text(join(root, 'sys/block', device, 'device/life_time')) ?? '').split(/\s+/).map((word) => Number.parseInt(word, 16)).filter((step) => step >= 1 && step <= 11);
    if (steps.length === 0) continue;
    const wornPercent = Math.max(...steps) * 10;
    if (!worst || wornPercent > worst.wornPercent) worst = { device, wornPercent };
  }
  return worst;
}

async function list(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

async function text(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then((content) => content.trim(), () => undefined);
}
