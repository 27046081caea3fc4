import { Budget, CelBudgetError, CelError, compile, evaluate, fromJson, perCallLimit, perObjectLimit, typeOfSchema, type CelType, type Program, type Value } from '../cel/cel.ts';
import type { Checked } from '../cel/check.ts';
import { bool, dyn, optional, string } from '../cel/types.ts';
import { Optional } from '../cel/values.ts';
import type { ValidationRule } from '../gen/types.ts';
import { equal } from '../meta/equal.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../meta/field-error.ts';
import { isRecord, own } from '../meta/json.ts';
import type { KubeObject } from '../meta/object.ts';
import type { Schema } from '../meta/schema.ts';
import { previousItems } from './check.ts';

export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program;
  readonly message: Program | undefined;
  /** Compares with what was before. */
  readonly isTransition: boolean;
}

/** A part of a schema that has rules, or parts that have. */
interface RuleNode {
  readonly schema: Schema;
  readonly type: CelType;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly items: RuleNode | undefined;
  readonly rest: RuleNode | undefined;
}

export function rulesOf(schema: Schema): readonly ValidationRule[] {
  const rules = schema['x-kubernetes-validations'];
  return Array.isArray(rules) ? rules as readonly ValidationRule[] : [];
}

/** The type of `self` where `schema` stands. */
export function selfType(schema: Schema, isRoot: boolean): CelType {
  return typeOfSchema(schema, isRoot);
}

/** Throws CelCompileError; a definition with such a rule is refused. */
export function compileRule(rule: ValidationRule, self: CelType): CompiledRule {
  const variables = { self, oldSelf: rule.optionalOldSelf === true ? optional(self) : self };
  const program = compile(rule.rule, { variables }, bool);
  return { rule, program, isTransition: mentions(program.checked, 'oldSelf'), message: rule.messageExpression ? compile(rule.messageExpression, { variables }, string) : undefined };
}

/** Whether a variable is spoken of anywhere. */
export function mentions(expr: Checked, name: string): boolean {
  switch (expr.kind) {
    case 'literal': return false;
    case 'ident': return expr.name === name;
    case 'select': return mentions(expr.operand, name);
    case 'call': return expr.args.some((arg) => mentions(arg, name));
    case 'list': return expr.items.some(({ value }) => mentions(value, name));
    case 'map': return expr.entries.some(({ key, value }) => mentions(key, name) || mentions(value, name));
    case 'let': return mentions(expr.value, name) || mentions(expr.body, name);
    case 'comprehension': return [expr.range, expr.filter, expr.body].some((part) => part !== undefined && mentions(part, name));
  }
}

/** Checks objects against the rules of a schema. Rules that cannot be compiled, from before a stricter compiler, are passed over. */
export function ruleChecker(schema: Schema): (object: KubeObject, old: KubeObject | undefined) => FieldError[] {
  const root = nodeOf(schema, true);
  return (object, old) => (root ? new RuleCheck().visit(root, object, old, '', true) : []);
}

function nodeOf(schema: Schema, isRoot: boolean): RuleNode | undefined {
  if (schema.$ref !== undefined) return undefined;
  const given = rulesOf(schema);
  // Types of large schemas are large, and most parts have no rules.
  const type = given.length > 0 ? selfType(schema, isRoot) : dyn;
  const rules = given.flatMap((rule) => {
    try {
      return [compileRule(rule, type)];
    } catch {
      return [];
    }
  });
  const properties = new Map(Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const node = nodeOf(property, false);
    return node ? [[name, node] as const] : [];
  }));
  const items = schema.items && nodeOf(schema.items, false);
  const rest = isRecord(schema.additionalProperties) ? nodeOf(schema.additionalProperties as Schema, false) : undefined;
  return rules.length > 0 || properties.size > 0 || items || rest ? { schema, type, rules, properties, items, rest } : undefined;
}

class RuleCheck {
  #left = perObjectLimit;

