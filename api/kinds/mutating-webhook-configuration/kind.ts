import type { MutatingWebhookConfiguration } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { mutatingWebhookConfigurations } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { setWebhookDefaults, validateWebhooks } from '../webhook-rules.ts';

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
  validate: ({ webhooks }) => validateWebhooks(webhooks ?? []),
  selectableFields: {},
  columns: [nameColumn(), column('Webhooks', 'How many there are', ({ webhooks }) => (webhooks ?? []).length, 'integer'), ageColumn()],
};
