import type { ReplicaSet, ReplicationController } from '../gen/types.ts';
import type { KindDefinition } from '../kinds/types.ts';
import { ageColumn, column, nameColumn } from '../meta/columns.ts';
import { nameWarnings, templateWarnings } from './warnings.ts';
import { validateReplicaCounts } from './replica-status.ts';

type Replicated = ReplicaSet | ReplicationController;
type Shared = 'categories' | 'storage' | 'status' | 'scale' | 'nameRule' | 'prepareForCreate' | 'validateStatus' | 'warnings' | 'selectableFields';

const parts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'];

/** What the two kinds that keep a number of equal pods have in common. */
export function replicated<T extends Replicated>(): Pick<KindDefinition<T>, Shared> {
  return {
    categories: ['all'],
    storage: 'durable',
    status: true,
    scale: { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'], selector: ['spec', 'selector'] },
    nameRule: 'dns-subdomain',
    prepareForCreate: (object) => { object.status = { replicas: 0 }; },
    validateStatus: ({ status }) => validateReplicaCounts(status, ['replicas', ...parts, 'observedGeneration'], parts),
    warnings: (object, old) => [...old === undefined ? nameWarnings(object.metadata, 'Pod names and hostnames') : [], ...templateWarnings(object.spec?.template, 'spec.template')],
    selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
  };
}

/** Their columns up to the age. */
export function replicatedColumns<T extends Replicated>(): KindDefinition<T>['columns'] {
  return [
    nameColumn(),
    column('Desired', 'How many pods are wanted', ({ spec }) => spec?.replicas ?? 0, 'integer'),
    column('Current', 'How many pods there are', ({ status }) => status?.replicas ?? 0, 'integer'),
    column('Ready', 'How many pods are ready', ({ status }) => status?.readyReplicas ?? 0, 'integer'),
    ageColumn(),
  ];
}
