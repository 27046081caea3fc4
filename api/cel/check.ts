import type { Comprehension, Expr } from './ast.ts';
import { CelCompileError, type Issue } from './errors.ts';
import type { Functions, Overload } from './functions.ts';
import * as t from './types.ts';
import { assignable, printType, substitute, type CelType, type ObjectField } from './types.ts';
import { typeName, type Value } from './values.ts';

interface Typed { readonly at: number; readonly type: CelType }

/** An expression whose parts have types, and whose calls know which functions they may be of. */
export type Checked =
  | Typed & { readonly kind: 'literal'; readonly value: Value }
  | Typed & { readonly kind: 'ident'; readonly name: string }
  | Typed & { readonly kind: 'select'; readonly operand: Checked; readonly field: string; readonly form: 'plain' | 'optional' | 'test' }
  | Typed & { readonly kind: 'call'; readonly name: string; readonly args: readonly Checked[]; readonly overloads: readonly Overload[] }
  | Typed & { readonly kind: 'list'; readonly items: readonly { readonly value: Checked; readonly optional: boolean }[] }
  | Typed & { readonly kind: 'map'; readonly entries: readonly { readonly key: Checked; readonly value: Checked; readonly optional: boolean }[] }
  | Typed & { readonly kind: 'let'; readonly macro: 'optMap' | 'optFlatMap' | 'bind'; readonly name: string; readonly value: Checked; readonly body: Checked }
  | Typed & { readonly kind: 'comprehension'; readonly macro: Comprehension['macro']; readonly range: Checked; readonly variables: readonly string[]; readonly filter: Checked | undefined; readonly body: Checked };

export interface Declarations {
  readonly variables: Readonly<Record<string, CelType>>;
  readonly functions: Functions;
}

const typeNames = new Set(['bool', 'int', 'uint', 'double', 'string', 'bytes', 'list', 'map', 'null_type', 'type', 'google.protobuf.Timestamp', 'google.protobuf.Duration', 'optional_type']);

/** Gives every part its type. Throws CelCompileError with all that is wrong. */
export function check(text: string, expr: Expr, declarations: Declarations): Checked {
  const checker = new Checker(declarations);
  const checked = checker.visit(expr, undefined);
  if (checker.issues.length > 0) throw new CelCompileError(text, checker.issues);
  return checked;
}

interface Scope { readonly name: string; readonly type: CelType; readonly outer: Scope | undefined }

function isLocal(name: string, scope: Scope | undefined): boolean {
  for (let here = scope; here; here = here.outer) if (here.name === name) return true;
  return false;
}

class Checker {
  readonly issues: Issue[] = [];
  readonly #variables: ReadonlyMap<string, CelType>;
  readonly #functions: Functions;

  constructor({ variables, functions }: Declarations) {
    this.#variables = new Map(Object.entries(variables));
    this.#functions = functions;
  }

  visit(expr: Expr, scope: Scope | undefined): Checked {
    switch (expr.kind) {
      case 'literal': return { ...expr, type: literalType(expr.value) };
      case 'ident': return this.#ident(expr, scope);
      case 'select': return this.#select(expr, scope);
      case 'call': return this.#call(expr, scope);
      case 'list': return this.#list(expr, scope);
      case 'map': return this.#map(expr, scope);
      case 'struct': return this.#wrong(expr.at, `undeclared reference to '${expr.name}' (in container '')`);
      case 'let': return this.#let(expr, scope);
      case 'comprehension': return this.#comprehension(expr, scope);
    }
  }

