import type { MutatingWebhookConfiguration } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { mutatingWebhookConfigurations } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { prepareWebhooks, setWebhookDefaults, validateWebhooks } from '../webhook-rules.ts';

export const mutatingWebhookConfiguration: KindDefinition<MutatingWebhookConfiguration> = {
  resource: mutatingWebhookConfigurations,
  singular: 'mutatingwebhookconfiguration',
  shortNames: [],
  categories: ['api-extensions'],
  schema: () => schemaNamed('MutatingWebhookConfiguration'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ webhooks }) => { setWebhookDefaults(webhooks); for (const webhook of webhooks ?? []) webhook.reinvocationPolicy ??= 'Never'; },
  prepareToValidate: ({ webhooks }) => prepareWebhooks(webhooks),
  validate: ({ webhooks }, old) => validateWebhooks(webhooks ?? [], old?.webhooks),
  selectableFields: {},
  columns: [nameColumn(), column('Webhooks', 'How many there are', ({ webhooks }) => (webhooks ?? []).length, 'integer'), ageColumn()],
};
