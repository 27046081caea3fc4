import { replicaSets } from '#api/kinds/resources.ts';
import { ReplicaManager } from '../replica-manager.ts';
import type { Controller, ControllerConfig, ControllerDeps } from '../types.ts';

/** Keeps each ReplicaSet at its number of pods. */
export function replicaSetController(deps: ControllerDeps, config: ControllerConfig): Controller {
  return new ReplicaManager({ resource: replicaSets, view: (set) => set }, deps, config);
}
