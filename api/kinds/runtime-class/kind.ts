import type { RuntimeClass } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { duplicate, type FieldError } from '../../meta/field-error.ts';
import { validateLabels } from '../../meta/metadata.ts';
import { dns1123Label } from '../../meta/names.ts';
import { immutable, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { labelWarnings } from '../../pod-spec/warnings.ts';
import { validateTolerations } from '../../pod-spec/affinity.ts';
import { validateResources } from '../../pod-spec/resources.ts';
import { runtimeClasses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ handler, overhead, scheduling }: RuntimeClass, old?: RuntimeClass): FieldError[] {
  const tolerations = scheduling?.tolerations ?? [];
  const texts = tolerations.map((toleration) => JSON.stringify(toleration));
  return [
    ...requiredNamed('handler', handler, dns1123Label),
    ...(overhead?.podFixed === undefined ? [] : validateResources({ limits: overhead.podFixed }, 'overhead.podFixed')),
    ...validateLabels(scheduling?.nodeSelector, 'scheduling.nodeSelector'),
    ...validateTolerations(tolerations, 'scheduling.tolerations'),
    ...tolerations.flatMap((toleration, i) => (texts.indexOf(texts[i] ?? '') < i ? [duplicate(`scheduling.tolerations[${i}]`, toleration)] : [])),
    ...(old === undefined ? [] : immutable('handler', handler, old.handler)),
  ];
}

export const runtimeClass: KindDefinition<RuntimeClass> = {
  resource: runtimeClasses,
  singular: 'runtimeclass',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('RuntimeClass'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  warnings: ({ scheduling }) => labelWarnings(scheduling?.nodeSelector, () => 'scheduling.nodeSelector'),
  selectableFields: {},
  columns: [nameColumn(), column('Handler', 'How the container runtime calls it', ({ handler }) => handler ?? ''), ageColumn()],
};