  /** `old` is undefined where nothing was, or where nobody can say what it was. */
  visit(node: RuleNode, value: unknown, old: unknown, path: string, isRoot = false): FieldError[] {
    if (value === null || value === undefined || this.#left < 0) return [];
    const errors = this.#rules(node, value, old, path, isRoot);
    if (Array.isArray(value)) {
      const { items } = node;
      const before = previousItems(node.schema, old);
      if (items) errors.push(...value.flatMap((item, i) => this.visit(items, item, before(item), `${path}[${i}]`)));
    } else if (isRecord(value)) {
      for (const key of Object.keys(value)) {
        const child = node.properties.get(key) ?? (node.schema.properties !== undefined && Object.hasOwn(node.schema.properties, key) ? undefined : node.rest);
        if (child) errors.push(...this.visit(child, own(value, key), isRecord(old) ? own(old, key) : undefined, path === '' ? key : `${path}.${key}`));
      }
    }
    return errors;
  }

  #rules(node: RuleNode, value: unknown, old: unknown, path: string, isRoot: boolean): FieldError[] {
    const errors: FieldError[] = [];
    const unchanged = old !== undefined && old !== null && equal(value, old);
    let self: Value | undefined;
    let oldSelf: Value | undefined;
    for (const compiled of node.rules) {
      const { rule, isTransition } = compiled;
      const optionalOld = rule.optionalOldSelf === true;
      if (unchanged && !isTransition) continue;
      if (isTransition && (old === undefined || old === null) && !optionalOld) continue;
      try {
        self ??= fromJson(value, node.type);
        oldSelf ??= old === undefined || old === null ? undefined : fromJson(old, node.type);
      } catch (error) {
        if (error instanceof CelError) return [invalid(path, node.schema.type, error.message)];
        throw error;
      }
      const variables = { self, oldSelf: optionalOld ? new Optional(oldSelf) : oldSelf };
      const error = this.#one(compiled, variables, node, isRoot && path === '' ? '' : path);
      if (error) errors.push(error);
      if (this.#left < 0) break;
    }
    return errors;
  }

  #one({ rule, program, message }: CompiledRule, variables: { self: Value; oldSelf: Value | undefined }, node: RuleNode, path: string): FieldError | undefined {
    const shown = rule.message?.trim() || rule.rule;
    const type = node.schema.type ?? '';
    const budget = new Budget(Math.min(perCallLimit, this.#left));
    try {
      if (evaluate(program, variables, budget) === true) return undefined;
    } catch (error) {
      if (error instanceof CelBudgetError) {
        const total = this.#left < perCallLimit;
        this.#left = -1;
        return invalid(path, type, total ? 'validation failed due to running out of cost budget, no further validation rules will be run' : `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${shown}`);
      }
      if (!(error instanceof CelError)) throw error;
      return invalid(path, type, error.message.startsWith('no such overload')
        ? `'${error.message}': call arguments did not match a supported operator, function or macro signature for rule: ${shown}`
        : `${error.message} evaluating rule: ${shown}`);
    } finally {
      if (this.#left >= 0) this.#left -= Math.min(perCallLimit, this.#left) - Math.max(0, budget.left);
    }
    return broken(rule, `${path}${childPath(rule.fieldPath, path)}`, type, this.#message(rule, message, variables));
  }

  #message(rule: ValidationRule, program: Program | undefined, variables: { self: Value; oldSelf: Value | undefined }): string {
    const fixed = rule.message?.trim() || `failed rule: ${rule.rule.trim()}`;
    if (!program || this.#left < 0) return fixed;
    const budget = new Budget(Math.min(perCallLimit, this.#left));
    try {
      const text = evaluate(program, variables, budget);
      const line = typeof text === 'string' ? text.trim() : '';
      return line === '' || line.includes('\n') || line.length > 5 * 1024 ? fixed : line;
    } catch (error) {
      if (error instanceof CelError || error instanceof CelBudgetError) return fixed;
      throw error;
    } finally {
      this.#left -= Math.min(perCallLimit, this.#left) - Math.max(0, budget.left);
    }
  }
}

/** `.spec.a['b.c']` below a path; the first dot goes where there is nothing before it. */
function childPath(fieldPath: string | undefined, path: string): string {
  const dotted = (fieldPath ?? '').replaceAll(/\['((?:[^'\\]|\\.)*)'\]/g, (_, name: string) => (/^[\w-]+$/.test(name) ? `.${name}` : `[${name.replaceAll(/\\(.)/g, '$1')}]`));
  return path === '' ? dotted.replace(/^\./, '') : dotted;
}

function broken(rule: ValidationRule, path: string, type: string, message: string): FieldError {
  switch (rule.reason) {
    case 'FieldValueForbidden': return forbidden(path, message);
    case 'FieldValueRequired': return required(path, message);
    case 'FieldValueDuplicate': return { ...duplicate(path, type), message: `Duplicate value: ${JSON.stringify(type)}` };
    default: return invalid(path, type, message);
  }
}
