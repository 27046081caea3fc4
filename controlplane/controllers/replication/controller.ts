import { replicationControllers } from '#api/kinds/resources.ts';
import { ReplicaManager } from '../replica-manager.ts';
import type { Controller, ControllerConfig, ControllerDeps } from '../types.ts';
import { asReplicaSet } from './reconcile.ts';

/** Keeps each ReplicationController at its number of pods. */
export function replicationController(deps: ControllerDeps, config: ControllerConfig): Controller {
  return new ReplicaManager({ resource: replicationControllers, view: asReplicaSet }, deps, config);
}
