import type { StatefulSet } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setClaimSpecDefaults } from '../../claim-spec/defaults.ts';
import { containersColumn, imagesColumn } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { templateWarnings } from '../../pod-spec/warnings.ts';
import { statefulSets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateStatefulSet, validateStatefulSetStatus } from './validate.ts';

function setDefaults({ spec }: StatefulSet): void {
  if (spec === undefined) return;
  spec.podManagementPolicy ||= 'OrderedReady';
  const strategy = (spec.updateStrategy ??= {});
  if (!strategy.type) {
    strategy.type = 'RollingUpdate';
    strategy.rollingUpdate ??= {};
  }
  if (strategy.type === 'RollingUpdate' && strategy.rollingUpdate !== undefined) strategy.rollingUpdate.partition ??= 0;
  const retention = (spec.persistentVolumeClaimRetentionPolicy ??= {});
  retention.whenDeleted ||= 'Retain';
  retention.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  setTemplateDefaults(spec.template);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= 'v1';
    claim.kind ??= 'PersistentVolumeClaim';
    if (claim.spec !== undefined) setClaimSpecDefaults(claim.spec);
    (claim.status ??= {}).phase ||= 'Pending';
  }
}

export const statefulSet: KindDefinition<StatefulSet> = {
  resource: statefulSets,
  singular: 'statefulset',
  shortNames: ['sts'],
  categories: ['all'],
  schema: () => schemaNamed('StatefulSet'),
  storage: 'durable',
  status: true,
  scale: { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'], selector: ['spec', 'selector'] },
  nameRule: 'dns-label',
  setDefaults,
  prepareForCreate: (object) => { object.status = { replicas: 0, availableReplicas: 0 }; },
  validate: validateStatefulSet,
  validateStatus: validateStatefulSetStatus,
  warnings: (object) => templateWarnings(object.spec?.template, 'spec.template'),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Ready', 'How many pods of those wanted are ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
    ageColumn(),
    containersColumn(),
    imagesColumn(),
  ],
};
