import { StatusError } from '#common/errors.ts';
import { isRecord, own } from '../meta/json.ts';

type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'wildcard' }
  | { readonly kind: 'descend' }
  | { readonly kind: 'slice'; readonly from: number | undefined; readonly to: number | undefined; readonly step: number }
  | { readonly kind: 'index'; readonly at: number }
  | { readonly kind: 'union'; readonly names: readonly string[] }
  | { readonly kind: 'filter'; readonly left: Operand; readonly op: string; readonly right: Operand | undefined };
type Operand = { readonly path: readonly Step[] } | { readonly literal: unknown };

/** kubectl's dialect of JSONPath, compiled: `.spec.containers[0].image`, `.status.conditions[?(@.type=="Ready")].status`. */
export interface JsonPath {
  /** Every value that it finds, in order. */
  find(value: unknown): readonly unknown[];
}

/** Throws Invalid with what is wrong. Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/ */
export function compileJsonPath(text: string): JsonPath {
  const steps = new PathParser(text).parse();
  return { find: (value) => walk(steps, [value]) };
}

class PathParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  }

  parse(): Step[] {
    if (this.#text.startsWith('$') || this.#text.startsWith('@')) this.#at = 1;
    return this.#steps('');
  }

  /** Up to the end, or a character of `end`. */
  #steps(end: string): Step[] {
    const steps: Step[] = [];
    while (this.#at < this.#text.length && !end.includes(this.#peek())) {
      if (this.#take('..')) {
        steps.push({ kind: 'descend' });
        if (this.#peek() !== '[') steps.push(this.#field());
      } else if (this.#take('.')) {
        if (this.#peek() === '[') continue;
        if (this.#at < this.#text.length) steps.push(this.#field());
      } else if (this.#take('[')) steps.push(this.#bracket());
      else throw this.#fail(`unexpected ${JSON.stringify(this.#peek())}`);
    }
    return steps;
  }

  #field(): Step {
    if (this.#take('*')) return { kind: 'wildcard' };
    let name = '';
    for (; this.#at < this.#text.length && !'.[]()=!<>~& |'.includes(this.#peek()); this.#at++) {
      if (this.#peek() === '\\') this.#at++;
      name += this.#peek();
    }
    if (name === '') throw this.#fail('a field name is missing');
    return { kind: 'field', name };
  }

  #bracket(): Step {
    if (this.#take('?(')) return this.#filter();
    if (this.#take('*]')) return { kind: 'wildcard' };
    if (this.#peek() === "'" || this.#peek() === '"') return this.#names();
    const end = this.#text.indexOf(']', this.#at);
    const inner = this.#text.slice(this.#at, end < 0 ? undefined : end).trim();
    if (end < 0 || !/^-?\d*(?::-?\d*){0,2}$/.test(inner) || inner === '') throw this.#fail('unterminated or invalid array');
    this.#at = end + 1;
    const [from, to, step] = inner.split(':').map((part) => (part === '' ? undefined : Number(part)));
    if (!inner.includes(':')) return { kind: 'index', at: from ?? 0 };
    return { kind: 'slice', from, to, step: step ?? 1 };
  }

  #names(): Step {
    const names: string[] = [];
    do {
      this.#space();
      names.push(this.#quoted());
      this.#space();
    } while (this.#take(','));
    if (!this.#take(']')) throw this.#fail('unterminated array');
    return names.length === 1 ? { kind: 'field', name: names[0] ?? '' } : { kind: 'union', names };
  }

  #quoted(): string {
    const quote = this.#peek();
    if (quote !== "'" && quote !== '"') throw this.#fail('a quoted name is missing');
    let value = '';
    for (this.#at++; this.#peek() !== quote; this.#at++) {
      if (this.#at >= this.#text.length) throw this.#fail('unterminated quoted string');
      if (this.#peek() === '\\') this.#at++;
      value += this.#peek();
    }
    this.#at++;
    return value;
  }

  #filter(): Step {
    const left = this.#operand();
    this.#space();
    const op = ['==', '!=', '<=', '>=', '<', '>'].find((one) => this.#take(one)) ?? 'exists';
    const right = op === 'exists' ? undefined : this.#operand();
    this.#space();
    if (!this.#take(')]')) throw this.#fail('unterminated filter');
    return { kind: 'filter', left, op, right };
  }

  #operand(): Operand {
    this.#space();
    if (this.#peek() === "'" || this.#peek() === '"') return { literal: this.#quoted() };
    if (this.#take('@') || this.#take('$')) return { path: this.#steps(' )=!<>') };
    const word = /^[^\s)=!<>]+/.exec(this.#text.slice(this.#at))?.[0] ?? '';
    if (word === '') throw this.#fail('an operand is missing');
    this.#at += word.length;
    if (word === 'true' || word === 'false') return { literal: word === 'true' };
    if (Number.isNaN(Number(word))) throw this.#fail(`unrecognized operand ${word}`);
    return { literal: Number(word) };
  }

  #peek(): string { return this.#text[this.#at] ?? ''; }
  #space(): void { while (this.#peek() === ' ') this.#at++; }
  #take(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }
  #fail(why: string): StatusError { return new StatusError('Invalid', `${why} in JSONPath ${JSON.stringify(this.#text)}`); }
}

/** A path finds at most so much: `..` over `..` would find more than there is. */
const maxFound = 10_000;

function walk(steps: readonly Step[], start: readonly unknown[]): readonly unknown[] {
  return steps.reduce<readonly unknown[]>((values, step) => values.flatMap((value) => take(step, value)).slice(0, maxFound), start);
}

function take(step: Step, value: unknown): readonly unknown[] {
  switch (step.kind) {
    case 'field': return isRecord(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'union': return isRecord(value) ? step.names.filter((name) => Object.hasOwn(value, name)).map((name) => own(value, name)) : [];
    case 'wildcard': return children(value);
    case 'descend': return descendants(value, []);
    case 'index': return Array.isArray(value) ? value.slice(step.at, step.at === -1 ? undefined : step.at + 1) : [];
    case 'slice': return Array.isArray(value) ? slice(value, step.from, step.to, step.step) : [];
    case 'filter': return children(value).filter((item) => holds(step, item));
  }
}

function children(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
}

function descendants(value: unknown, found: unknown[]): unknown[] {
  if (found.length >= maxFound) return found;
  found.push(value);
  for (const item of children(value)) descendants(item, found);
  return found;
}

function slice(list: readonly unknown[], from: number | undefined, to: number | undefined, step: number): unknown[] {
  return list.slice(from, to).filter((_, i) => step > 0 && i % step === 0);
}

function holds({ left, op, right }: Extract<Step, { kind: 'filter' }>, item: unknown): boolean {
  const value = (operand: Operand): unknown => ('literal' in operand ? operand.literal : walk(operand.path, [item])[0]);
  const a = value(left);
  if (op === 'exists') return a !== undefined;
  const b = right && value(right);
  if (a === undefined || b === undefined) return false;
  if (op === '==') return a === b;
  if (op === '!=') return a !== b;
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) return false;
  const order = a < (b as typeof a) ? -1 : Number(a > (b as typeof a));
  return op === '<' ? order < 0 : op === '<=' ? order <= 0 : op === '>' ? order > 0 : order >= 0;
}

/** The names of a plain path, `.spec.replicas`; Kubernetes has no other where a value is also written. */
export function simplePath(text: string): string[] {
  return text.replace(/^\./, '').split('.').filter((name) => name !== '');
}
