import { fitsFormat } from '../../custom/formats.ts';
import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../../meta/names.ts';
import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { Opaque, Optional, type Value } from '../values.ts';

/** What is wrong with a text, or nothing. */
type Check = (text: string) => string | undefined;

class NamedFormat extends Opaque {
  readonly typeName = 'kubernetes.NamedFormat';
  readonly name: string;
  readonly check: Check;
  constructor(name: string, check: Check) { super(); this.name = name; this.check = check; }
  equals(other: Opaque): boolean { return other instanceof NamedFormat && other.name === this.name; }
}

const prefixed = (check: Check): Check => (text) => check(text.endsWith('-') ? `${text.slice(0, -1)}a` : text);
const shaped = (format: string, problem: string): Check => (text) => (fitsFormat(format, text) ? undefined : problem);

const checks: Readonly<Record<string, Check>> = {
  dns1123Label, dns1123Subdomain, dns1035Label, qualifiedName, labelValue,
  dns1123LabelPrefix: prefixed(dns1123Label),
  dns1123SubdomainPrefix: prefixed(dns1123Subdomain),
  dns1035LabelPrefix: prefixed(dns1035Label),
  uri: shaped('uri', 'invalid URI'),
  uuid: shaped('uuid', 'does not match the UUID format'),
  byte: shaped('byte', 'invalid base64'),
  date: shaped('date', 'invalid date'),
  datetime: shaped('datetime', 'invalid datetime'),
};
const formats = new Map(Object.entries(checks).map(([name, check]) => [name, new NamedFormat(name, check)]));

/** Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-format-library */
export const namedFormats: readonly Overload[] = [
  ...[...formats].map(([name, format]) => define(`@format.${name}(): kubernetes.NamedFormat`, () => format)),
  define('@format.named(string): optional(kubernetes.NamedFormat)', (name: string) => new Optional(formats.get(name))),
  define('kubernetes.NamedFormat.validate(string): optional(list(string))', ({ check }: NamedFormat, text: string) => {
    const problem = check(text);
    return new Optional(problem === undefined ? undefined : [problem]);
  }),
];

const shape = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$/;

class Semver extends Opaque {
  readonly typeName = 'kubernetes.Semver';
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly pre: readonly string[];
  constructor(numbers: readonly [bigint, bigint, bigint], pre: readonly string[]) { super(); this.numbers = numbers; this.pre = pre; }
  equals(other: Opaque): boolean { return other instanceof Semver && compare(this, other) === 0n; }
}

/** `normalize` lets a leading v, missing parts and leading zeros pass. */
function read(text: string, normalize: boolean): Semver | undefined {
  const [, core = '', rest = ''] = /^([^-+]*)(.*)$/.exec(text.replace(/^v/, '')) ?? [];
  const parts = core.split('.').map((part) => part.replace(/^0+(?=\d)/, ''));
  const match = shape.exec(normalize ? [...parts, ...['0', '0'].slice(0, Math.max(0, 3 - parts.length))].join('.') + rest : text);
  if (!match) return undefined;
  const [, major = '0', minor = '0', patch = '0', pre] = match;
  return new Semver([BigInt(major), BigInt(minor), BigInt(patch)], pre?.split('.') ?? []);
}

function parse(text: string, normalize: boolean): Semver {
  const version = read(text, normalize);
  if (!version) throw new CelError(`${JSON.stringify(text)} is no semantic version`);
  return version;
}

function compare(a: Semver, b: Semver): bigint {
  for (const [i, number] of a.numbers.entries()) if (number !== b.numbers[i]) return number < (b.numbers[i] ?? 0n) ? -1n : 1n;
  if (a.pre.length === 0 || b.pre.length === 0) return BigInt(Number(a.pre.length === 0) - Number(b.pre.length === 0));
  for (let i = 0; i < Math.max(a.pre.length, b.pre.length); i++) {
    const [x, y] = [a.pre[i], b.pre[i]];
    if (x === y) continue;
    if (x === undefined || y === undefined) return x === undefined ? -1n : 1n;
    const [m, n] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (m !== n) return m ? -1n : 1n;
    return (m ? BigInt(x) < BigInt(y) : x < y) ? -1n : 1n;
  }
  return 0n;
}

/** Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-semver-library */
export const semvers: readonly Overload[] = [
  define('semver(string): kubernetes.Semver', (text: string) => parse(text, false)),
  define('semver(string, bool): kubernetes.Semver', parse),
  define('isSemver(string): bool', (text: string) => read(text, false) !== undefined),
  define('isSemver(string, bool): bool', (text: string, normalize: boolean) => read(text, normalize) !== undefined),
  ...(['major', 'minor', 'patch'] as const).map((name, i) => define(`kubernetes.Semver.${name}(): int`, ({ numbers }: Semver): Value => numbers[i] ?? 0n)),
  define('kubernetes.Semver.isLessThan(kubernetes.Semver): bool', (a: Semver, b: Semver) => compare(a, b) < 0n),
  define('kubernetes.Semver.isGreaterThan(kubernetes.Semver): bool', (a: Semver, b: Semver) => compare(a, b) > 0n),
  define('kubernetes.Semver.compareTo(kubernetes.Semver): int', compare),
];
