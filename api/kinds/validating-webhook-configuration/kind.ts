import type { ValidatingWebhookConfiguration } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validatingWebhookConfigurations } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { prepareWebhooks, setWebhookDefaults, validateWebhooks } from '../webhook-rules.ts';

export const validatingWebhookConfiguration: KindDefinition<ValidatingWebhookConfiguration> = {
  resource: validatingWebhookConfigurations,
  singular: 'validatingwebhookconfiguration',
  shortNames: [],
  categories: ['api-extensions'],
  schema: () => schemaNamed('ValidatingWebhookConfiguration'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ webhooks }) => { setWebhookDefaults(webhooks); },
  prepareToValidate: ({ webhooks }) => prepareWebhooks(webhooks),
  validate: ({ webhooks }, old) => validateWebhooks(webhooks ?? [], old?.webhooks),
  selectableFields: {},
  columns: [nameColumn(), column('Webhooks', 'How many there are', ({ webhooks }) => (webhooks ?? []).length, 'integer'), ageColumn()],
};
