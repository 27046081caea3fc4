import type { HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget, Pod, Scale } from '#api/gen/types.ts';
import { horizontalPodAutoscalers } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import type { Action } from '../types.ts';
import { limitRate, recent, stabilize, type History } from './behavior.ts';
import type { PodUsage } from './pod-metrics.ts';
import { proposeReplicas, type Proposal } from './replicas.ts';

export interface AutoscalerSnapshot {
  readonly autoscaler: HorizontalPodAutoscaler;
  readonly scale: Scale;
  /** Those that the scale's selector selects. */
  readonly pods: readonly Pod[];
  /** By uid of the pod; of others than these, nothing. */
  readonly usage: ReadonlyMap<string, PodUsage>;
  /** Autoscalers that scale some of the same pods. */
  readonly rivals: readonly string[];
  readonly history: History;
  readonly nowMs: number;
}

export interface AutoscalerDecision {
  readonly actions: readonly Action[];
  readonly status: HorizontalPodAutoscalerStatus;
  readonly history: History;
  /** Set when the scale has to change; then `rescaled` says what became of that. */
  readonly rescale?: { readonly replicas: number; readonly reason: string } | undefined;
}

type Draft = { -readonly [key in keyof AutoscalerDecision]: AutoscalerDecision[key] } & { actions: Action[] };
interface Advice { readonly replicas: number; readonly metric: string; readonly statuses: MetricStatus[] }

