import type { Pod } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setAppArmorProfiles } from '../../pod-spec/app-armor.ts';
import { validateImages } from '../../pod-spec/containers.ts';
import { setPodOnlyDefaults, setPodSpecDefaults } from '../../pod-spec/defaults.ts';
import { resolveLabelKeys } from '../../pod-spec/label-keys.ts';
import { qosClass } from '../../pod-spec/qos.ts';
import { validatePodSpec } from '../../pod-spec/validate.ts';
import { nameWarnings, podWarnings } from '../../pod-spec/warnings.ts';
import { pods } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { podColumns } from './columns.ts';
import { ephemeralContainers, resize } from './subresources.ts';
import { validateNewPod, validatePodStatus, validatePodUpdate } from './update.ts';

export const pod: KindDefinition<Pod> = {
  resource: pods,
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  schema: () => schemaNamed('Pod'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  parts: { ephemeralcontainers: ephemeralContainers, resize },
  setDefaults: (object) => {
    if (object.spec === undefined) return;
    setPodSpecDefaults(object.spec);
    setPodOnlyDefaults(object.spec);
  },
  prepareForCreate: (object) => {
    if (object.spec !== undefined) resolveLabelKeys(object.spec, object.metadata?.labels ?? {});
    setAppArmorProfiles(object);
    object.status = { phase: 'Pending', qosClass: qosClass(object.spec) };
    if ((object.spec?.schedulingGates ?? []).length > 0) {
      object.status.conditions = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated', message: 'Scheduling is blocked due to non-empty scheduling gates' }];
    }
  },
  validate: (object, old) => [
    ...validatePodSpec(object.spec, 'spec'),
    ...(object.spec === undefined ? [] : validateImages(object.spec, 'spec')),
    ...(old === undefined ? [] : validatePodUpdate(object, old)),
  ],
  validateNew: validateNewPod,
  validateStatus: validatePodStatus,
  warnings: ({ metadata, spec }, old) => [...old === undefined ? nameWarnings(metadata, "the Pod's hostname") : [], ...spec === undefined ? [] : podWarnings(metadata, spec)],
  selectableFields: {
    'spec.nodeName': (object) => object.spec?.nodeName ?? '',
    'spec.restartPolicy': (object) => object.spec?.restartPolicy ?? '',
    'spec.schedulerName': (object) => object.spec?.schedulerName ?? '',
    'spec.serviceAccountName': (object) => object.spec?.serviceAccountName ?? '',
    'spec.hostNetwork': (object) => String(object.spec?.hostNetwork === true),
    'status.phase': (object) => object.status?.phase ?? '',
    'status.podIP': (object) => object.status?.podIPs?.[0]?.ip ?? object.status?.podIP ?? '',
    // Known, and never filled in: what Kubernetes answers to an old client.
    'status.podIPs': () => '',
    'spec.host': (object) => object.spec?.nodeName ?? '',
    'status.nominatedNodeName': (object) => object.status?.nominatedNodeName ?? '',
  },
  columns: podColumns,
  deletionGraceSeconds: (object) => {
    // Nothing to wait for: it never reached a node, or it has ended.
    const ended = object.status?.phase === 'Failed' || object.status?.phase === 'Succeeded';
    return !object.spec?.nodeName || ended ? 0 : object.spec.terminationGracePeriodSeconds ?? 30;
  },
};
