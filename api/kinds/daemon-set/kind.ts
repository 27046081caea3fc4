import type { DaemonSet } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, printLabels } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { templateWarnings } from '../../pod-spec/warnings.ts';
import { daemonSets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateDaemonSet, validateDaemonSetStatus } from './validate.ts';

/** Where apps/v1 keeps how often the template changed; older versions had a field for it. */
const templateGeneration = 'deprecated.daemonset.template.generation';

function setDefaults({ spec }: DaemonSet): void {
  if (spec === undefined) return;
  const strategy = (spec.updateStrategy ??= {});
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= 1;
    rolling.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  setTemplateDefaults(spec.template);
}

function setTemplateGeneration(object: DaemonSet, generation: number): void {
  const meta = (object.metadata ??= {});
  (meta.annotations ??= {})[templateGeneration] = String(generation);
}

export const daemonSet: KindDefinition<DaemonSet> = {
  resource: daemonSets,
  singular: 'daemonset',
  shortNames: ['ds'],
  categories: ['all'],
  schema: () => schemaNamed('DaemonSet'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => {
    object.status = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };
    setTemplateGeneration(object, 1);
  },
  prepareForUpdate: (object, old) => {
    const before = Number(old.metadata?.annotations?.[templateGeneration] ?? 1);
    setTemplateGeneration(object, equal(object.spec?.template, old.spec?.template) ? before : before + 1);
  },
  validate: validateDaemonSet,
  validateStatus: validateDaemonSetStatus,
  warnings: (object) => templateWarnings(object.spec?.template, 'spec.template'),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Desired', 'How many nodes should run a pod', ({ status }) => status?.desiredNumberScheduled ?? 0, 'integer'),
    column('Current', 'How many nodes that should run a pod do', ({ status }) => status?.currentNumberScheduled ?? 0, 'integer'),
    column('Ready', 'How many of the pods are ready', ({ status }) => status?.numberReady ?? 0, 'integer'),
    column('Up-to-date', 'How many pods have the current template', ({ status }) => status?.updatedNumberScheduled ?? 0, 'integer'),
    column('Available', 'How many pods have been ready for minReadySeconds', ({ status }) => status?.numberAvailable ?? 0, 'integer'),
    column('Node Selector', 'Labels of the nodes that should run a pod', ({ spec }) => printLabels(spec?.template?.spec?.nodeSelector)),
    ageColumn(),
    ...templateColumns<DaemonSet>(),
  ],
};
