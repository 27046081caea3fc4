import { isRecord } from '../meta/json.ts';
import { resolve, type Schema } from '../meta/schema.ts';
import type { Checked } from './check.ts';
import { escapeName } from './schema-type.ts';
import { MapLike, sizeOf } from './values.ts';

/** No object is larger than a request: what bounds sizes that no schema bounds. */
const maxRequestBytes = 3 * 1024 * 1024;
const most = 2 ** 63;

/** What is known of a value's size: elements or characters, at most; and of what is in it. */
interface Extent { readonly size: number; readonly part?: (field: string | undefined) => Extent }

const scalar: Extent = { size: 1 };
const unknownText: Extent = { size: maxRequestBytes - 2 };
const unknown: Extent = { size: maxRequestBytes - 2, part: () => unknown };

/** The fewest bytes that a value of a schema takes in JSON. */
function minBytes(schema: Schema | undefined, depth = 0): number {
  const target = schema ? resolve(schema) : {};
  if (target['x-kubernetes-int-or-string'] === true || depth > 20) return 1;
  switch (target.type) {
    case 'boolean': return 4;
    case 'string': case 'array': return 2;
    case 'object': return 2 + (target.required ?? []).reduce((sum, name) => sum + name.length + 4 + minBytes(target.properties?.[name], depth + 1), 0);
    default: return 1;
  }
}

const formatLengths: Readonly<Record<string, number>> = { 'date-time': 30, date: 10, duration: 32, uuid: 36, ipv4: 15, ipv6: 45, cidr: 49 };

/** How many elements or characters a value that a schema describes can have. */
export function maxSize(schema: Schema): number {
  switch (schema.type) {
    case 'array': return schema.maxItems ?? Math.floor((maxRequestBytes - 2) / (minBytes(schema.items) + 1));
    case 'object': {
      const rest = schema.additionalProperties;
      if (!isRecord(rest)) return Object.keys(schema.properties ?? {}).length || 1;
      return schema.maxProperties ?? Math.floor((maxRequestBytes - 2) / (minBytes(rest as Schema) + 6));
    }
    case 'string': {
      if (schema.maxLength !== undefined) return schema.maxLength * 4;
      const longest = (schema.enum ?? []).reduce<number>((size, item) => Math.max(size, String(item).length), 0);
      return longest || (formatLengths[schema.format ?? ''] ?? maxRequestBytes - 2);
    }
    default: return schema['x-kubernetes-int-or-string'] === true || schema.type === undefined ? maxRequestBytes - 2 : 1;
  }
}

function extentOf(schema: Schema): Extent {
  const target = resolve(schema);
  const size = maxSize(target);
  if (target.type === 'array') return { size, part: () => (target.items ? extentOf(target.items) : unknown) };
  if (target.type !== 'object') return { size };
  const rest = target.additionalProperties;
  if (isRecord(rest)) return { size, part: () => extentOf(rest as Schema) };
  const names = new Map(Object.keys(target.properties ?? {}).map((name) => [escapeName(name), name]));
  return {
    size,
    part: (field) => {
      const property = target.properties?.[names.get(field ?? '') ?? ''];
      return property ? extentOf(property) : unknownText;
    },
  };
}

interface Estimate { readonly cost: number; readonly extent: Extent }
interface Scope { readonly name: string; readonly extent: Extent; readonly outer: Scope | undefined }

/** The most that evaluating `expr` can cost when its variables are as their schemas say, in Kubernetes' units. */
export function estimateCost(expr: Checked, schemas: Readonly<Record<string, Schema>>): number {
  const root = Object.entries(schemas).reduce<Scope | undefined>((outer, [name, schema]) => ({ name, extent: extentOf(schema), outer }), undefined);
  return Math.min(most, visit(expr, root).cost);
}

function visit(expr: Checked, scope: Scope | undefined): Estimate {
  switch (expr.kind) {
    case 'literal': return { cost: 0, extent: { size: expr.value instanceof MapLike ? expr.value.size : sizeOf(expr.value) } };
    case 'ident': return { cost: 1, extent: find(expr.name, scope) };
    case 'select': {
      const { cost, extent } = visit(expr.operand, scope);
      return { cost: cost + 1, extent: expr.form === 'test' ? scalar : extent.part?.(expr.field) ?? scalarFor(expr) };
    }
    case 'list': {
      const parts = expr.items.map(({ value }) => visit(value, scope));
      const widest = parts.reduce<Extent>((best, { extent }) => (extent.size > best.size ? extent : best), scalar);
      return { cost: 10 + sum(parts), extent: { size: parts.length, part: () => widest } };
    }
    case 'map': {
      const parts = expr.entries.flatMap(({ key, value }) => [visit(key, scope), visit(value, scope)]);
      return { cost: 30 + sum(parts), extent: { size: expr.entries.length, part: () => unknown } };
    }
    case 'let': {
      const value = visit(expr.value, scope);
      const body = visit(expr.body, { name: expr.name, extent: value.extent, outer: scope });
      return { cost: value.cost + body.cost, extent: body.extent };
    }
    case 'comprehension': return comprehension(expr, scope);
    case 'call': return call(expr, expr.args.map((arg) => visit(arg, scope)));
  }
}