/** How many replicas the target of an autoscaler should have by what its pods use. */
export function reconcileAutoscaler(snapshot: AutoscalerSnapshot): AutoscalerDecision {
  const { autoscaler, scale, nowMs } = snapshot;
  const { spec } = autoscaler;
  const current = scale.spec?.replicas ?? 0;
  const least = spec.minReplicas ?? 1;
  const history = recent(snapshot.history, nowMs);
  const draft: Draft = {
    actions: [], status: { ...autoscaler.status, currentReplicas: current, desiredReplicas: current, currentMetrics: undefined },
    history: history.advice.length > 0 ? history : { ...history, advice: [{ atMs: nowMs, replicas: current }] },
  };
  condition(draft, nowMs, 'AbleToScale', 'True', 'SucceededGetScale', "the HPA controller was able to get the target's current scale");
  if (current === 0 && least !== 0) condition(draft, nowMs, 'ScalingActive', 'False', 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero');
  else if (current > spec.maxReplicas) want(draft, spec.maxReplicas, 'Current number of replicas above Spec.MaxReplicas');
  else if (current < least) want(draft, least, 'Current number of replicas below Spec.MinReplicas');
  else byMetrics(draft, snapshot, current);
  return draft;
}

function byMetrics(draft: Draft, snapshot: AutoscalerSnapshot, current: number): void {
  const { autoscaler: { spec, status }, nowMs } = snapshot;
  const advice = adviceOf(draft, snapshot, current);
  if (advice === undefined) {
    draft.status = { ...draft.status, desiredReplicas: status?.desiredReplicas ?? 0 };
    return;
  }
  draft.status.currentMetrics = advice.statuses;
  const stable = stabilize(spec, draft.history, current, advice.replicas, nowMs);
  condition(draft, nowMs, 'AbleToScale', 'True', stable.reason, stable.message);
  draft.history = { ...draft.history, advice: [...draft.history.advice, { atMs: nowMs, replicas: advice.replicas }] };
  const limited = limitRate(spec, draft.history, current, stable.replicas, nowMs);
  condition(draft, nowMs, 'ScalingLimited', limited.replicas === stable.replicas ? 'False' : 'True', limited.reason, limited.message);
  if (limited.replicas !== current) want(draft, limited.replicas, advice.replicas > current ? `${advice.metric} above target` : 'All metrics below target');
}

/** The largest of what the metrics propose. One that cannot be read holds back a change to fewer. */
function adviceOf(draft: Draft, snapshot: AutoscalerSnapshot, current: number): Advice | undefined {
  const { autoscaler, scale, rivals, nowMs } = snapshot;
  const metrics = autoscaler.spec.metrics ?? [];
  const stop = (reason: string, message: string, eventReason = reason, eventMessage = message): undefined => {
    condition(draft, nowMs, 'ScalingActive', 'False', reason, message);
    tell(draft, autoscaler, 'Warning', eventReason, eventMessage);
  };
  if (!scale.status?.selector) return stop('InvalidSelector', "the HPA target's scale is missing a selector", 'SelectorRequired', 'selector is required');
  if (rivals.length > 0) return stop('AmbiguousSelector', `pods by selector ${scale.status.selector} are controlled by multiple HPAs: [${rivals.join(' ')}]`);
  let best: { replicas: number; metric: string } | undefined;
  const failures: { reason: string; message: string; message2: string }[] = [];
  const statuses = metrics.map((metric): MetricStatus => {
    try {
      const { proposal, name, status } = judge(metric, snapshot, current);
      if (best === undefined || proposal.replicas > best.replicas) best = { replicas: proposal.replicas, metric: name };
      return status;
    } catch (error) {
      const { reason, about } = sourceOf(metric);
      const message = messageOf(error);
      tell(draft, autoscaler, 'Warning', reason, message);
      failures.push({ reason, message: `the HPA was unable to compute the replica count: ${message}`, message2: `failed to get ${about} metric value: ${message}` });
      return { type: '' };
    }
  });
  const [first] = failures;
  const found = best as { replicas: number; metric: string } | undefined;
  if (found === undefined || (first !== undefined && found.replicas < current)) {
    draft.status.currentMetrics = statuses;
    condition(draft, nowMs, 'ScalingActive', 'False', first?.reason ?? 'InvalidMetricSourceType', first?.message ?? 'the HPA has no metrics');
    tell(draft, autoscaler, 'Warning', 'FailedComputeMetricsReplicas', `invalid metrics (${String(failures.length)} invalid out of ${String(metrics.length)}), first error is: ${first?.message2 ?? 'none'}`);
    return undefined;
  }
  condition(draft, nowMs, 'ScalingActive', 'True', 'ValidMetricFound', `the HPA was able to successfully calculate a replica count from ${found.metric}`);
  return { ...found, statuses };
}

function sourceOf({ type, resource, containerResource }: MetricSpec): { reason: string; about: string } {
  if (type === 'Resource') return { reason: 'FailedGetResourceMetric', about: `${resource?.name ?? ''} resource` };
  if (type === 'ContainerResource') return { reason: 'FailedGetContainerResourceMetric', about: `${containerResource?.container ?? ''} container` };
  return { reason: `FailedGet${type}Metric`, about: type.toLowerCase() };
}

function judge({ type, resource, containerResource }: MetricSpec, snapshot: AutoscalerSnapshot, currentReplicas: number): { proposal: Proposal; name: string; status: MetricStatus } {
  const source = type === 'Resource' ? resource : containerResource;
  if ((type !== 'Resource' && type !== 'ContainerResource') || source === undefined) throw new StatusError('Invalid', `metrics of type ${type} need an adapter, and there is none`);
  const measured = { resource: source.name, container: type === 'ContainerResource' ? containerResource?.container : undefined };
  const proposal = propose(snapshot, measured, source.target, currentReplicas);
  const current = { averageValue: formatQuantity(BigInt(proposal.average) * 1_000_000n), averageUtilization: proposal.utilization };
  const isShare = proposal.utilization !== undefined;
  return {
    proposal, name: isShare ? `${source.name} resource utilization (percentage of request)` : `${source.name} resource`,
    status: measured.container === undefined ? { type, resource: { name: source.name, current } } : { type, containerResource: { name: source.name, container: measured.container, current } },
  };
}

function propose({ pods, usage, nowMs }: AutoscalerSnapshot, measured: { resource: string; container: string | undefined }, { averageValue, averageUtilization }: MetricTarget, currentReplicas: number): Proposal {
  const what = averageValue === undefined ? 'utilization' : 'usage';
  if (averageValue === undefined && averageUtilization === undefined) throw new StatusError('Invalid', 'invalid resource metric source: neither an average utilization target nor an average value (usage) target was set');
  const target = averageValue === undefined ? { utilization: averageUtilization ?? 1 } : { average: Number(parseQuantity(averageValue)) / 1e6 };
  try {
    return proposeReplicas({ measured, target, currentReplicas, pods, usage, nowMs });
  } catch (error) {
    throw new StatusError('ServiceUnavailable', `failed to get ${measured.resource} ${what}: ${messageOf(error)}`, { cause: error });
  }
}

/** The decision after its scale was written, or could not be. */
export function rescaled(decision: AutoscalerDecision, { autoscaler, nowMs }: Pick<AutoscalerSnapshot, 'autoscaler' | 'nowMs'>, error?: unknown): AutoscalerDecision {
  const { rescale, history, status } = decision;
  if (rescale === undefined) return decision;
  const draft: Draft = { ...decision, actions: [...decision.actions] };
  const size = `New size: ${String(rescale.replicas)}; reason: ${rescale.reason}`;
  if (error !== undefined) {
    draft.status = { ...status, desiredReplicas: autoscaler.status?.desiredReplicas ?? 0 };
    condition(draft, nowMs, 'AbleToScale', 'False', 'FailedUpdateScale', `the HPA controller was unable to update the target scale: ${messageOf(error)}`);
    tell(draft, autoscaler, 'Warning', 'FailedRescale', `${size}; error: ${messageOf(error)}`);
    return draft;
  }
  condition(draft, nowMs, 'AbleToScale', 'True', 'SucceededRescale', `the HPA controller was able to update the target scale to ${String(rescale.replicas)}`);
  tell(draft, autoscaler, 'Normal', 'SuccessfulRescale', size);
  draft.status = { ...draft.status, desiredReplicas: rescale.replicas, lastScaleTime: rfc3339(nowMs) };
  draft.history = { ...history, changes: [...history.changes, { atMs: nowMs, by: rescale.replicas - (status.currentReplicas ?? 0) }] };
  return draft;
}

/** What there is to say of an autoscaler whose target has no scale that could be read. */
export function unscalable(autoscaler: HorizontalPodAutoscaler, history: History, nowMs: number, error: unknown): AutoscalerDecision {
  const draft: Draft = { actions: [], status: { ...autoscaler.status, desiredReplicas: autoscaler.status?.desiredReplicas ?? 0 }, history };
  condition(draft, nowMs, 'AbleToScale', 'False', 'FailedGetScale', `the HPA controller was unable to get the target's current scale: ${messageOf(error)}`);
  tell(draft, autoscaler, 'Warning', 'FailedGetScale', messageOf(error));
  return draft;
}

function want(draft: Draft, replicas: number, reason: string): void {
  draft.rescale = { replicas, reason };
}

function tell(draft: Draft, autoscaler: HorizontalPodAutoscaler, severity: 'Normal' | 'Warning', reason: string, message: string): void {
  draft.actions.push(eventAction(horizontalPodAutoscalers, autoscaler, severity, reason, message));
}

function condition(draft: Draft, nowMs: number, type: string, status: string, reason: string, message: string): void {
  draft.status = { ...draft.status, conditions: setCondition<HorizontalPodAutoscalerCondition>(draft.status.conditions, { type, status, reason, message }, rfc3339(nowMs)) };
}
