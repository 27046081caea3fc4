import type { Deployment, DeploymentStatus, LabelSelector, Pod, ReplicaSet } from '#api/gen/types.ts';
import { deployments, replicaSets } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { eventAction } from '../execute.ts';
import { claim } from '../owner-refs.ts';
import type { Action, Decision } from '../types.ts';
import { revisionAnnotation } from './annotations.ts';
import { Draft } from './draft.ts';
import { isRollingUpdate, specReplicas } from './limits.ts';
import { revisionToWrite, surplusHistory, syncNewReplicaSet } from './revision.ts';
import { isScaling, othersRun, rollingStep, scale, stopOld } from './rollout.ts';
import { baseStatus, checkPaused, deadlineInMs, isComplete, rolloutStatus } from './status.ts';
import { findNewReplicaSet } from './template.ts';

export interface DeploymentSnapshot {
  readonly deployment: Deployment;
  /** Those it controls and those of its namespace that nobody controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Pods of the ReplicaSets it controls; needed for Recreate only. */
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

/** One step of a Deployment: adopt, resize, roll or clean up, and the status that follows from it. */
export function reconcileDeployment(snapshot: DeploymentSnapshot): Decision {
  const { deployment, nowMs } = snapshot;
  if (isEmptySelector(deployment.spec?.selector)) return selectsAll(deployment);
  const requirements = requirementsOf(deployment.spec?.selector);
  const claimed = claim(deployments, deployment, snapshot.replicaSets, (set) => matchesLabels(requirements, set.metadata?.labels));
  const claims = [...claimed.adopt, ...claimed.release].map((object): Action => ({ type: 'update', resource: replicaSets, object }));
  if (claims.length > 0) return { actions: claims };

  const newSet = findNewReplicaSet(deployment, claimed.owned);
  const draft = new Draft(deployment, newSet, claimed.owned.filter((set) => set !== newSet), nowMs);
  const { status, cleanup } = decide(draft, snapshot.pods);
  return { actions: [...draft.actions(), ...(cleanup ? history(draft) : []), ...statusActions(draft, status)], afterMs: deadlineInMs(deployment, status, nowMs) };
}

function decide(draft: Draft, pods: readonly Pod[]): { status: DeploymentStatus; cleanup: boolean } {
  const { deployment } = draft;
  if (deployment.metadata?.deletionTimestamp !== undefined) return { status: baseStatus(draft), cleanup: false };
  checkPaused(draft);
  const paused = deployment.spec?.paused === true;
  if (paused || isScaling(draft)) {
    if (!syncNewReplicaSet(draft, false)) scale(draft, pods);
    return { status: baseStatus(draft), cleanup: paused };
  }
  if (isRollingUpdate(deployment)) {
    if (!syncNewReplicaSet(draft, true)) rollingStep(draft);
  } else {
    recreateStep(draft, pods);
  }
  const status = rolloutStatus(draft);
  return { status, cleanup: isComplete(deployment, status) };
}

function recreateStep(draft: Draft, pods: readonly Pod[]): void {
  if (syncNewReplicaSet(draft, false) || stopOld(draft) || othersRun(draft, draft.newSet, pods)) return;
  if (syncNewReplicaSet(draft, true) || draft.newSet === undefined) return;
  draft.scale(draft.newSet, specReplicas(draft.deployment));
}

function history(draft: Draft): Action[] {
  return surplusHistory(draft.deployment, draft.oldSets).map((object): Action => ({ type: 'delete', resource: replicaSets, object }));
}

function statusActions(draft: Draft, status: DeploymentStatus): Action[] {
  const { deployment } = draft;
  const actions: Action[] = [];
  if (!equal(status, deployment.status ?? {})) actions.push({ type: 'update', resource: deployments, object: { ...deployment, status } as Deployment, subresource: 'status' });
  const revision = revisionToWrite(draft);
  if (revision !== undefined && deployment.metadata?.deletionTimestamp === undefined) {
    const patch = { metadata: { annotations: { [revisionAnnotation]: revision } } };
    actions.push({ type: 'patch', resource: deployments, namespace: deployment.metadata?.namespace, name: deployment.metadata?.name ?? '', patch });
  }
  return actions;
}

function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;
}

function selectsAll(deployment: Deployment): Decision {
  const generation = deployment.metadata?.generation;
  if (deployment.status?.observedGeneration === generation) return { actions: [] };
  const object: Deployment = { ...deployment, status: { ...deployment.status, observedGeneration: generation } };
  return {
    actions: [
      eventAction(deployments, deployment, 'Warning', 'SelectingAll', 'This deployment is selecting all pods. A non-empty selector is required.'),
      { type: 'update', resource: deployments, object, subresource: 'status' },
    ],
  };
}