  /** Notes what is wrong; what follows from it is not wrong again. */
  #wrong(at: number, message: string): Checked {
    this.issues.push({ at, message });
    return { kind: 'literal', at, type: t.dyn, value: null };
  }

  #variable(name: string, scope: Scope | undefined): CelType | undefined {
    for (let here = scope; here; here = here.outer) if (here.name === name) return here.type;
    return this.#variables.get(name) ?? (typeNames.has(name) ? t.typeType : undefined);
  }

  #ident({ name, at }: Extract<Expr, { kind: 'ident' }>, scope: Scope | undefined): Checked {
    const type = this.#variable(name, scope);
    return type ? { kind: 'ident', at, name, type } : this.#wrong(at, `undeclared reference to '${name}' (in container '')`);
  }

  #select(expr: Extract<Expr, { kind: 'select' }>, scope: Scope | undefined): Checked {
    const name = qualifiedName(expr);
    const first = name?.split('.')[0] ?? '';
    // The longest name that is declared wins, unless a macro's variable hides its beginning.
    if (name !== undefined && (this.#variables.has(name) ? !isLocal(first, scope) : typeNames.has(name) && this.#variable(first, scope) === undefined)) {
      return { kind: 'ident', at: expr.at, name, type: this.#variable(name, scope) ?? t.dyn };
    }
    const operand = this.visit(expr.operand, scope);
    const { field, form, at } = expr;
    const inner = unwrapped(operand.type);
    const isOptional = inner !== operand.type;
    const type = this.#fieldType(inner, field, at);
    const result = form === 'test' ? t.bool : form === 'optional' || isOptional ? t.optional(type) : type;
    return { kind: 'select', at, operand, field, form, type: result };
  }

  #fieldType(type: CelType, field: string, at: number): CelType {
    switch (type.kind) {
      case 'dyn': case 'parameter': return t.dyn;
      case 'map': return type.value;
      case 'object': {
        const found = fieldOf(type, field);
        if (found) return found.type;
        this.issues.push({ at, message: `undefined field '${field}'` });
        return t.dyn;
      }
      default:
        this.issues.push({ at, message: `type '${printType(type)}' does not support field selection` });
        return t.dyn;
    }
  }

  #call(expr: Extract<Expr, { kind: 'call' }>, scope: Scope | undefined): Checked {
    const { at, target } = expr;
    const prefix = target && qualifiedName(target);
    const qualified = prefix === undefined ? undefined : `${prefix}.${expr.name}`;
    const isGlobal = qualified !== undefined && this.#functions.has(qualified) && this.#variable(prefix?.split('.')[0] ?? '', scope) === undefined;
    const name = isGlobal ? qualified : expr.name;
    const args = [...(target && !isGlobal ? [target] : []), ...expr.args].map((arg) => (name === 'format' && arg.kind === 'list' ? this.#list(arg, scope, true) : this.visit(arg, scope)));
    const member = target !== undefined && !isGlobal;
    const known = this.#functions.get(name);
    if (!known) return this.#wrong(at, `undeclared reference to '${name}' (in container '')`);
    const types = args.map(({ type }) => type);
    const fitting = known.filter((overload) => overload.member === member && overload.args.length === args.length).flatMap((overload) => {
      const by: t.Substitution = new Map();
      return overload.args.every((wanted, i) => assignable(wanted, types[i] ?? t.dyn, by)) ? [{ overload, result: substitute(overload.result, by) }] : [];
    });
    if (fitting.length === 0) {
      const shown = member ? `${printType(types[0] ?? t.dyn)}.(${types.slice(1).map(printType).join(', ')})` : `(${types.map(printType).join(', ')})`;
      return this.#wrong(at, `found no matching overload for '${name}' applied to '${shown}'`);
    }
    const [first] = fitting;
    const same = fitting.every(({ result }) => printType(result) === printType(first?.result ?? t.dyn));
    return { kind: 'call', at, name, args, overloads: fitting.map(({ overload }) => overload), type: same ? first?.result ?? t.dyn : t.dyn };
  }

  /** What is formatted may be of many types. */
  #list({ items, at }: Extract<Expr, { kind: 'list' }>, scope: Scope | undefined, mixed = false): Checked {
    const checked = items.map(({ value, optional }) => ({ optional, value: this.visit(value, scope) }));
    const item = mixed ? t.dyn : this.#joined(checked.map(({ value, optional }) => ({ at: value.at, type: optional ? unwrapped(value.type) : value.type })));
    return { kind: 'list', at, items: checked, type: t.list(item) };
  }

  #map({ entries, at }: Extract<Expr, { kind: 'map' }>, scope: Scope | undefined): Checked {
    const checked = entries.map(({ key, value, optional }) => ({ optional, key: this.visit(key, scope), value: this.visit(value, scope) }));
    const key = this.#joined(checked.map((entry) => entry.key));
    const value = this.#joined(checked.map((entry) => ({ at: entry.value.at, type: entry.optional ? unwrapped(entry.value.type) : entry.value.type })));
    return { kind: 'map', at, entries: checked, type: t.map(key, value) };
  }

  /** The one type of several parts. Kubernetes does not let them differ. */
  #joined(parts: readonly Typed[]): CelType {
    const by: t.Substitution = new Map();
    const joined = t.parameter('joined');
    for (const { type, at } of parts) {
      if (!assignable(joined, type, by)) {
        this.issues.push({ at, message: `expected type '${printType(substitute(joined, by))}' but found '${printType(type)}'` });
        return t.dyn;
      }
    }
    return substitute(joined, by);
  }

  #let(expr: Extract<Expr, { kind: 'let' }>, outer: Scope | undefined): Checked {
    const { macro, name, at } = expr;
    const value = this.visit(expr.value, outer);
    const inner = macro === 'bind' ? value.type : unwrapped(value.type);
    if (macro !== 'bind' && inner === value.type && value.type.kind !== 'dyn') return this.#wrong(at, `found no matching overload for '${macro}' applied to '${printType(value.type)}'`);
    const body = this.visit(expr.body, { name, type: inner, outer });
    const type = macro === 'optMap' ? t.optional(body.type) : body.type;
    return { kind: 'let', at, macro, name, value, body, type };
  }

  #comprehension(expr: Comprehension, outer: Scope | undefined): Checked {
    const { macro, variables, at } = expr;
    const range = this.visit(expr.range, outer);
    const types = this.#rangeTypes(range, variables.length);
    const scope = variables.reduce<Scope | undefined>((inner, name, i) => ({ name, type: types[i] ?? t.dyn, outer: inner }), outer);
    const filter = expr.filter && this.#boolean(this.visit(expr.filter, scope));
    const visited = this.visit(expr.body, scope);
    const body = ['all', 'exists', 'exists_one', 'filter'].includes(macro) ? this.#boolean(visited) : visited;
    return { kind: 'comprehension', at, macro, range, variables, filter, body, type: comprehensionType(macro, types, range.type, body.type) };
  }

  #boolean(expr: Checked): Checked {
    if (expr.type.kind !== 'bool' && expr.type.kind !== 'dyn') this.issues.push({ at: expr.at, message: `expected type 'bool' but found '${printType(expr.type)}'` });
    return expr;
  }

  #rangeTypes({ type, at }: Checked, count: number): readonly CelType[] {
    switch (type.kind) {
      case 'list': return count === 2 ? [t.int, type.item] : [type.item];
      case 'map': return [type.key, type.value];
      case 'object': return [t.string, t.dyn];
      case 'dyn': case 'parameter': return [t.dyn, t.dyn];
      default:
        this.issues.push({ at, message: `expression of type '${printType(type)}' cannot be range of a comprehension (must be list, map, or dynamic)` });
        return [t.dyn, t.dyn];
    }
  }
}