function find(name: string, scope: Scope | undefined): Extent {
  for (let here = scope; here; here = here.outer) if (here.name === name) return here.extent;
  return unknown;
}

function scalarFor(expr: Checked): Extent {
  return ['int', 'uint', 'double', 'bool', 'timestamp', 'duration', 'null'].includes(expr.type.kind) ? scalar : unknown;
}

function sum(parts: readonly Estimate[]): number {
  return parts.reduce((total, { cost }) => total + cost, 0);
}

function comprehension(expr: Extract<Checked, { kind: 'comprehension' }>, scope: Scope | undefined): Estimate {
  const range = visit(expr.range, scope);
  const item = range.extent.part?.(undefined) ?? unknown;
  const isMap = expr.range.type.kind === 'map' || expr.range.type.kind === 'object';
  const [first, second] = expr.variables;
  const key = isMap ? unknownText : scalar;
  let inner: Scope | undefined = { name: first ?? '', extent: second === undefined && !isMap ? item : key, outer: scope };
  if (second !== undefined) inner = { name: second, extent: item, outer: inner };
  const body = visit(expr.body, inner);
  const filter = expr.filter ? visit(expr.filter, inner).cost : 0;
  const result: Extent = expr.type.kind === 'list' ? { size: range.extent.size, part: () => (expr.macro === 'filter' || expr.macro === 'sortBy' ? item : body.extent) } : scalar;
  return { cost: range.cost + range.extent.size * (2 + filter + body.cost), extent: result };
}

const traversal = (size: number): number => Math.max(1, Math.ceil(size * 0.1));
const wholeText = new Set(['lowerAscii', 'upperAscii', 'trim', 'replace', 'substring', 'reverse', 'indexOf', 'lastIndexOf', 'find', 'charAt', 'string', 'bytes', 'url', 'isURL', 'ip', 'isIP', 'cidr', 'isCIDR', 'quantity', 'isQuantity', 'validate', 'semver', 'isSemver', 'join', 'format', 'strings.quote']);
const wholeList = new Set(['isSorted', 'sum', 'min', 'max', 'sort', 'flatten', 'slice', 'lists.range']);
const keepsExtent = new Set(['lowerAscii', 'upperAscii', 'trim', 'substring', 'reverse', 'find', 'charAt', 'sort', 'slice', 'distinct', 'dyn']);

function call({ name, type }: Extract<Checked, { kind: 'call' }>, args: readonly Estimate[]): Estimate {
  const before = sum(args);
  const [a = { cost: 0, extent: scalar }, b = { cost: 0, extent: scalar }, c = b] = args;
  const result = (cost: number, extent: Extent = scalar): Estimate => ({ cost: before + cost, extent });
  const wider = (x: Extent, y: Extent): Extent => (x.size >= y.size ? x : y);
  switch (name) {
    case '_&&_': case '_||_': case '!_': return result(name === '!_' ? 1 : 0);
    case '_?_:_': return { cost: a.cost + Math.max(b.cost, c.cost), extent: wider(b.extent, c.extent) };
    case '_==_': case '_!=_': case '_<_': case '_<=_': case '_>_': case '_>=_': return result(traversal(Math.min(a.extent.size, b.extent.size)));
    case '_[_]': case '_[?_]': return result(1, a.extent.part?.(undefined) ?? unknown);
    case '@in': return result(b.extent.size);
    case '_+_': return result(type.kind === 'string' || type.kind === 'bytes' ? traversal(a.extent.size + b.extent.size) : 1, type.kind === 'int' || type.kind === 'double' ? scalar : { ...a.extent, size: a.extent.size + b.extent.size });
    case 'startsWith': case 'endsWith': return result(traversal(b.extent.size));
    case 'contains': return result(traversal(a.extent.size) * traversal(b.extent.size));
    case 'matches': return result(traversal(a.extent.size + 1) * Math.max(1, Math.ceil(b.extent.size * 0.25)));
    case 'split': case 'findAll': return result(traversal(a.extent.size), { size: a.extent.size, part: () => ({ size: a.extent.size }) });
    case 'distinct': return result(a.extent.size ** 2, a.extent);
    case 'sets.contains': case 'sets.equivalent': case 'sets.intersects': return result(a.extent.size * b.extent.size);
    default: break;
  }
  const extent = keepsExtent.has(name) ? a.extent : type.kind === 'string' || type.kind === 'list' || type.kind === 'map' ? { size: a.extent.size + b.extent.size, part: () => unknown } : type.kind === 'dyn' || type.kind === 'opaque' ? { ...unknown, size: a.extent.size } : scalar;
  if (wholeList.has(name)) return result(Math.max(1, a.extent.size), extent);
  return result(wholeText.has(name) ? traversal(a.extent.size) : 1, extent);
}
