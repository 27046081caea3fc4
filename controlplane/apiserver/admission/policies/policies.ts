import type { Facts } from '#api/admission/expressions.ts';
import type { MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding } from '#api/gen/types.ts';
import { apiVersionOf, validatingAdmissionPolicies, validatingAdmissionPolicyBindings } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError, type StatusCode } from '#common/errors.ts';
import { forbidden } from '../../api-errors.ts';
import type { KindIndex } from '../../kind-index.ts';
import { keptUnder } from '../../stored-form.ts';
import type { Expressions } from '../expressions.ts';
import { matchesNamespace, matchesObjects, matchesRule, matchesSelector, namespaceOf } from '../request-facts.ts';
import { reviewRequest } from '../review.ts';
import type { StoredObjects } from '../stored-objects.ts';
import type { AdmissionRequest } from '../types.ts';
import { equivalents, objectsFor } from '../webhooks/versions.ts';
import { judge, type Finding, type Verdict } from './evaluate.ts';

export interface PolicyDeps {
  readonly objects: StoredObjects;
  readonly kinds: KindIndex;
  readonly expressions: Expressions;
}

type Denial = Finding & { readonly policy: string; readonly binding: string };
const reasons: ReadonlySet<string> = new Set<StatusCode>(['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']);

/** What the policies on one request have for the audit log. */
class Told {
  readonly #values = new Map<string, Set<string>>();
  readonly #failures: object[] = [];

  /** The same key may come from many bindings and parameters. */
  add(key: string, value: string): void {
    const known = this.#values.get(key);
    if (known) known.add(value);
    else this.#values.set(key, new Set([value]));
  }

  fail(failures: readonly object[]): void {
    this.#failures.push(...failures);
  }

