import type { PodTemplate } from '../../gen/types.ts';
import { column, nameColumn, printLabels } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { containerImages, containerNames } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { validateTemplate } from '../../pod-spec/validate.ts';
import { templateWarnings } from '../../pod-spec/warnings.ts';
import { podTemplates } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

export const podTemplate: KindDefinition<PodTemplate> = {
  resource: podTemplates,
  singular: 'podtemplate',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('PodTemplate'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ template }) => { setTemplateDefaults(template); },
  validate: ({ template }) => validateTemplate(template, 'template'),
  warnings: ({ template }) => templateWarnings(template, 'template'),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Containers', 'Names of the containers of the template', ({ template }) => containerNames(template)),
    column('Images', 'Images of the containers of the template', ({ template }) => containerImages(template)),
    column('Pod Labels', 'Labels that its pods get', ({ template }) => printLabels(template?.metadata?.labels)),
  ],
};
