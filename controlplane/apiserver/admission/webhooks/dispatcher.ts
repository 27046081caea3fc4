import type { MutatingWebhook, Scale, ValidatingWebhook } from '#api/gen/types.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, type Subresource } from '#api/kinds/engine.ts';
import { mutatingWebhookConfigurations, validatingWebhookConfigurations, type Resource } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { equal } from '#api/meta/equal.ts';
import { jsonPatch } from '#api/meta/patch.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { badRequest, forbidden } from '../../api-errors.ts';
import type { WebhookCaller } from '../../custom/conversion-webhook.ts';
import type { KindIndex } from '../../kind-index.ts';
import { scaleKind, withScale } from '../../scale.ts';
import type { Expressions } from '../expressions.ts';
import { matchesNamespace, matchesObjects, matchesRule } from '../request-facts.ts';
import { denial, readResponse, reviewRequest, type ReviewResponse } from '../review.ts';
import type { StoredObjects } from '../stored-objects.ts';
import type { AdmissionRequest } from '../types.ts';
import { convert, equivalents, objectsFor } from './versions.ts';

type Webhook = MutatingWebhook | ValidatingWebhook;

export interface WebhookDeps {
  readonly objects: StoredObjects;
  readonly kinds: KindIndex;
  readonly call: WebhookCaller;
  /** Loaded with the first that is needed. */
  readonly expressions: () => Promise<Expressions>;
}

/** More would not fit into the headers of an answer. */
const maxWarnings = 20;

/** A webhook as its configuration has it. */
interface Configured<T extends Webhook> { readonly webhook: T; readonly configuration: string }

/** A webhook that wants to see a request, and in which version. */
interface Chosen { readonly webhook: Webhook; readonly kind: KindDefinition }

/** Names, in audit annotations, which of the webhooks that were asked it was: the round of asking, and the place within. */
interface Turn { readonly configuration: string; readonly round: number; readonly index: number }

/** Asks admission webhooks. Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ */
export class WebhookDispatcher {
  readonly #deps: WebhookDeps;

  constructor(deps: WebhookDeps) {
    this.#deps = deps;
  }

  /**
   * One after another, each with what those before have made of the object. What is returned, if something has changed, asks
   * those again that want to see what came after them; call it once, when all other plugins have seen the change.
   */
  async mutate(request: AdmissionRequest): Promise<(() => Promise<void>) | undefined> {
    const webhooks = await this.#webhooks<MutatingWebhook>(mutatingWebhookConfigurations);
    const seen = new Map<MutatingWebhook, KubeObject | undefined>();
    let changed = false;
    for (const [index, { webhook, configuration }] of webhooks.entries()) {
      const chosen = await this.#choose(webhook, request);
      if (!chosen) continue;
      changed = await this.#mutateOne(chosen, request, { configuration, round: 0, index }) || changed;
      seen.set(webhook, request.object && structuredClone(request.object));
    }
    if (!changed) return undefined;
    return async () => {
      for (const [index, { webhook, configuration }] of webhooks.entries()) {
        if (webhook.reinvocationPolicy !== 'IfNeeded' || !seen.has(webhook) || equal(seen.get(webhook), request.object)) continue;
        const chosen = await this.#choose(webhook, request);
        if (chosen) await this.#mutateOne(chosen, request, { configuration, round: 1, index });
      }
    };
  }

