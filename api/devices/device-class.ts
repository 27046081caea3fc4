import { dns1123Label } from '../meta/names.ts';
import { isRecord } from '../meta/json.ts';
import { isExtendedResource } from '../pod-spec/resources.ts';

/** The ConfigMap that every node is told of: each key is a class of devices, its value a DeviceClass as JSON. */
export const deviceClassesMap = { namespace: 'kube-system', name: 'cleat-device-classes' } as const;

/** What hosts are searched for. */
export const deviceTypes = ['serial', 'video', 'dri', 'gpio', 'usb', 'path'] as const;
export type DeviceType = (typeof deviceTypes)[number];

/** Devices of every host that look alike, as an extended resource. */
export interface DeviceClass {
  readonly name: string;
  readonly type: DeviceType;
  readonly resource: string;
  /** Properties that a device must have, as udev names them; `*` and `?` stand for anything and for one character. */
  readonly match: Readonly<Record<string, string>>;
  /** Of type `path`: absolute paths below /dev, with `*` and `?` in them. */
  readonly paths: readonly string[];
  /** How many containers may have one device at the same time. */
  readonly shares: number;
}

const maxShares = 1000;

/** All classes, and what is wrong with those that are none. */
export function deviceClassesOf(data: Readonly<Record<string, string>> | undefined): { readonly classes: DeviceClass[]; readonly problems: string[] } {
  const classes: DeviceClass[] = [];
  const problems: string[] = [];
  for (const [name, text] of Object.entries(data ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) {
    try {
      const found = deviceClass(name, JSON.parse(text));
      const other = classes.find(({ resource }) => resource === found.resource);
      if (other) throw new TypeError(`its resource ${found.resource} is that of class "${other.name}"`);
      classes.push(found);
    } catch (error) {
      problems.push(`class "${name}": ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { classes, problems };
}

/** With what is left out filled in. Throws a TypeError that says what is wrong. */
export function deviceClass(name: string, value: unknown): DeviceClass {
  const problem = dns1123Label(name);
  if (problem !== undefined) throw new TypeError(`the name must be a DNS label: ${problem}`);
  if (!isRecord(value)) throw new TypeError('expected a JSON object');
  const unknown = Object.keys(value).find((key) => !['type', 'resource', 'match', 'paths', 'shares'].includes(key));
  if (unknown !== undefined) throw new TypeError(`unknown field "${unknown}": expected type, resource, match, paths or shares`);
  const paths = textsOf(value['paths'], 'paths');
  const usual = paths.length > 0 ? 'path' : name;
  const { type = usual, resource = `cleat.dev/${name}`, match = {}, shares = 1 } = value;
  if (!isType(type)) throw new TypeError(`unknown type ${JSON.stringify(type)}: expected one of ${deviceTypes.join(', ')}`);
  if (typeof resource !== 'string' || !isExtendedResource(resource)) throw new TypeError(`the resource ${JSON.stringify(resource)} is invalid: expected a name such as cleat.dev/${name}`);
  if (!isRecord(match) || Object.values(match).some((text) => typeof text !== 'string')) throw new TypeError('match must name properties and their values, as text');
  if (typeof shares !== 'number' || !Number.isInteger(shares) || shares < 1 || shares > maxShares) throw new TypeError(`shares must be a whole number from 1 to ${String(maxShares)}`);
  if ((type === 'path') !== (paths.length > 0)) throw new TypeError(type === 'path' ? 'type path needs paths' : 'paths go with type path only');
  const stray = paths.find((path) => !/^\/dev\/[^/]/.test(path) || path.split('/').includes('..'));
  if (stray !== undefined) throw new TypeError(`"${stray}" is no path below /dev`);
  return { name, type, resource, match: match as Record<string, string>, paths, shares };
}

/** True when the device has every property that is asked for. */
export function matches(properties: Readonly<Record<string, string>>, match: Readonly<Record<string, string>>): boolean {
  return Object.entries(match).every(([key, pattern]) => {
    const value = properties[key];
    return value !== undefined && wildcard(pattern).test(value);
  });
}

/** `*` for anything, `?` for one character; the whole text must fit. */
export function wildcard(pattern: string): RegExp {
  return new RegExp(`^${pattern.replaceAll(/[\\^$.+()|[\]{}]/g, String.raw`\$&`).replaceAll(/\*+/g, '.*').replaceAll('?', '.')}$`, 's');
}

function textsOf(value: unknown, field: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((text) => typeof text !== 'string')) throw new TypeError(`${field} must be a list of text`);
  return value as string[];
}

function isType(value: unknown): value is DeviceType {
  return deviceTypes.some((type) => type === value);
}
