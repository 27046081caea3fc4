import type { HorizontalPodAutoscaler, Pod, Scale } from '#api/gen/types.ts';
import { horizontalPodAutoscalers, pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { matchesLabels, nothing, parseLabelSelector, type LabelRequirement } from '#api/meta/selectors.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { currentResources } from '../every-resource.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { noHistory, type History } from './behavior.ts';
import { Readings } from './readings.ts';
import { reconcileAutoscaler, rescaled, unscalable, type AutoscalerDecision } from './reconcile.ts';

const periodMs = 15_000;

interface Known { readonly history: History; readonly selector: readonly LabelRequirement[] }

/** Scales what HorizontalPodAutoscalers name by what its pods use. Works every 15 seconds while there is one, and else not at all. */
export function horizontalPodAutoscaler(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { autoscaling } = config;
  const { informers, client, clock } = deps;
  const lister = informers.informer(horizontalPodAutoscalers);
  const podLister = informers.informer(pods, podIndexes);
  const known = new Map<string, Known>();
  const readings = autoscaling && new Readings({ autoscaling, clock, resources: () => currentResources(config) });

  /** Other autoscalers of the namespace that select some of `own`, and the one itself. */
  function rivalsOf(key: string, own: readonly Pod[]): string[] {
    const { namespace } = splitKey(key);
    const rivals = lister.list(namespace).map(keyOf).filter((other) => other !== key && own.some(({ metadata }) => matchesLabels(known.get(other)?.selector ?? nothing, metadata?.labels)));
    return rivals.length === 0 ? [] : [key, ...rivals].sort();
  }

  async function decide(autoscaler: HorizontalPodAutoscaler, signal: AbortSignal): Promise<AutoscalerDecision> {
    const { metadata, spec } = autoscaler;
    const key = keyOf(autoscaler);
    const { history } = known.get(key) ?? { history: noHistory };
    let scale: Scale;
    try {
      if (autoscaling === undefined || readings === undefined) throw new StatusError('ServiceUnavailable', 'nothing can be scaled here');
      scale = await autoscaling.scales.get(spec.scaleTargetRef, metadata?.namespace ?? '');
    } catch (error) {
      return unscalable(autoscaler, history, clock.now(), error);
    }
    const selector = parseLabelSelector(scale.status?.selector ?? '');
    const own = selector.length === 0 ? [] : podLister.list(metadata?.namespace).filter((pod) => matchesLabels(selector, pod.metadata?.labels));
    if (selector.length > 0) known.set(key, { history, selector });
    const subject = { autoscaler, podSelector: selector, pods: own };
    const [usage, custom] = await Promise.all([readings.usage(subject, signal), readings.custom(subject, signal)]);
    const snapshot = { autoscaler, scale, pods: own, usage, custom, rivals: rivalsOf(key, own), history, nowMs: clock.now() };
    const decision = reconcileAutoscaler(snapshot);
    const { rescale } = decision;
    let final = decision;
    if (rescale) {
      try {
        await autoscaling.scales.update(spec.scaleTargetRef, { ...scale, spec: { ...scale.spec, replicas: rescale.replicas } });
        final = rescaled(decision, snapshot);
      } catch (error) {
        final = rescaled(decision, snapshot, error);
      }
    }
    known.set(key, { history: final.history, selector: selector.length > 0 ? selector : nothing });
    return final;
  }

  return {
    // An adapter that does not answer holds up few others.
    workers: 5,
    watches: [
      watch(lister, ({ object, old }) => { const one = object ?? old; return one && !(object && old && equal(object.spec, old.spec)) ? [keyOf(one)] : []; }),
      { synced: (signal) => podLister.synced(signal), subscribe: () => () => undefined },
    ],
    async reconcile(key, signal) {
      const { namespace, name } = splitKey(key);
      const autoscaler = lister.get(namespace, name);
      if (autoscaler === undefined || autoscaler.metadata?.deletionTimestamp !== undefined) {
        known.delete(key);
        return undefined;
      }
      const { actions, status } = await decide(autoscaler, signal);
      await execute(deps, actions);
      try {
        if (!equal(status, autoscaler.status)) await client.update(horizontalPodAutoscalers, { ...autoscaler, status }, 'status');
      } catch (error) {
        // Somebody changed it meanwhile: the next look, which that change brings, tells.
        if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
      }
      return { afterMs: periodMs };
    },
  };
}
