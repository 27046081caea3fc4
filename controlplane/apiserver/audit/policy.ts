import { isRecord } from '#api/meta/json.ts';
import { StatusError } from '#common/errors.ts';
import type { User } from '../types.ts';

/** How much is written of a request, from nothing to both bodies. */
export const levels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type Level = (typeof levels)[number];

export const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
export type Stage = (typeof stages)[number];

/** What a rule may look at. */
export interface AuditedFacts {
  readonly user: User;
  readonly verb: string;
  readonly path: string;
  readonly resource: { readonly group: string; readonly plural: string; readonly subresource: string | undefined; readonly namespace: string | undefined; readonly name: string | undefined } | undefined;
}

interface ResourceRule { readonly group: string; readonly resources: readonly string[]; readonly resourceNames: readonly string[] }

interface Rule {
  readonly level: Level;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly namespaces: readonly string[];
  readonly resources: readonly ResourceRule[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly Stage[];
  readonly omitManagedFields: boolean | undefined;
}

/** A Policy of audit.k8s.io/v1. Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/ */
export interface AuditPolicy {
  readonly rules: readonly Rule[];
  readonly omitStages: readonly Stage[];
  readonly omitManagedFields: boolean;
}

export interface Decision {
  readonly level: Level;
  readonly omitStages: ReadonlySet<Stage>;
  readonly omitManagedFields: boolean;
}

const anyone = { users: [], userGroups: [], verbs: [], namespaces: [], resources: [], nonResourceURLs: [], omitStages: [], omitManagedFields: undefined };

/** Who asked for what, of every request; what is used when no policy is given. */
export const defaultPolicy: AuditPolicy = { rules: [{ ...anyone, level: 'Metadata' }], omitStages: ['RequestReceived'], omitManagedFields: true };

/** The first rule that matches decides; where none does, nothing is written. */
export function decide(policy: AuditPolicy, facts: AuditedFacts): Decision {
  const rule = policy.rules.find((one) => matches(one, facts));
  return {
    level: rule?.level ?? 'None',
    omitStages: new Set([...policy.omitStages, ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields,
  };
}

function matches(rule: Rule, { user, verb, path, resource }: AuditedFacts): boolean {
  const names = (wanted: readonly string[], found: readonly string[]): boolean => wanted.length === 0 || found.some((one) => wanted.includes(one));
  if (!names(rule.users, [user.name]) || !names(rule.userGroups, user.groups) || !names(rule.verbs, [verb])) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) {
    if (!resource || !names(rule.namespaces, [resource.namespace ?? ''])) return false;
    return rule.resources.length === 0 || rule.resources.some((one) => matchesResource(one, resource));
  }
  if (rule.nonResourceURLs.length > 0) return !resource && rule.nonResourceURLs.some((url) => url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))));
  return true;
}

function matchesResource(rule: ResourceRule, { group, plural, subresource, name }: NonNullable<AuditedFacts['resource']>): boolean {
  if (rule.group !== group) return false;
  const full = subresource === undefined ? plural : `${plural}/${subresource}`;
  const named = rule.resources.length === 0 || rule.resources.some((one) => one === full || one === '*' || (subresource !== undefined && (one === `${plural}/*` || one === `*/${subresource}`)));
  return named && (rule.resourceNames.length === 0 || (name !== undefined && rule.resourceNames.includes(name)));
}

/** Reads a Policy. Throws `Invalid` with the field that is wrong. */
export function parsePolicy(value: unknown): AuditPolicy {
  const policy = record(value, 'the policy', ['apiVersion', 'kind', 'metadata', 'rules', 'omitStages', 'omitManagedFields']);
  if (policy['apiVersion'] !== 'audit.k8s.io/v1' || policy['kind'] !== 'Policy') throw invalid('apiVersion', 'must be audit.k8s.io/v1, with kind Policy');
  const rules = list(policy['rules'], 'rules');
  if (rules.length === 0) throw invalid('rules', 'must have at least one rule');
  return {
    rules: rules.map((rule, i) => parseRule(rule, `rules[${String(i)}]`)),
    omitStages: strings(policy['omitStages'], 'omitStages', stages),
    omitManagedFields: flag(policy['omitManagedFields'], 'omitManagedFields') ?? false,
  };
}

function parseRule(value: unknown, path: string): Rule {
  const rule = record(value, path, ['level', 'users', 'userGroups', 'verbs', 'namespaces', 'resources', 'nonResourceURLs', 'omitStages', 'omitManagedFields']);
  const { level } = rule;
  if (!isLevel(level)) throw invalid(`${path}.level`, `must be one of ${levels.join(', ')}`);
  const parsed: Rule = {
    level,
    users: strings(rule['users'], `${path}.users`),
    userGroups: strings(rule['userGroups'], `${path}.userGroups`),
    verbs: strings(rule['verbs'], `${path}.verbs`),
    namespaces: strings(rule['namespaces'], `${path}.namespaces`),
    resources: list(rule['resources'], `${path}.resources`).map((one, i) => parseResources(one, `${path}.resources[${String(i)}]`)),
    nonResourceURLs: strings(rule['nonResourceURLs'], `${path}.nonResourceURLs`),
    omitStages: strings(rule['omitStages'], `${path}.omitStages`, stages),
    omitManagedFields: flag(rule['omitManagedFields'], `${path}.omitManagedFields`),
  };
  if (parsed.nonResourceURLs.length > 0 && (parsed.resources.length > 0 || parsed.namespaces.length > 0)) throw invalid(`${path}.nonResourceURLs`, 'rules cannot apply to both regular resources and non-resource URLs');
  return parsed;
}

function parseResources(value: unknown, path: string): ResourceRule {
  const rule = record(value, path, ['group', 'resources', 'resourceNames']);
  const { group = '' } = rule;
  if (typeof group !== 'string') throw invalid(`${path}.group`, 'must be a string');
  const parsed = { group, resources: strings(rule['resources'], `${path}.resources`), resourceNames: strings(rule['resourceNames'], `${path}.resourceNames`) };
  if (parsed.resourceNames.length > 0 && parsed.resources.length === 0) throw invalid(`${path}.resourceNames`, 'using resourceNames requires at least one resource');
  return parsed;
}

function isLevel(value: unknown): value is Level {
  return levels.some((level) => level === value);
}

function record(value: unknown, path: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw invalid(path, 'must be an object');
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(path, `has an unknown field ${JSON.stringify(unknown)}`);
  return value;
}

function list(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(path, 'must be a list');
  return value;
}

function strings<T extends string = string>(value: unknown, path: string, allowed?: readonly T[]): readonly T[] {
  return list(value, path).map((one): T => {
    if (typeof one !== 'string') throw invalid(path, 'must be a list of strings');
    if (allowed && !allowed.some((a) => a === one)) throw invalid(path, `${JSON.stringify(one)} is not one of ${allowed.join(', ')}`);
    return one as T;
  });
}

function flag(value: unknown, path: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(path, 'must be true or false');
}

function invalid(path: string, why: string): StatusError {
  return new StatusError('Invalid', `${path}: ${why}`);
}
