import { needsQuotes } from './yaml-words.ts';
import { compareKeys } from './key-order.ts';
import { isRecord, type JsonRecord } from '#api/meta/json.ts';

/** Where kubectl folds text that has spaces. */
const bestWidth = 80;
/** Longer keys stand on a line of their own, behind a question mark. */
const maxSimpleKey = 128;

/**
 * Writes a value as kubectl does (go-yaml, version 2): keys in their natural order, lists not indented, long text
 * folded. A missing value is null.
 */
export function writeGoYaml(value: unknown): string {
  return isRecord(value) && Object.keys(value).length > 0 ? block(value, 0) : `${inline(value, 0, 0)}\n`;
}

/** The lines of a map or list that is not empty, the first of them without its indentation. */
function block(value: JsonRecord | readonly unknown[], indent: number): string {
  return Array.isArray(value) ? value.map((item, i) => `${i === 0 ? '' : ' '.repeat(indent)}- ${listItem(item, indent)}`).join('') : map(value as JsonRecord, indent);
}

function listItem(item: unknown, indent: number): string {
  return isFilled(item) ? block(item, indent + 2) : `${inline(item, indent + 2, indent)}\n`;
}

function map(fields: JsonRecord, indent: number): string {
  const margin = ' '.repeat(indent);
  return Object.keys(fields).sort(compareKeys).map((key, i) => {
    const value = fields[key];
    const name = scalarKey(key);
    const long = Buffer.byteLength(name) > maxSimpleKey;
    const head = `${i === 0 ? '' : margin}${long ? `? ${name}\n${margin}` : name}:`;
    if (!isFilled(value)) return `${head} ${inline(value, long ? indent + 2 : indent + name.length + 2, indent)}\n`;
    if (Array.isArray(value)) return long ? `${head} ${block(value, indent + 2)}` : `${head}\n${margin}${block(value, indent)}`;
    return long ? `${head} ${block(value, indent + 2)}` : `${head}\n${margin}  ${block(value, indent + 2)}`;
  }).join('');
}

function isFilled(value: unknown): value is JsonRecord | readonly unknown[] {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function inline(value: unknown, column: number, indent: number): string {
  switch (typeof value) {
    case 'string': return text(value, column, indent);
    case 'number': return number(value);
    case 'bigint': case 'boolean': return String(value);
    default: return Array.isArray(value) ? '[]' : isRecord(value) ? '{}' : 'null';
  }
}

/** Go's shortest form: an exponent from 21 digits on for whole numbers, which JSON has, else from 7 on. */
function number(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return String(value);
  const [, sign = '', digits = '', exponent = '0'] = /^(-?)([\d.]+)e([+-]\d+)$/.exec(value.toExponential()) ?? [];
  const power = Number(exponent);
  if (power >= -4 && power < 21 && (power < 6 || digits.replace('.', '').length <= power + 1)) return String(value);
  if (power >= -4 && power < 6) return String(value);
  return `${sign}${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

interface Shape { readonly plain: boolean; readonly single: boolean; readonly literal: boolean }

/** Printable without an escape. Beyond the basic plane nothing is. */
const special = /[^\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]|[\u2028\u2029]/u;
const indicators = /^(?:---|\.\.\.)|^[#,[\]{}&*!|>'"%@`]|^[?:-](?:[ \t]|$)|.:(?:[ \t]|$)|[ \t\n]#/s;

function shapeOf(value: string): Shape {
  const unprintable = special.test(value) || / \n/.test(value);
  const breakThenSpace = /\n /.test(value);
  const edges = /^[ \n]|[ \n]$/.test(value);
  return {
    plain: !unprintable && !breakThenSpace && !edges && !value.includes('\n') && !indicators.test(value),
    single: !unprintable && !breakThenSpace,
    literal: !unprintable && !value.endsWith(' ') && value !== '',
  };
}

function scalarKey(key: string): string {
  const shape = shapeOf(key);
  if (needsQuotes(key) || key.includes('\n') || !shape.single) return doubleQuoted(key, 0, 0, false);
  return shape.plain ? key : singleQuoted(key, 0, 0, false);
}

function text(value: string, column: number, indent: number): string {
  const shape = shapeOf(value);
  if (value.includes('\n')) return shape.literal ? literal(value, indent + 2) : doubleQuoted(value, column, indent, true);
  if (needsQuotes(value)) return doubleQuoted(value, column, indent, true);
  if (shape.plain) return folded(value, column, indent);
  return shape.single ? singleQuoted(value, column, indent, true) : doubleQuoted(value, column, indent, true);
}

function literal(value: string, indent: number): string {
  const hint = /^[ \n]/.test(value) ? '2' : '';
  const chomp = !value.endsWith('\n') ? '-' : value === '\n' || value.endsWith('\n\n') ? '+' : '';
  const lines = (value.endsWith('\n') ? value.slice(0, -1) : value).split('\n');
  return `|${hint}${chomp}\n${lines.map((line) => (line === '' ? '' : ' '.repeat(indent) + line)).join('\n')}`;
}

/** Breaks lines at single spaces beyond the best width; text at its edges is left alone where `inner`. */
function folded(value: string, column: number, indent: number, inner = false): string {
  const characters = Array.from(value);
  let result = '';
  let at = column;
  let spaces = false;
  for (const [i, character] of characters.entries()) {
    const inside = !inner || (i > 0 && i < characters.length - 1);
    if (character === ' ' && !spaces && at > bestWidth && inside && characters[i + 1] !== ' ') {
      result += `\n${' '.repeat(indent + 2)}`;
      at = indent + 2;
    } else {
      result += character === "'" && inner ? "''" : character;
      at += character === "'" && inner ? 2 : 1;
    }
    spaces = character === ' ';
  }
  return result;
}

function singleQuoted(value: string, column: number, indent: number, fold: boolean): string {
  return fold ? `'${folded(value, column + 1, indent, true)}'` : `'${value.replaceAll("'", "''")}'`;
}

const escapes: Readonly<Record<string, string>> = {
  '\0': '\\0', '\x07': '\\a', '\b': '\\b', '\t': '\\t', '\n': '\\n', '\v': '\\v', '\f': '\\f', '\r': '\\r', '\x1b': '\\e', '"': '\\"', '\\': '\\\\',
  '\x85': '\\N', '\xa0': '\\_', '\u2028': '\\L', '\u2029': '\\P',
};

function doubleQuoted(value: string, column: number, indent: number, fold: boolean): string {
  const characters = Array.from(value);
  let result = '"';
  let at = column + 1;
  let spaces = false;
  for (const [i, character] of characters.entries()) {
    if (fold && character === ' ' && !spaces && at > bestWidth && i > 0 && i < characters.length - 1) {
      const lead = characters[i + 1] === ' ' ? '\\' : '';
      result += `\n${' '.repeat(indent + 2)}${lead}`;
      at = indent + 2 + lead.length;
      spaces = true;
      continue;
    }
    const written = special.test(character) || character === '\n' || character === '"' || character === '\\' ? escaped(character) : character;
    result += written;
    at += Array.from(written).length;
    spaces = character === ' ';
  }
  return `${result}"`;
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16).toUpperCase();
  return escapes[character] ?? (code <= 0xff ? `\\x${hex.padStart(2, '0')}` : code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`);
}
