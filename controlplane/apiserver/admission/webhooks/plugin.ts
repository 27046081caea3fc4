import { mutatingWebhookConfigurations, qualifiedName, validatingWebhookConfigurations } from '#api/kinds/resources.ts';
import type { StoredObjects } from '../stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../types.ts';
import type { WebhookDispatcher } from './dispatcher.ts';

/** Who could lock itself out is never asked about itself. */
const exempt: ReadonlySet<string> = new Set(['mutatingwebhookconfigurations', 'validatingwebhookconfigurations', 'validatingadmissionpolicies', 'validatingadmissionpolicybindings'].map((plural) => `${plural}.admissionregistration.k8s.io`));

export function isExempt({ kind }: AdmissionRequest): boolean {
  return exempt.has(qualifiedName(kind.resource));
}

/** Webhooks from outside. Without configurations they cost nothing, and nothing is loaded for them. */
export function mutatingWebhooks(objects: StoredObjects, dispatcher: () => Promise<WebhookDispatcher>): AdmissionPlugin {
  return {
    name: 'MutatingAdmissionWebhook',
    async mutate(request) {
      return objects.any(mutatingWebhookConfigurations) && !isExempt(request) ? (await dispatcher()).mutate(request) : undefined;
    },
  };
}

export function validatingWebhooks(objects: StoredObjects, dispatcher: () => Promise<WebhookDispatcher>): AdmissionPlugin {
  return {
    name: 'ValidatingAdmissionWebhook',
    async validate(request) {
      if (objects.any(validatingWebhookConfigurations) && !isExempt(request)) await (await dispatcher()).validate(request);
    },
  };
}
