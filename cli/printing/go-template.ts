import { StatusError } from '#common/errors.ts';
import { parseTemplate, type Part, type Pipeline, type Term } from './go-template-parse.ts';

/** Variables of a block; those of the blocks around it are seen, and may be assigned to, from within. */
class Variables {
  readonly #own = new Map<string, unknown>();
  readonly #outer: Variables | undefined;

  constructor(outer?: Variables) {
    this.#outer = outer;
  }

  get(name: string): unknown {
    return this.#own.has(name) ? this.#own.get(name) : this.#outer ? this.#outer.get(name) : wrong(`undefined variable "${name}"`);
  }

  declare(name: string, value: unknown): void {
    this.#own.set(name, value);
  }

  assign(name: string, value: unknown): void {
    if (this.#own.has(name)) this.#own.set(name, value);
    else if (this.#outer) this.#outer.assign(name, value);
    else wrong(`undefined variable "${name}"`);
  }
}

type Flow = 'break' | 'continue' | undefined;
interface Scope { readonly dot: unknown; readonly variables: Variables; readonly out: string[] }

/** `-o go-template`: Go's text/template over an object, with the functions that kubectl adds. What is missing prints as `<no value>`. */
export function renderGoTemplate(template: string, object: unknown): string {
  const out: string[] = [];
  const variables = new Variables();
  variables.declare('$', object);
  run(parseTemplate(template), { dot: object, variables, out });
  return out.join('');
}

function run(parts: readonly Part[], outer: Scope): Flow {
  const scope = { ...outer, variables: new Variables(outer.variables) };
  for (const part of parts) {
    const flow = runPart(part, scope);
    if (flow !== undefined) return flow;
  }
  return undefined;
}

function runPart(part: Part, scope: Scope): Flow {
  switch (part.type) {
    case 'text': scope.out.push(part.text); return undefined;
    case 'print': {
      const value = evaluate(part.pipeline, scope);
      assign(part.pipeline, [value], scope.variables);
      if (part.pipeline.names.length === 0) scope.out.push(goText(value));
      return undefined;
    }
    case 'break': case 'continue': return part.type;
    case 'range': return runRange(part.pipeline, part.body, part.otherwise, scope);
    default: {
      const value = evaluate(part.pipeline, scope);
      const inner = { ...scope, variables: new Variables(scope.variables) };
      assign(part.pipeline, [value], inner.variables);
      return run(isTrue(value) ? part.body : part.otherwise, part.type === 'with' && isTrue(value) ? { ...inner, dot: value } : inner);
    }
  }
}

function runRange(pipeline: Pipeline, body: readonly Part[], otherwise: readonly Part[], scope: Scope): Flow {
  const value = evaluate(pipeline, scope);
  const entries = Array.isArray(value) ? value.map((item, i) => [i, item] as const)
    : typeof value === 'number' ? Array.from({ length: value }, (_, i) => [i, i] as const)
      : isMap(value) ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
        : value === null || value === undefined ? [] : wrong(`range can't iterate over ${goText(value)}`);
  if (entries.length === 0) return run(otherwise, scope);
  for (const [key, item] of entries) {
    const variables = new Variables(scope.variables);
    assign(pipeline, pipeline.names.length === 2 ? [key, item] : [item], variables);
    if (run(body, { ...scope, dot: item, variables }) === 'break') break;
  }
  return undefined;
}

function assign({ names, declares }: Pipeline, values: readonly unknown[], variables: Variables): void {
  for (const [i, name] of names.entries()) {
    if (declares) variables.declare(name, values[i]);
    else variables.assign(name, values[i]);
  }
}

function evaluate({ commands }: Pipeline, scope: Scope): unknown {
  let value: unknown;
  for (const [i, [first, ...rest]] of commands.entries()) {
    if (!first) continue;
    const args = rest.map((term) => termValue(term, scope));
    if (i > 0) args.push(value);
    if (first.type === 'function') value = call(first.name, args);
    else if (args.length > 0) wrong('can\'t give an argument to what is no function');
    else value = termValue(first, scope);
  }
  return value;
}

function termValue(term: Term, scope: Scope): unknown {
  if (term.type === 'value') return term.value;
  if (term.type === 'function') return call(term.name, []);
  const { base, fields } = term;
  const start = base === undefined ? scope.dot : 'variable' in base ? scope.variables.get(base.variable) : evaluate(base.pipeline, scope);
  return fields.reduce<unknown>((value, field) => {
    if (isMap(value)) return Object.hasOwn(value, field) ? value[field] : undefined;
    if (value === undefined) return undefined;
    if (value === null) return wrong(`nil pointer evaluating interface {}.${field}`);
    return wrong(`can't evaluate field ${field} in type ${goType(value)}`);
  }, start);
}

function call(name: string, args: readonly unknown[]): unknown {
  const [first, ...rest] = args;
  switch (name) {
    case 'and': return args.find((value) => !isTrue(value)) ?? args.at(-1);
    case 'or': return args.find(isTrue) ?? args.at(-1);
    case 'not': return !isTrue(first);
    case 'len': return typeof first === 'string' ? Buffer.byteLength(first) : Array.isArray(first) ? first.length : isMap(first) ? Object.keys(first).length : wrong(`len of ${goType(first)}`);
    case 'index': return rest.reduce(indexed, first);
    case 'slice': return (first as string | unknown[]).slice(Number(rest[0] ?? 0), rest[1] === undefined ? undefined : Number(rest[1]));
    case 'print': return args.map((value, i) => (i > 0 && typeof value !== 'string' && typeof args[i - 1] !== 'string' ? ' ' : '') + goText(value)).join('');
    case 'println': return `${args.map(goText).join(' ')}\n`;
    case 'printf': return formatted(String(first), rest);
    case 'eq': return rest.some((value) => first === value);
    case 'ne': return first !== rest[0];
    case 'lt': return order(first, rest[0]) < 0;
    case 'le': return order(first, rest[0]) <= 0;
    case 'gt': return order(first, rest[0]) > 0;
    case 'ge': return order(first, rest[0]) >= 0;
    case 'html': return args.map(goText).join('').replaceAll(/[&<>"']/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[letter] ?? `&#${String(letter.charCodeAt(0))};`);
    case 'js': return JSON.stringify(args.map(goText).join('')).slice(1, -1);
    case 'urlquery': return encodeURIComponent(args.map(goText).join('')).replaceAll('%20', '+');
    case 'base64decode': return Buffer.from(String(first), 'base64').toString('utf8');
    case 'exists': return rest.reduce((value, key) => (value === undefined ? undefined : Array.isArray(value) ? (value as unknown[])[Number(key)] : isMap(value) ? value[String(key)] : undefined), first) !== undefined;
    default: return wrong(`function "${name}" not defined`);
  }
}

function indexed(value: unknown, key: unknown): unknown {
  if (isMap(value)) return value[String(key)];
  if (!Array.isArray(value)) return wrong(`can't index item of type ${goType(value)}`);
  const at = Number(key);
  return at >= 0 && at < value.length ? (value[at] as unknown) : wrong(`error calling index: reflect: slice index out of range: ${String(at)}`);
}

function order(a: unknown, b: unknown): number {
  if (typeof a !== typeof b) wrong('incompatible types for comparison');
  return (a as string) < (b as string) ? -1 : a === b ? 0 : 1;
}

function formatted(format: string, args: readonly unknown[]): string {
  let at = 0;
  return format.replaceAll(/%([-0+ ]*)(\d*)(?:\.(\d+))?([%a-zA-Z])/g, (_, flags: string, width: string, precision: string | undefined, verb: string) => {
    if (verb === '%') return '%';
    if (at >= args.length) return `%!${verb}(MISSING)`;
    const value = args[at++];
    const text = verb === 'q' ? JSON.stringify(goText(value)) : verb === 'f' ? Number(value).toFixed(Number(precision ?? 6)) : verb === 'x' && typeof value === 'number' ? value.toString(16)
      : verb === 's' && precision !== undefined ? goText(value).slice(0, Number(precision)) : verb === 'd' && typeof value !== 'number' ? `%!d(${goType(value)}=${goText(value)})` : verb === 'd' ? String(value) : verb === 'T' ? goType(value) : goText(value);
    return flags.includes('-') ? text.padEnd(Number(width)) : text.padStart(Number(width), flags.includes('0') ? '0' : ' ');
  });
}

function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return isMap(value) ? Object.keys(value).length > 0 : Boolean(value);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As Go prints it with `%v`. */
function goText(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map((item) => (item === null ? '<nil>' : goText(item))).join(' ')}]`;
  if (isMap(value)) return `map[${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${key}:${item === null ? '<nil>' : goText(item)}`).join(' ')}]`;
  return String(value);
}

function goType(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (Array.isArray(value)) return '[]interface {}';
  return { string: 'string', number: 'float64', boolean: 'bool' }[typeof value as string] ?? 'map[string]interface {}';
}

function wrong(why: string): never {
  throw new StatusError('BadRequest', `error executing template: ${why}`);
}