  annotate({ annotate }: AdmissionRequest): void {
    for (const [key, values] of this.#values) annotate?.(key, [...values].join(', '));
    if (this.#failures.length > 0) annotate?.('validation.policy.admission.k8s.io/validation_failure', JSON.stringify(this.#failures));
  }
}

/** ValidatingAdmissionPolicies with their bindings. Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ */
export class Policies {
  readonly #deps: PolicyDeps;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    const { objects } = this.#deps;
    const bindings = await objects.list(validatingAdmissionPolicyBindings);
    const denied: Denial[] = [];
    const told = new Told();
    for (const policy of await objects.list(validatingAdmissionPolicies)) {
      const own = bindings.filter(({ spec }) => spec?.policyName === policy.metadata?.name);
      const kind = own.length > 0 ? await this.#matches(policy.spec?.matchConstraints, request) : undefined;
      if (kind) for (const binding of own) denied.push(...await this.#bound(policy, binding, kind, request, told));
    }
    told.annotate(request);
    const [first] = denied;
    if (!first) return;
    const { details, message } = forbidden(request.kind.resource, request.name, `ValidatingAdmissionPolicy '${first.policy}' with binding '${first.binding}' denied request: ${first.message}`);
    throw new StatusError((reasons.has(first.reason) ? first.reason : 'Invalid') as StatusCode, message, { details: { ...details, causes: [{ reason: '', message: message.slice(message.indexOf('ValidatingAdmissionPolicy')) }] } });
  }

  /** The version in which the policy wants to see the object; undefined: not at all. */
  async #matches(match: MatchResources | undefined, request: AdmissionRequest): Promise<KindDefinition | undefined> {
    const { resourceRules = [], excludeResourceRules = [], matchPolicy, objectSelector, namespaceSelector } = match ?? {};
    const hit = (kind: KindDefinition): boolean => resourceRules.length === 0 || resourceRules.some((rule) => matchesRule(rule, { kind }, request));
    const others = matchPolicy === 'Exact' ? [] : equivalents(this.#deps.kinds, request.kind);
    if ([request.kind, ...others].some((kind) => excludeResourceRules.some((rule) => matchesRule(rule, { kind }, request)))) return undefined;
    const kind = [request.kind, ...others].find(hit);
    return kind && matchesObjects(objectSelector, request) && await matchesNamespace(namespaceSelector, request, this.#deps.objects) ? kind : undefined;
  }

  /** What a binding that denies has found; one that warns only tells. */
  async #bound(policy: ValidatingAdmissionPolicy, binding: ValidatingAdmissionPolicyBinding, kind: KindDefinition, request: AdmissionRequest, told: Told): Promise<Denial[]> {
    const { spec } = binding;
    if (spec?.matchResources && !await this.#matches(spec.matchResources, request)) return [];
    const [policyName, bindingName] = [policy.metadata?.name ?? '', binding.metadata?.name ?? ''];
    const { findings: found, annotations } = await this.#evaluate(policy, binding, kind, request);
    for (const [key, value] of annotations) told.add(`${policyName}/${key}`, value);
    if (spec?.validationActions?.includes('Audit')) told.fail(found.map(({ message, index }) => ({ message, policy: policyName, binding: bindingName, expressionIndex: Math.max(index, 0), validationActions: spec.validationActions })));
    if (spec?.validationActions?.includes('Warn')) for (const { message } of found) request.warnings?.push(`Validation failed for ValidatingAdmissionPolicy '${policyName}' with binding '${bindingName}': ${message}`);
    const denies = spec?.validationActions?.includes('Deny') === true;
    return found.filter(({ misconfigured }) => denies || misconfigured).map((finding) => ({ ...finding, policy: policyName, binding: bindingName }));
  }

  async #evaluate({ spec = {} }: ValidatingAdmissionPolicy, binding: ValidatingAdmissionPolicyBinding, kind: KindDefinition, request: AdmissionRequest): Promise<Verdict> {
    let params: readonly (KubeObject | undefined)[];
    try {
      params = spec.paramKind ? await this.#params(spec.paramKind, binding, request) : [undefined];
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return { annotations: [], findings: spec.failurePolicy === 'Ignore' ? [] : [{ message: `failed to configure binding: ${error.message}`, reason: 'Invalid', index: -1, misconfigured: true }] };
    }
    const shown = await objectsFor(request, kind);
    const review = reviewRequest(request, kind.resource, { object: undefined, old: undefined });
    const namespaceObject = await namespaceOf(this.#deps.objects, request);
    const verdicts: Verdict[] = [];
    for (const param of params) {
      verdicts.push(await this.#deps.expressions.answered(request, (ask, resource) => {
        const facts: Facts = { object: shown.object, oldObject: shown.old, request: review, ask, resource };
        return judge(spec, facts, { params: param, namespaceObject }, this.#deps.expressions);
      }));
    }
    return { findings: verdicts.flatMap(({ findings }) => findings), annotations: verdicts.flatMap(({ annotations }) => annotations) };
  }

  /** The objects that a binding takes its parameters from, each of which is applied. */
  async #params({ apiVersion = '', kind: word = '' }: { readonly apiVersion?: string | undefined; readonly kind?: string | undefined }, { spec }: ValidatingAdmissionPolicyBinding, { namespace }: AdmissionRequest): Promise<readonly KubeObject[]> {
    const kind = this.#deps.kinds.all.find(({ resource }) => resource.kind === word && apiVersionOf(resource) === apiVersion);
    if (!kind) throw new StatusError('NotFound', `failed to find resource referenced by paramKind: '${apiVersion}, Kind=${word}'`);
    const { name, selector, namespace: wanted, parameterNotFoundAction } = spec?.paramRef ?? {};
    const place = kind.resource.namespaced ? wanted ?? namespace : undefined;
    if (kind.resource.namespaced && place === undefined) throw new StatusError('Invalid', 'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
    const resource = { ...kind.resource, ...keptUnder(kind) };
    const found = name
      ? [await this.#deps.objects.get(resource, place, name)].filter((param) => param !== undefined)
      : selector ? (await this.#deps.objects.list(resource, place)).filter(({ metadata }) => matchesSelector(selector, metadata?.labels)) : [];
    if (found.length > 0 || (!name && !selector)) return found;
    if (parameterNotFoundAction === 'Allow') return [];
    throw new StatusError('NotFound', "no params found for policy binding with `Deny` parameterNotFoundAction");
  }
}
