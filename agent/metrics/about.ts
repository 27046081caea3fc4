import { StatusError } from '#common/errors.ts';
import type { Clock } from '#common/clock.ts';
import type { Family } from '#common/metrics.ts';
import { objectLookup } from '#agent/pods/lookup.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { configz, type RunningConfig } from './configz.ts';
import type { AgentCounts } from './counts.ts';
import { kubeletFamilies, type HeldPod } from './kubelet-metrics.ts';
import { probeFamilies, type ProbedPod } from './probe-metrics.ts';

export interface AboutDeps extends RunningConfig {
  readonly pods: { evictable(): readonly (HeldPod & ProbedPod)[] };
  readonly driver: Pick<RuntimeDriver, 'list'>;
  readonly counts: AgentCounts;
  readonly state: DesiredState;
  readonly session: { readonly certificateEndsAtMs: number };
  readonly clock: Clock;
}

/** What a kubelet tells of itself: `{families}` of metrics for `metrics` and `probes`, `/configz` for `configz`. Nothing is kept for it that is not counted anyway. */
export async function aboutAgent(what: string, { pods, driver, counts, state, session, clock, ...running }: AboutDeps, signal: AbortSignal): Promise<object> {
  switch (what) {
    case 'metrics': {
      const { sandboxes } = await driver.list(signal);
      return plain(kubeletFamilies({ counts, pods: pods.evictable(), sandboxes, lookup: objectLookup(state, undefined, undefined, undefined), nowMs: clock.now(), certificateEndsAtMs: session.certificateEndsAtMs }));
    }
    case 'probes': return plain(probeFamilies(pods.evictable()));
    case 'configz': return configz(running);
    default: throw new StatusError('BadRequest', `an agent tells metrics, probes or configz of itself, not ${JSON.stringify(what)}`);
  }
}

/** As JSON can hold it. */
function plain(families: Iterable<Family>): object {
  return { families: [...families].map(({ samples, ...family }) => ({ ...family, samples: [...samples] })) };
}
