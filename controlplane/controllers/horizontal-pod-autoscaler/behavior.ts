import type { HorizontalPodAutoscalerSpec, HPAScalingPolicy, HPAScalingRules } from '#api/gen/types.ts';

interface Timed { readonly atMs: number }

/** What was advised and done of late; kept in memory as in Kubernetes. */
export interface History {
  readonly advice: readonly (Timed & { readonly replicas: number })[];
  /** Positive for pods that were added. */
  readonly changes: readonly (Timed & { readonly by: number })[];
}

export const noHistory: History = { advice: [], changes: [] };

export interface Verdict { readonly replicas: number; readonly reason: string; readonly message: string }

/** No window or policy may be longer than an hour, by the rules of the API. */
const keepMs = 3_600_000;

const defaults: Readonly<Record<'up' | 'down', HPAScalingRules>> = {
  up: { stabilizationWindowSeconds: 0, policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }, { type: 'Percent', value: 100, periodSeconds: 15 }] },
  down: { stabilizationWindowSeconds: 300, policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] },
};

function rulesOf({ behavior }: HorizontalPodAutoscalerSpec, way: 'up' | 'down'): HPAScalingRules {
  const given = way === 'up' ? behavior?.scaleUp : behavior?.scaleDown;
  return { ...defaults[way], ...given, stabilizationWindowSeconds: given?.stabilizationWindowSeconds ?? defaults[way].stabilizationWindowSeconds };
}

/** Without what is too old to matter. */
export function recent({ advice, changes }: History, nowMs: number): History {
  const since = nowMs - keepMs;
  return { advice: advice.filter(({ atMs }) => atMs > since), changes: changes.filter(({ atMs }) => atMs > since) };
}

/** Follows advice upwards no further than the lowest, and downwards no further than the highest advice of the window. */
export function stabilize(spec: HorizontalPodAutoscalerSpec, { advice }: History, current: number, desired: number, nowMs: number): Verdict {
  const within = (way: 'up' | 'down'): number[] => {
    const since = nowMs - (rulesOf(spec, way).stabilizationWindowSeconds ?? 0) * 1000;
    return [desired, ...advice.filter(({ atMs }) => atMs > since).map(({ replicas }) => replicas)];
  };
  const [lowest, highest] = [Math.min(...within('up')), Math.max(...within('down'))];
  const replicas = Math.min(Math.max(current, lowest), highest);
  if (replicas === desired) return { replicas, reason: 'ReadyForNewScale', message: 'recommended size matches current size' };
  return desired >= current
    ? { replicas, reason: 'ScaleUpStabilized', message: 'recent recommendations were lower than current one, applying the lowest recent recommendation' }
    : { replicas, reason: 'ScaleDownStabilized', message: 'recent recommendations were higher than current one, applying the highest recent recommendation' };
}

/** Keeps `desired` within the bounds, and the change within what the policies allow in their periods. */
export function limitRate(spec: HorizontalPodAutoscalerSpec, { changes }: History, current: number, desired: number, nowMs: number): Verdict {
  const least = spec.minReplicas ?? 1;
  const most = spec.maxReplicas;
  if (desired > current) {
    const limit = Math.max(current, furthest(rulesOf(spec, 'up'), 'up', changes, current, nowMs));
    if (desired > Math.min(most, limit)) {
      return most > limit
        ? { replicas: limit, reason: 'ScaleUpLimit', message: 'the desired replica count is increasing faster than the maximum scale rate' }
        : { replicas: most, reason: 'TooManyReplicas', message: 'the desired replica count is more than the maximum replica count' };
    }
  } else if (desired < current) {
    const limit = Math.min(current, furthest(rulesOf(spec, 'down'), 'down', changes, current, nowMs));
    if (desired < Math.max(least, limit)) {
      return least < limit
        ? { replicas: limit, reason: 'ScaleDownLimit', message: 'the desired replica count is decreasing faster than the maximum scale rate' }
        : { replicas: least, reason: 'TooFewReplicas', message: 'the desired replica count is less than the minimum replica count' };
    }
  }
  return { replicas: desired, reason: 'DesiredWithinRange', message: 'the desired count is within the acceptable range' };
}

function furthest({ policies = [], selectPolicy }: HPAScalingRules, way: 'up' | 'down', changes: History['changes'], current: number, nowMs: number): number {
  if (selectPolicy === 'Disabled') return current;
  const limits = policies.map((policy) => {
    const since = nowMs - policy.periodSeconds * 1000;
    const before = current - changes.filter(({ atMs }) => atMs > since).reduce((sum, { by }) => sum + by, 0);
    return way === 'up' ? before + step(policy, before) : before - step(policy, before);
  });
  // The policy that changes most, unless the one that changes least is asked for.
  return (way === 'up') === (selectPolicy !== 'Min') ? Math.max(...limits) : Math.min(...limits);
}

function step({ type, value }: HPAScalingPolicy, before: number): number {
  return type === 'Pods' ? value : Math.ceil((before * value) / 100);
}
