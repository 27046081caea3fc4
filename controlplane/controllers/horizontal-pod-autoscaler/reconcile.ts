import type { HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget, Pod, Scale } from '#api/gen/types.ts';
import { horizontalPodAutoscalers } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import type { Action } from '../types.ts';
import { limitRate, recent, stabilize, type History } from './behavior.ts';
import type { CustomReading } from './custom-metrics.ts';
import { readingsOf, requestsOf, type PodUsage } from './pod-metrics.ts';
import { proposeReplicas, replicasByValue, type Proposal, type Tolerances } from './replicas.ts';

export interface AutoscalerSnapshot {
  readonly autoscaler: HorizontalPodAutoscaler;
  readonly scale: Scale;
  /** Those that the scale's selector selects. */
  readonly pods: readonly Pod[];
  /** By uid of the pod; of others than these, nothing. */
  readonly usage: ReadonlyMap<string, PodUsage>;
  /** Of each metric that is not a resource's: what was read, or why nothing was. */
  readonly custom: ReadonlyMap<MetricSpec, CustomReading | Error>;
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

function sourceOf({ type, resource, containerResource, external }: MetricSpec): { reason: string; about: string } {
  if (type === 'Resource') return { reason: 'FailedGetResourceMetric', about: `${resource?.name ?? ''} resource` };
  if (type === 'ContainerResource') return { reason: 'FailedGetContainerResourceMetric', about: `${containerResource?.container ?? ''} container` };
  return { reason: `FailedGet${type}Metric`, about: external ? `${external.metric.name} external` : type.toLowerCase() };
}

interface Judgement { readonly proposal: { readonly replicas: number }; readonly name: string; readonly status: MetricStatus }

function judge(metric: MetricSpec, snapshot: AutoscalerSnapshot, currentReplicas: number): Judgement {
  const { type, resource, containerResource } = metric;
  if (type !== 'Resource' && type !== 'ContainerResource') return judgeCustom(metric, snapshot, currentReplicas);
  const source = type === 'Resource' ? resource : containerResource;
  if (source === undefined) throw new StatusError('Invalid', `invalid metric source: ${type} says nothing of what it is`);
  const measured = { resource: source.name, container: type === 'ContainerResource' ? containerResource?.container : undefined };
  const proposal = propose(snapshot, measured, source.target, currentReplicas);
  const current = { averageValue: quantityOf(proposal.average), averageUtilization: proposal.utilization };
  const isShare = proposal.utilization !== undefined;
  const subject = measured.container === undefined ? source.name : `${source.name} container`;
  return {
    proposal, name: isShare ? `${subject} resource utilization (percentage of request)` : `${subject} resource`,
    status: measured.container === undefined ? { type, resource: { name: source.name, current } } : { type, containerResource: { name: source.name, container: measured.container, current } },
  };
}

function propose({ autoscaler, pods, usage, nowMs }: AutoscalerSnapshot, measured: { resource: string; container: string | undefined }, { averageValue, averageUtilization }: MetricTarget, currentReplicas: number): Proposal {
  const what = averageValue === undefined ? 'utilization' : 'usage';
  if (averageValue === undefined && averageUtilization === undefined) throw new StatusError('Invalid', 'invalid resource metric source: neither an average utilization target nor an average value (usage) target was set');
  const target = averageValue === undefined ? { utilization: averageUtilization ?? 1 } : { average: thousandths(averageValue) };
  try {
    if (pods.length > 0 && usage.size === 0) throw new StatusError('ServiceUnavailable', `unable to get metrics for resource ${measured.resource}: no metrics returned from resource metrics API`);
    return proposeReplicas({ readings: readingsOf(usage, measured), isCpu: measured.resource === 'cpu', requests: () => requestsOf(pods, measured), target, tolerances: tolerancesOf(autoscaler), currentReplicas, pods, nowMs });
  } catch (error) {
    throw new StatusError('ServiceUnavailable', `failed to get ${measured.resource} ${what}: ${messageOf(error)}`, { cause: error });
  }
}

/** Metrics that an adapter tells of. */
function judgeCustom(metric: MetricSpec, snapshot: AutoscalerSnapshot, currentReplicas: number): Judgement {
  const { type, pods: own, object, external } = metric;
  const reading = snapshot.custom.get(metric);
  if (reading === undefined) throw new StatusError('Invalid', `unknown metric source type ${JSON.stringify(type)}`);
  if (reading instanceof Error) throw reading;
  if ('byPod' in reading) {
    const { name } = own?.metric ?? { name: '' };
    const target = { average: thousandths(own?.target.averageValue ?? '0') };
    const proposal = proposeReplicas({ readings: reading.byPod, isCpu: false, requests: () => new Map(), target, tolerances: tolerancesOf(snapshot.autoscaler), currentReplicas, pods: snapshot.pods, nowMs: snapshot.nowMs });
    return { proposal, name: `pods metric ${name}`, status: { type, pods: { metric: own?.metric ?? { name }, current: { averageValue: quantityOf(proposal.average) } } } };
  }
  const source = object ?? external;
  if (source === undefined) throw new StatusError('Invalid', `unknown metric source type ${JSON.stringify(type)}`);
  const proposal = replicasByValue({
    value: reading.value, target: valueTarget(source.target, type), tolerances: tolerancesOf(snapshot.autoscaler), currentReplicas, statusReplicas: snapshot.scale.status?.replicas ?? 0, pods: snapshot.pods,
  });
  const current = proposal.perPod === undefined ? { value: quantityOf(reading.value) } : { averageValue: quantityOf(proposal.perPod) };
  return object
    ? { proposal, name: `${object.describedObject.kind} metric ${object.metric.name}`, status: { type, object: { describedObject: object.describedObject, metric: object.metric, current } } }
    : { proposal, name: `external metric ${source.metric.name}`, status: { type, external: { metric: source.metric, current } } };
}

function valueTarget({ value, averageValue }: MetricTarget, type: string): { total: number } | { perPod: number } {
  if (value !== undefined) return { total: thousandths(value) };
  if (averageValue !== undefined) return { perPod: thousandths(averageValue) };
  throw new StatusError('Invalid', `invalid ${type.toLowerCase()} metric source: neither a value target nor an average value target was set`);
}

/** A ratio this near to 1 is left alone, unless the autoscaler says otherwise. */
const defaultTolerance = 0.1;

function tolerancesOf({ spec: { behavior } }: HorizontalPodAutoscaler): Tolerances {
  const of = (tolerance: string | undefined): number => (tolerance === undefined ? defaultTolerance : thousandths(tolerance) / 1000);
  return { up: of(behavior?.scaleUp?.tolerance), down: of(behavior?.scaleDown?.tolerance) };
}

function thousandths(quantity: string): number {
  return Number(parseQuantity(quantity)) / 1e6;
}

function quantityOf(value: number): string {
  return formatQuantity(BigInt(Math.round(value)) * 1_000_000n);
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
