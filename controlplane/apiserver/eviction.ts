import type { Pod, PodDisruptionBudget } from '#api/gen/types.ts';
import { podDisruptionBudgets } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { isConditionTrue, setCondition } from '#api/meta/conditions.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { forbidden } from './api-errors.ts';
import { checkPreconditions } from './deletion.ts';
import { parseBytes } from './encoding.ts';
import { listPage } from './resource-lists.ts';
import type { WriteOptions } from './resource-store.ts';
import type { RouteDeps } from './routes/types.ts';
import type { DeleteRequest } from './types.ts';

const maxDisruptedPods = 2000;
const stillProcessingMs = 10_000;
/** How often all is asked again for a pod that changed meanwhile. */
const maxAttempts = 5;

/** What is asked and written. */
export type EvictionDeps = Pick<RouteDeps, 'store' | 'resources' | 'kinds' | 'clock'>;

export interface EvictRequest {
  readonly namespace: string;
  readonly podName: string;
  readonly deletion: DeleteRequest;
}

/**
 * Deletes a pod if its disruption budget can spare it. What is spared is counted in the budget's status before the
 * delete, so that evictions side by side cannot both take the last one. A pod that costs its budget nothing for being as
 * it is goes only while it is so: when it has changed meanwhile, all is asked again.
 */
export async function evictPod(deps: EvictionDeps, kind: KindDefinition, request: EvictRequest, options: WriteOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const pod = parseBytes((await deps.resources.entry(kind, request.namespace, request.podName)).value) as Pod;
    checkPreconditions(kind, pod, request.deletion);
    const budget = countsForNothing(pod) ? undefined : await budgetOf(deps, request.namespace, pod);
    const isFree = pod.status?.phase === 'Pending' || (budget !== undefined && sparesUnhealthy(budget, pod));
    try {
      if (budget !== undefined && !isFree) await takeOne(deps, budget, request.podName, options);
      await take(deps, kind, pod, { ...request, isFree }, options);
      return;
    } catch (error) {
      if (!isFree || !isStatus(error, 'Conflict') || request.deletion.preconditions?.resourceVersion !== undefined) throw error;
      if (attempt >= maxAttempts) throw refused(`The pod ${request.podName} changes all the time, and so may what its disruption budget says of it.`, stillProcessingMs);
    }
  }
}

/** Deletes the pod that the budget was asked about, and nothing that took its name meanwhile. */
async function take(deps: EvictionDeps, kind: KindDefinition, pod: Pod, { namespace, podName, deletion, isFree }: EvictRequest & { readonly isFree: boolean }, options: WriteOptions): Promise<void> {
  const { uid, resourceVersion } = pod.metadata ?? {};
  const asIs = isFree || deletion.preconditions?.resourceVersion !== undefined ? resourceVersion : undefined;
  const marked = options.dryRun || countsForNothing(pod) ? asIs : await markDisrupted(deps, kind, pod, asIs, options);
  const preconditions = { ...(uid !== undefined && { uid }), ...(asIs !== undefined && marked !== undefined && { resourceVersion: marked }) };
  await deps.resources.delete(kind, namespace, podName, { ...deletion, preconditions }, options);
}

/** It does not run yet, or no longer. */
function countsForNothing({ metadata, status }: Pod): boolean {
  return metadata?.deletionTimestamp !== undefined || ['Succeeded', 'Failed', 'Pending'].includes(status?.phase ?? '');
}

async function budgetOf(deps: EvictionDeps, namespace: string, pod: Pod): Promise<PodDisruptionBudget | undefined> {
  const page = await listPage(deps.store, deps.kinds.of(podDisruptionBudgets), namespace, {});
  const budgets = page.entries.map((entry) => parseBytes(entry.value) as PodDisruptionBudget).filter(({ spec }) => matchesSelector(spec?.selector, pod));
  if (budgets.length > 1) throw new StatusError('InternalError', 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.');
  return budgets[0];
}

function matchesSelector(selector: NonNullable<PodDisruptionBudget['spec']>['selector'], pod: Pod): boolean {
  return selector !== undefined && matchesLabels(requirementsOf(selector), pod.metadata?.labels);
}

/** A pod that is not ready does not count as healthy, so that taking it costs the budget nothing. */
function sparesUnhealthy({ spec, status }: PodDisruptionBudget, pod: Pod): boolean {
  if (isConditionTrue(pod.status?.conditions, 'Ready')) return false;
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** Counts the eviction, or refuses it. */
async function takeOne(deps: EvictionDeps, budget: PodDisruptionBudget, podName: string, options: WriteOptions): Promise<void> {
  const { name = '', namespace } = budget.metadata ?? {};
  const now = rfc3339(deps.clock.now());
  await deps.resources.update(deps.kinds.of(podDisruptionBudgets), namespace, name, (current) => {
    const object = current as PodDisruptionBudget;
    const { status = {} } = object;
    checkBudget(object);
    const disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
    const conditions = disruptionsAllowed > 0 ? status.conditions
      : setCondition(status.conditions, { type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods', message: '', observedGeneration: status.observedGeneration, lastTransitionTime: now }, now);
    return { ...object, status: { ...status, conditions, disruptionsAllowed, disruptedPods: { ...status.disruptedPods, [podName]: now } } } as PodDisruptionBudget;
  }, { ...options, subresource: 'status' });
}

function checkBudget({ metadata, status = {} }: PodDisruptionBudget): void {
  const name = metadata?.name ?? '';
  const { currentHealthy = 0, desiredHealthy = 0, disruptedPods = {}, disruptionsAllowed = 0, observedGeneration = 0 } = status;
  if (observedGeneration < (metadata?.generation ?? 0)) throw refused(`The disruption budget ${name} is still being processed by the server.`, stillProcessingMs);
  if (disruptionsAllowed < 0) throw forbidden(podDisruptionBudgets, name, 'pdb disruptions allowed is negative');
  if (Object.keys(disruptedPods).length > maxDisruptedPods) throw forbidden(podDisruptionBudgets, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller');
  if (disruptionsAllowed === 0) throw refused(`The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`);
}

function refused(message: string, retryAfterMs?: number): StatusError {
  return new StatusError('TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    details: { causes: [{ reason: 'DisruptionBudget', message }] }, ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** Says in the pod's status why it goes: a Job may then not count it as a failure. Returns the version that this made. */
async function markDisrupted(deps: EvictionDeps, kind: KindDefinition, { metadata }: Pod, asIs: string | undefined, options: WriteOptions): Promise<string | undefined> {
  const now = rfc3339(deps.clock.now());
  const { object } = await deps.resources.update(kind, metadata?.namespace, metadata?.name ?? '', (current) => {
    checkPreconditions(kind, current, { preconditions: { ...(metadata?.uid !== undefined && { uid: metadata.uid }), ...(asIs !== undefined && { resourceVersion: asIs }) } });
    const pod = current as Pod;
    const conditions = setCondition(pod.status?.conditions, { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' }, now);
    return { ...pod, status: { ...pod.status, conditions } } as Pod;
  }, { ...options, subresource: 'status' });
  return object.metadata?.resourceVersion;
}
