import { CelCompileError, perObjectLimit } from '../cel/cel.ts';
import { estimateCost, maxSize } from '../cel/estimate.ts';
import type { ValidationRule } from '../gen/types.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { isRecord } from '../meta/json.ts';
import type { Schema } from '../meta/schema.ts';
import { escapeName } from '../cel/schema-type.ts';
import { compileRule, rulesOf, selfType, type CompiledRule } from './rules.ts';

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];
const perRuleLimit = perObjectLimit;
const perDefinitionLimit = 100_000_000;
const advice = '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)';

/** What is wrong with the rules of a definition's schema: they must compile, and be cheap however large an object is. */
export function ruleDefinitionErrors(root: Schema, field: string): FieldError[] {
  return new RuleDefinitions().root(root, field);
}

class RuleDefinitions {
  #total = 0;

  root(schema: Schema, field: string): FieldError[] {
    const errors = this.#visit(schema, field, 1, undefined, true);
    if (this.#total <= perDefinitionLimit) return errors;
    return [...errors, forbidden(field, `x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of ${factor(this.#total, perDefinitionLimit)} ${advice}`)];
  }

  /** `times`: how often this part can be in an object. `uncorrelated`: the list or map above it in which nobody can say what an item was before. */
  #visit(schema: Schema, field: string, times: number, uncorrelated: string | undefined, isRoot = false): FieldError[] {
    const errors = rulesOf(schema).flatMap((rule, i) => this.#rule(rule, schema, `${field}.x-kubernetes-validations[${i}]`, times, uncorrelated, isRoot));
    for (const [name, property] of Object.entries(schema.properties ?? {})) errors.push(...this.#visit(property, `${field}.properties[${name}]`, times, uncorrelated));
    if (schema.items) {
      const loses = schema['x-kubernetes-list-type'] === 'map' ? uncorrelated : uncorrelated ?? `${field}.items`;
      errors.push(...this.#visit(schema.items, `${field}.items`, times * maxSize(schema), loses));
    }
    if (isRecord(schema.additionalProperties)) errors.push(...this.#visit(schema.additionalProperties as Schema, `${field}.additionalProperties`, times * maxSize(schema), uncorrelated));
    return errors;
  }

  #rule(rule: ValidationRule, schema: Schema, field: string, times: number, uncorrelated: string | undefined, isRoot: boolean): FieldError[] {
    const errors = textErrors(rule, field);
    if (!rule.rule?.trim()) return [...errors, required(`${field}.rule`, 'rule is not specified')];
    const type = selfType(schema, isRoot);
    let compiled: CompiledRule;
    try {
      compiled = compileRule({ rule: rule.rule, ...(rule.optionalOldSelf !== undefined && { optionalOldSelf: rule.optionalOldSelf }) }, type);
    } catch (error) {
      if (error instanceof CelCompileError) return [...errors, invalid(`${field}.rule`, rule.rule, error.message === resultMessage(rule.rule) ? 'must evaluate to a bool' : `compilation failed: ${error.message}`)];
      throw error;
    }
    if (compiled.isTransition && uncorrelated !== undefined) errors.push(invalid(`${field}.rule`, rule.rule, `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated}`));
    if (rule.optionalOldSelf !== undefined && !compiled.isTransition) errors.push(invalid(`${field}.optionalOldSelf`, rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule'));
    if (rule.fieldPath !== undefined) errors.push(...fieldPathErrors(rule.fieldPath, schema, `${field}.fieldPath`));
    errors.push(...this.#cost(compiled, schema, times, `${field}.rule`, 'rule'));
    if (!rule.messageExpression?.trim()) return errors;
    try {
      const { message } = compileRule(rule, type);
      if (message) errors.push(...this.#cost({ ...compiled, program: message }, schema, times, `${field}.messageExpression`, 'messageExpression'));
    } catch (error) {
      if (!(error instanceof CelCompileError)) throw error;
      errors.push(invalid(`${field}.messageExpression`, rule.messageExpression, `messageExpression compilation failed: ${error.message}`));
    }
    return errors;
  }

  #cost({ program }: CompiledRule, schema: Schema, times: number, field: string, what: string): FieldError[] {
    const cost = estimateCost(program.checked, { self: schema, oldSelf: schema }) * times;
    this.#total += cost;
    return cost > perRuleLimit ? [forbidden(field, `estimated ${what} cost exceeds budget by factor of ${factor(cost, perRuleLimit)} ${advice}`)] : [];
  }
}

function resultMessage(rule: string): string {
  return `ERROR: <input>:1:1: must evaluate to bool\n | ${rule.split('\n')[0] ?? ''}\n | ^`;
}

function factor(cost: number, limit: number): string {
  const times = cost / limit;
  return times > 100 ? 'more than 100x' : `${times.toFixed(1)}x`;
}

function textErrors({ rule, message, messageExpression, reason }: ValidationRule, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (message !== undefined && message !== '' && message.trim() === '') errors.push(invalid(`${field}.message`, message, 'message must be non-empty if specified'));
  else if (message?.trim().includes('\n') === true) errors.push(invalid(`${field}.message`, message, 'message must not contain line breaks'));
  else if (rule.trim().includes('\n') && !message) errors.push(required(`${field}.message`, 'message must be specified if rule contains line breaks'));
  if (messageExpression !== undefined && messageExpression !== '' && messageExpression.trim() === '') errors.push(required(`${field}.messageExpression`, 'must be non-empty if specified'));
  if (reason !== undefined && !reasons.includes(reason)) errors.push(notSupported(`${field}.reason`, reason, reasons));
  return errors;
}

/** A path to a field of the schema that the rule stands at. */
function fieldPathErrors(path: string, schema: Schema, field: string): FieldError[] {
  const bad = (why: string): FieldError[] => [invalid(field, path, `fieldPath must be a valid path: ${why}`)];
  if (path.trim() === '') return [invalid(field, path, 'must be non-empty if specified')];
  if (path.includes('\n')) return [invalid(field, path, 'fieldPath must not contain line breaks')];
  const steps = [...path.matchAll(/\.([a-zA-Z_][a-zA-Z0-9_]*)|\['((?:[^'\\]|\\.)*)'\]/gy)];
  if (steps.map(([text]) => text).join('') !== path) return bad(`it must be made of .name and ['name']`);
  let here: Schema | undefined = schema;
  for (const [, name, quoted] of steps) {
    const key = name ?? (quoted ?? '').replaceAll(/\\(.)/g, '$1');
    const found: Schema | undefined = here?.properties?.[key] ?? Object.entries(here?.properties ?? {}).find(([property]) => escapeName(property) === key)?.[1];
    here = found ?? (isRecord(here?.additionalProperties) ? here.additionalProperties as Schema : undefined);
    if (here === undefined) return bad(`does not refer to a valid field: ${key}`);
  }
  return [];
}