function comprehensionType(macro: Comprehension['macro'], types: readonly CelType[], range: CelType, body: CelType): CelType {
  switch (macro) {
    case 'map': case 'transformList': return t.list(body);
    case 'filter': return t.list(types[0] ?? t.dyn);
    case 'sortBy': return range.kind === 'list' ? range : t.list(types[0] ?? t.dyn);
    case 'transformMap': return t.map(types[0] ?? t.dyn, body);
    case 'transformMapEntry': return body.kind === 'map' ? body : t.map(t.dyn, t.dyn);
    default: return t.bool;
  }
}

function literalType(value: Value): CelType {
  const name = typeName(value);
  return name === 'null_type' ? t.nullType : { kind: name as 'bool' };
}

/** What an optional holds; any other type itself. */
export function unwrapped(type: CelType): CelType {
  return type.kind === 'opaque' && type.name === 'optional_type' ? type.parameters[0] ?? t.dyn : type;
}

export function fieldOf(type: Extract<CelType, { kind: 'object' }>, field: string): ObjectField | undefined {
  return type.fields.get(field);
}

/** `a.b.c` where an expression is nothing but names. */
function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name;
  if (expr.kind !== 'select' || expr.form !== 'plain') return undefined;
  const prefix = qualifiedName(expr.operand);
  return prefix === undefined ? undefined : `${prefix}.${expr.field}`;
}
