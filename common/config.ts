import { readFileSync } from 'node:fs';
import { messageOf, StatusError } from './errors.ts';

/**
 * One schema per program: flags > environment > file > default. A flag `--state-dir` is `CLEAT_STATE_DIR` in the
 * environment and `state-dir:` in the file. Unknown names refuse to start, with the nearest known name.
 */
export interface Setting<T> {
  readonly flag: string;
  readonly default: T;
  readonly description: string;
  /** Shown in help: `DIR`, `PORT`, ... */
  readonly placeholder: string;
  /** A value from text; throws an Error whose message says what is expected. */
  readonly parse: (text: string) => T;
  /** The text that `parse` reads; String() when absent. */
  format?(value: T): string;
  /** A flag without a value means this. */
  readonly bare?: T;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

interface Options<T> { readonly default: T; readonly description: string; readonly placeholder?: string }

export function text(flag: string, options: Options<string> & { check?: (value: string) => string | undefined }): Setting<string> {
  return {
    flag, default: options.default, description: options.description, placeholder: options.placeholder ?? 'TEXT',
    parse: (value) => {
      const wrong = value === options.default ? undefined : options.check?.(value);
      if (wrong !== undefined) throw new Error(wrong);
      return value;
    },
  };
}

/** Comma-separated; may be repeated, later flags add. */
export function list(flag: string, options: Options<readonly string[]> & { check?: (part: string) => string | undefined }): Setting<readonly string[]> {
  return {
    flag, default: options.default, description: options.description, placeholder: options.placeholder ?? 'A,B', format: (value) => value.join(','),
    parse: (value) => {
      const parts = value.split(',').map((part) => part.trim()).filter(Boolean);
      const wrong = parts.map((part) => options.check?.(part)).find((problem) => problem !== undefined);
      if (wrong !== undefined) throw new Error(wrong);
      return parts;
    },
  };
}

export function integer(flag: string, options: Options<number> & { min: number; max: number }): Setting<number> {
  return {
    flag, default: options.default, description: options.description, placeholder: options.placeholder ?? 'N',
    parse: (value) => {
      const number = Number(value);
      if (!/^-?\d+$/.test(value) || number < options.min || number > options.max) throw new Error(`expected a whole number from ${String(options.min)} to ${String(options.max)}`);
      return number;
    },
  };
}

export function bool(flag: string, options: Options<boolean>): Setting<boolean> {
  return {
    flag, default: options.default, description: options.description, placeholder: '', bare: true,
    parse: (value) => {
      if (value !== 'true' && value !== 'false') throw new Error('expected true or false');
      return value === 'true';
    },
  };
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it (`40s`, `1m30s`, `500ms`); the value is in milliseconds. */
export function durationMs(flag: string, options: Options<number>): Setting<number> {
  return { flag, default: options.default, description: options.description, placeholder: options.placeholder ?? 'DURATION', parse: parseDurationMs, format: formatDuration };
}

export function parseDurationMs(value: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) throw new Error('expected a duration such as 500ms, 40s or 1m30s');
  let total = 0;
  for (const [, amount, , unit] of value.matchAll(/(\d+(\.\d+)?)(ms|s|m|h)/g)) total += Number(amount) * (unitsMs[unit ?? ''] ?? 0);
  return total;
}

function formatDuration(ms: number): string {
  return ms % 1000 === 0 ? `${String(ms / 1000)}s` : `${String(ms)}ms`;
}

export interface Loaded<V> {
  readonly values: V;
  /** What was asked for besides running. */
  readonly mode: 'run' | 'help' | 'print-config';
  /** The configuration file, whether or not there is one. */
  readonly configFile: string;
}

/** Reads flags, environment and file. Throws a StatusError `Invalid` whose message is ready to print. */
export function loadConfig<S extends Settings>(
  program: string, settings: S, argv: readonly string[], env: Readonly<Record<string, string | undefined>>, defaultFile: string,
): Loaded<Values<S>> {
  const byFlag = new Map(Object.entries(settings).map(([name, setting]) => [setting.flag, { name, setting }]));
  const flags = readFlags(program, byFlag, argv);
  const file = readFile(flags.config ?? defaultFile, flags.config !== undefined, byFlag);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const variable = variableOf(setting.flag);
    const sources: readonly [string, readonly string[] | undefined][] = [
      [`--${setting.flag}`, flags.given.get(setting.flag)],
      [variable, env[variable] === undefined ? undefined : [env[variable]]],
      [file.path, file.given.get(setting.flag)],
    ];
    const found = sources.find(([, given]) => given !== undefined);
    values[name] = found === undefined ? setting.default : parseAll(found[0], setting, found[1] ?? []);
  }
  for (const variable of Object.keys(env)) {
    if (variable.startsWith('CLEAT_') && ![...byFlag.keys()].some((flag) => variableOf(flag) === variable) && variable !== 'CLEAT_LOG_LEVEL') {
      throw unknownName(`environment variable ${variable}`, variable, [...byFlag.keys()].map(variableOf), '; unset it');
    }
  }
  return { values: values as Values<S>, mode: flags.mode, configFile: file.path };
}

