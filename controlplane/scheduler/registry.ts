import { defaultBinder } from './plugins/default-binder/plugin.ts';
import { defaultPreemption } from './plugins/default-preemption/plugin.ts';
import { imageArchitecture } from './plugins/image-architecture/plugin.ts';
import { imageLocality } from './plugins/image-locality/plugin.ts';
import { interPodAffinity } from './plugins/inter-pod-affinity/plugin.ts';
import { nodeAffinity } from './plugins/node-affinity/plugin.ts';
import { nodeName } from './plugins/node-name/plugin.ts';
import { nodePorts } from './plugins/node-ports/plugin.ts';
import { nodeResourcesBalanced } from './plugins/node-resources-balanced/plugin.ts';
import { nodeResourcesFit } from './plugins/node-resources-fit/plugin.ts';
import { nodeUnschedulable } from './plugins/node-unschedulable/plugin.ts';
import { nodeVolumeLimits } from './plugins/node-volume-limits/plugin.ts';
import { podTopologySpread } from './plugins/pod-topology-spread/plugin.ts';
import { prioritySort } from './plugins/priority-sort/plugin.ts';
import { schedulingGates } from './plugins/scheduling-gates/plugin.ts';
import { taintToleration } from './plugins/taint-toleration/plugin.ts';
import { volumeBinding } from './plugins/volume-binding/plugin.ts';
import { volumeRestrictions } from './plugins/volume-restrictions/plugin.ts';
import { volumeZone } from './plugins/volume-zone/plugin.ts';
import type { PluginRegistry } from './types.ts';

/** Every plugin by its folder, in the order in which they are asked: cheap and decisive ones first. */
export const schedulerPlugins: PluginRegistry = {
  'priority-sort': prioritySort,
  'scheduling-gates': schedulingGates,
  'node-unschedulable': nodeUnschedulable,
  'node-name': nodeName,
  'taint-toleration': taintToleration,
  'node-affinity': nodeAffinity,
  'image-architecture': imageArchitecture,
  'node-ports': nodePorts,
  'node-resources-fit': nodeResourcesFit,
  'volume-restrictions': volumeRestrictions,
  'node-volume-limits': nodeVolumeLimits,
  'volume-binding': volumeBinding,
  'volume-zone': volumeZone,
  'pod-topology-spread': podTopologySpread,
  'inter-pod-affinity': interPodAffinity,
  'node-resources-balanced': nodeResourcesBalanced,
  'image-locality': imageLocality,
  'default-preemption': defaultPreemption,
  'default-binder': defaultBinder,
};
