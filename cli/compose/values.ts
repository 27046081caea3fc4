import { StatusError } from '#common/errors.ts';
import { parseDurationMs } from '#common/config.ts';
import type { Raw } from './types.ts';

/** Refuses a value of the file; `where` is its path in there: `services.web.ports`. */
export function refuseValue(where: string, expected: string): StatusError {
  return new StatusError('BadRequest', `${where}: ${expected}`);
}

export function isMap(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function mapOf(value: unknown, where: string): Raw {
  if (value === undefined || value === null) return {};
  if (!isMap(value)) throw refuseValue(where, 'expected a map');
  return value;
}

export function listOf(value: unknown, where: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw refuseValue(where, 'expected a list');
  return value as unknown[];
}

/** Numbers and booleans are text as well. */
export function textOf(value: unknown, where: string): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw refuseValue(where, 'expected text');
}

export function textsOf(value: unknown, where: string): string[] {
  return (typeof value === 'string' ? [value] : listOf(value, where)).map((item) => textOf(item, where));
}

export function truth(value: unknown, where: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'false') return value === 'true';
  throw refuseValue(where, 'expected true or false');
}

export function integerOf(value: unknown, where: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0 || value === '' || value === null) throw refuseValue(where, 'expected a whole number');
  return number;
}

/** `KEY: value` and `- KEY=value` alike; a key without a value is null. */
export function pairsOf(value: unknown, where: string): Map<string, string | null> {
  const text = (item: unknown): string | null => (item === null || item === undefined ? null : textOf(item, where));
  if (isMap(value)) return new Map(Object.entries(value).map(([key, item]) => [key, text(item)]));
  return new Map(listOf(value, where).map((item) => {
    const line = textOf(item, where);
    const equals = line.indexOf('=');
    return equals < 0 ? [line, null] : [line.slice(0, equals), line.slice(equals + 1)];
  }));
}

/** `1m30s`; whole seconds, at least `least`. */
export function secondsOf(value: unknown, where: string, least = 1): number {
  const text = textOf(value, where);
  try {
    return Math.max(least, Math.ceil((/^\d+$/.test(text) ? Number(text) * 1000 : parseDurationMs(text)) / 1000));
  } catch {
    throw refuseValue(where, 'expected a duration such as 1m30s');
  }
}

const units: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, kb: 2 ** 10, m: 2 ** 20, mb: 2 ** 20, g: 2 ** 30, gb: 2 ** 30 };

/** Docker's units, of which each is 1024 of the one before, as a quantity. */
export function bytesOf(value: unknown, where: string): string {
  const [, amount = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([bkmg]b?)?$/i.exec(textOf(value, where)) ?? [];
  const factor = units[unit.toLowerCase()];
  if (amount === '' || factor === undefined) throw refuseValue(where, 'expected an amount such as 512m or 2g');
  const bytes = Math.round(Number(amount) * factor);
  for (const [suffix, size] of [['Gi', 2 ** 30], ['Mi', 2 ** 20], ['Ki', 2 ** 10]] as const) if (bytes >= size && bytes % size === 0) return `${String(bytes / size)}${suffix}`;
  return String(bytes);
}

/** The words of a command line as a shell splits them; nothing is expanded. */
export function wordsOf(value: unknown, where: string): string[] {
  if (Array.isArray(value)) return textsOf(value, where);
  const line = textOf(value, where);
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const char = line[i] ?? '';
    if (quote === '' && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char;
      word ??= '';
    } else if (char === quote) quote = '';
    else if (char === '\\' && quote !== "'" && (quote === '' || '"\\$`'.includes(line[i + 1] ?? 'x'))) word = (word ?? '') + (line[++i] ?? '');
    else word = (word ?? '') + char;
  }
  if (quote !== '') throw refuseValue(where, `a ${quote} is not closed`);
  return word === undefined ? words : [...words, word];
}

/** Kubernetes puts variables into `$(NAME)`; Compose leaves that as it is. */
export function plain(text: string): string {
  return text.replaceAll('$(', '$$$$(');
}

/** A DNS label that stands for the name, as near as can be. */
export function labelOf(name: string, where: string): string {
  const label = name.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').replaceAll(/^-+|-+$/g, '').slice(0, 63).replace(/-+$/, '');
  if (label === '') throw refuseValue(where, `"${name}" cannot be made a name: use letters, digits and -`);
  return label;
}