export function variableOf(flag: string): string {
  return `CLEAT_${flag.toUpperCase().replaceAll('-', '_')}`;
}

/** A value as the flag, the environment and the file have it. */
export function formatSetting<T>(setting: Setting<T>, value: T): string {
  return setting.format?.(value) ?? String(value);
}

/** The help text's list of flags. */
export function describeSettings(settings: Settings): string {
  const rows = Object.values(settings).map((setting) => {
    const left = `  --${setting.flag}${setting.placeholder === '' ? '' : ` ${setting.placeholder}`}`;
    const shown = formatSetting(setting, setting.default);
    return [left, `${setting.description}${shown === '' || shown === 'false' ? '' : ` (default ${shown})`}`] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width + 2)}${right}`).join('\n');
}

type ByFlag = ReadonlyMap<string, { readonly name: string; readonly setting: Setting<unknown> }>;

interface Flags { readonly given: Map<string, string[]>; mode: Loaded<unknown>['mode']; config: string | undefined }

function readFlags(program: string, byFlag: ByFlag, argv: readonly string[]): Flags {
  const flags: Flags = { given: new Map(), mode: 'run', config: undefined };
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    const [, flag = '', inline] = /^--([^=]+)(?:=([\s\S]*))?$/.exec(argument) ?? [];
    if (flag === 'help' || argument === '-h') { flags.mode = 'help'; continue; }
    if (flag === 'print-config') { flags.mode = 'print-config'; continue; }
    const known = byFlag.get(flag)?.setting;
    if (!known && flag !== 'config') {
      if (flag === '') throw new StatusError('Invalid', `unexpected argument "${argument}"; ${program} takes flags only. See '${program} --help'.`);
      throw unknownName(`flag --${flag}`, flag, [...byFlag.keys(), 'config'], `. See '${program} --help'.`, '--');
    }
    let value = inline;
    if (value === undefined && known?.bare !== undefined) value = String(known.bare);
    if (value === undefined) value = argv[++i];
    if (value === undefined) throw new StatusError('Invalid', `flag --${flag} needs a value. See '${program} --help'.`);
    if (flag === 'config') flags.config = value;
    else flags.given.set(flag, [...(flags.given.get(flag) ?? []), value]);
  }
  return flags;
}

function parseAll(source: string, setting: Setting<unknown>, given: readonly string[]): unknown {
  try {
    const parsed = given.map((value) => setting.parse(value));
    return Array.isArray(setting.default) ? parsed.flat() : parsed.at(-1);
  } catch (error) {
    throw new StatusError('Invalid', `${source}: invalid value "${given.join(',')}": ${messageOf(error)}`);
  }
}

/** The file is `flag-name: value` per line: the part of YAML that settings need. */
function readFile(path: string, mustExist: boolean, byFlag: ByFlag): { path: string; given: Map<string, string[]> } {
  const given = new Map<string, string[]>();
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (!mustExist && code === 'ENOENT') return { path, given };
    const why: Readonly<Record<string, string>> = { ENOENT: 'it is not there; check --config', EACCES: 'permission denied; it belongs to another user: use sudo, or name another file with --config', EISDIR: 'it is a directory; check --config' };
    throw new StatusError('Invalid', `cannot read the configuration file ${path}: ${why[code] ?? message}`, { cause: error });
  }
  for (const [index, line] of content.split('\n').entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const [, key = '', value = ''] = /^([a-z][a-z0-9-]*):\s*(.*?)\s*$/.exec(line) ?? [];
    if (key === '') throw new StatusError('Invalid', `${path}, line ${String(index + 1)}: expected "name: value", got "${line.slice(0, 80)}"`);
    if (!byFlag.has(key)) throw unknownName(`setting "${key}" in ${path}, line ${String(index + 1)}`, key, [...byFlag.keys()], '; remove the line');
    given.set(key, [value.replace(/^(["'])(.*)\1$/, '$2')]);
  }
  return { path, given };
}

function unknownName(what: string, name: string, known: readonly string[], next: string, prefix = ''): StatusError {
  const nearest = known.map((candidate) => ({ candidate, distance: editDistance(name, candidate) })).sort((a, b) => a.distance - b.distance)[0];
  const hint = nearest && nearest.distance <= 3 ? `; did you mean ${prefix}${nearest.candidate}?` : next;
  return new StatusError('Invalid', `unknown ${what}${hint}`);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}
