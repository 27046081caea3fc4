import type { ValidatingAdmissionPolicy } from '#api/gen/types.ts';
import { qualifiedName, validatingAdmissionPolicies, validatingAdmissionPolicyBindings } from '#api/kinds/resources.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { KindIndex } from '../../kind-index.ts';
import type { ApiClient } from '../../types.ts';
import type { StoredObjects } from '../stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest, Reservation } from '../types.ts';
import { isExempt } from '../webhooks/plugin.ts';
import type { Policies } from './policies.ts';

/** Policies written in expressions. Without bindings they cost nothing, and nothing is loaded for them. `start` keeps their status. */
export class PolicyAdmission implements AdmissionPlugin {
  readonly name = 'ValidatingAdmissionPolicy';
  readonly #deps: { readonly objects: StoredObjects; readonly kinds: KindIndex; readonly policies: () => Promise<Policies>; readonly log: Log };
  readonly #unchecked = new Set<string>();
  readonly #wakeup = new Wakeup();

  constructor(deps: { readonly objects: StoredObjects; readonly kinds: KindIndex; readonly policies: () => Promise<Policies>; readonly log: Log }) {
    this.#deps = deps;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    const { objects, policies } = this.#deps;
    if (objects.any(validatingAdmissionPolicyBindings) && objects.any(validatingAdmissionPolicies) && !isExempt(request)) await (await policies()).validate(request);
  }

  /** Takes note of policies whose status has to say what their types are worth. */
  reserve({ kind, operation, subresource, name }: AdmissionRequest): Reservation | undefined {
    if (operation === 'delete' || subresource !== undefined || qualifiedName(kind.resource) !== qualifiedName(validatingAdmissionPolicies)) return undefined;
    return { commit: () => { this.#unchecked.add(name); this.#wakeup.notify(); }, rollback: () => undefined };
  }

  /** Checks the expressions of policies against the types that they name, and says so in their status. */
  async start(client: ApiClient, signal: AbortSignal): Promise<void> {
    for (const { metadata, status } of await this.#deps.objects.list(validatingAdmissionPolicies)) if (metadata?.generation !== status?.observedGeneration) this.#unchecked.add(metadata?.name ?? '');
    for (;;) {
      const [name] = this.#unchecked;
      if (name !== undefined) this.#unchecked.delete(name);
      try {
        if (name === undefined) await this.#wakeup.wait(signal);
        else await this.#check(client, name);
      } catch (error) {
        if (isAbort(error, signal)) return;
        if (!isStatus(error, 'NotFound')) this.#deps.log.warn({ err: messageOf(error), name }, 'types of an admission policy not checked');
      }
    }
  }

  async #check(client: ApiClient, name: string): Promise<void> {
    const { typeWarnings } = await import('./type-checks.ts');
    const policy: ValidatingAdmissionPolicy = await client.get(validatingAdmissionPolicies, undefined, name);
    if (policy.status?.observedGeneration === policy.metadata?.generation) return;
    const warnings = typeWarnings(policy, this.#deps.kinds);
    await client.patch(validatingAdmissionPolicies, undefined, name, 'merge', {
      status: { observedGeneration: policy.metadata?.generation, typeChecking: { expressionWarnings: warnings.length > 0 ? warnings : null } },
    }, 'status');
  }
}