  /** All at once. */
  async validate(request: AdmissionRequest): Promise<void> {
    const webhooks = await this.#webhooks<ValidatingWebhook>(validatingWebhookConfigurations);
    const results = await Promise.allSettled(webhooks.map(async ({ webhook }, index) => {
      const chosen = await this.#choose(webhook, request);
      if (chosen && !await this.#ask(chosen, request, await objectsFor(request, chosen.kind), false)) request.annotate?.(`failed-open.validating.webhook.admission.k8s.io/round_0_index_${String(index)}`, webhook.name);
    }));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #webhooks<T extends Webhook>(resource: Resource<KubeObject & { webhooks?: T[] | undefined }>): Promise<Configured<T>[]> {
    return (await this.#deps.objects.list(resource)).flatMap(({ metadata, webhooks = [] }) => webhooks.map((webhook) => ({ webhook, configuration: metadata?.name ?? '' })));
  }

  async #choose(webhook: Webhook, request: AdmissionRequest): Promise<Chosen | undefined> {
    const rules = webhook.rules ?? [];
    const matches = (kind: KindDefinition): boolean => rules.some((rule) => matchesRule(rule, { kind }, request));
    const kind = matches(request.kind) ? request.kind : webhook.matchPolicy === 'Exact' ? undefined : equivalents(this.#deps.kinds, request.kind).find(matches);
    if (!kind || !matchesObjects(webhook.objectSelector, request) || !await matchesNamespace(webhook.namespaceSelector, request, this.#deps.objects)) return undefined;
    return await this.#conditionsHold(webhook, request) ? { webhook, kind } : undefined;
  }

  async #conditionsHold({ matchConditions: conditions = [], failurePolicy }: Webhook, request: AdmissionRequest): Promise<boolean> {
    if (conditions.length === 0) return true;
    const { evaluateConditions } = await import('../match-conditions.ts');
    const match = await evaluateConditions(await this.#deps.expressions(), conditions, request);
    if (typeof match === 'boolean') return match;
    if (failurePolicy === 'Ignore') return false;
    throw forbidden(request.kind.resource, request.name, match.message);
  }

  /** Undefined: it failed, and may. */
  async #ask({ webhook, kind }: Chosen, request: AdmissionRequest, objects: { object: KubeObject | undefined; old: KubeObject | undefined }, mayPatch: boolean): Promise<ReviewResponse | undefined> {
    if (request.dryRun && webhook.sideEffects !== 'None' && webhook.sideEffects !== 'NoneOnDryRun') throw badRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
    const asked = reviewRequest(request, kind.resource, objects);
    const uid = String(asked['uid']);
    let response: ReviewResponse;
    request.beforeAsking?.();
    try {
      const answer = await this.#call(webhook, { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: asked });
      response = readAnswer(answer, uid, mayPatch);
    } catch (error) {
      if (webhook.failurePolicy === 'Ignore') return undefined;
      throw new StatusError('InternalError', `Internal error occurred: failed calling webhook ${JSON.stringify(webhook.name)}: ${messageOf(error)}`, { cause: error });
    }
    for (const [key, value] of Object.entries(response.auditAnnotations)) request.annotate?.(`${webhook.name}/${key}`, value);
    for (const warning of response.warnings.slice(0, maxWarnings)) request.warnings?.push(warning);
    if (!response.allowed) throw denial(`admission webhook ${JSON.stringify(webhook.name)} denied the request`, response.result);
    return response;
  }

  async #call({ clientConfig, timeoutSeconds = 10 }: Webhook, review: unknown): Promise<unknown> {
    const query = `timeout=${String(timeoutSeconds)}s`;
    const { url, service } = clientConfig;
    const withTimeout = url === undefined ? { ...clientConfig, ...(service && { service: { ...service, path: `${service.path ?? '/'}?${query}` } }) } : { ...clientConfig, url: `${url}?${query}` };
    try {
      return await this.#deps.call(withTimeout, review, timeoutSeconds * 1000);
    } catch (error) {
      throw new Error(`failed to call webhook: ${messageOf(error)}`, { cause: error });
    }
  }

  /** True when the object has changed. */
  async #mutateOne(chosen: Chosen, request: AdmissionRequest, { configuration, round, index }: Turn): Promise<boolean> {
    const { webhook } = chosen;
    const turn = `round_${String(round)}_index_${String(index)}`;
    const objects = await objectsFor(request, chosen.kind);
    const response = await this.#ask(chosen, request, objects, true);
    if (!response) request.annotate?.(`failed-open.mutating.webhook.admission.k8s.io/${turn}`, webhook.name);
    const changed = response !== undefined && await this.#patch(chosen, request, objects.object, response);
    request.annotate?.(`mutation.webhook.admission.k8s.io/${turn}`, JSON.stringify({ configuration, webhook: webhook.name, mutated: changed }));
    if (changed) request.annotate?.(`patch.webhook.admission.k8s.io/${turn}`, JSON.stringify({ configuration, webhook: webhook.name, patch: response.patch, patchType: 'JSONPatch' }), 'Request');
    return changed;
  }

  async #patch(chosen: Chosen, request: AdmissionRequest, shown: KubeObject | undefined, response: ReviewResponse): Promise<boolean> {
    if (response.patch === undefined || (Array.isArray(response.patch) && response.patch.length === 0)) return false;
    const name = JSON.stringify(chosen.webhook.name);
    if (!request.object || request.object.kind !== request.kind.resource.kind) throw new StatusError('InternalError', `Internal error occurred: admission webhook ${name} attempted to modify the object, which is not supported for this operation`);
    try {
      const patched = jsonPatch(shown, response.patch);
      const { kind, subresource, object } = request;
      return replace(request, subresource === 'scale' && kind.scale
        ? withScale(kind.scale, object, decode(scaleKind, patched).object as Scale)
        : await convert(decode(chosen.kind, patched).object, chosen.kind, kind));
    } catch (error) {
      throw new StatusError('InternalError', `Internal error occurred: the patch of admission webhook ${name} cannot be applied: ${messageOf(error)}`, { cause: error });
    }
  }
}

function readAnswer(answer: unknown, uid: string, mayPatch: boolean): ReviewResponse {
  try {
    return readResponse(answer, uid, mayPatch);
  } catch (error) {
    throw new Error(`received invalid webhook response: ${messageOf(error)}`, { cause: error });
  }
}

/** What the server keeps stays as it was; the rest is filled in as if the client had sent it. In place: plugins share the object. */
function replace(request: AdmissionRequest, next: KubeObject): boolean {
  const { kind, object, old, subresource } = request;
  if (!object) return false;
  const before = structuredClone(object);
  applyDefaults(kind, next);
  if (request.operation === 'create') {
    const { uid, name, namespace, creationTimestamp, managedFields } = before.metadata ?? {};
    prepareCreate(kind, next, uid);
    next.metadata = { ...next.metadata, name, namespace, uid, creationTimestamp, managedFields };
  } else if (old) {
    prepareUpdate(kind, next, old, subresource as Subresource | undefined);
    if (next.metadata) next.metadata.managedFields = before.metadata?.managedFields;
  }
  for (const key of Object.keys(object)) Reflect.deleteProperty(object, key);
  Object.assign(object, JSON.parse(JSON.stringify(next)));
  return !equal(before, object);
}
