import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { PodActions } from './actions.ts';
import { configBackoff, failureAfter, type PodMemory } from './memory.ts';
import { currentSandbox } from './observed.ts';
import type { PodRecorder } from './recorder.ts';
import type { PodView } from './types.ts';
import { hasTokens } from './volumes/tokens.ts';

export interface FreshVolumesDeps {
  readonly clock: Clock;
  readonly recorder: PodRecorder;
  readonly actions: PodActions;
  readonly memory: PodMemory;
}

/** An agent that has just started has more urgent things to do than to look at tokens. */
const adoptedRenewMs = 30_000;

/** Keeps volumes of a pod that runs up to date: mirrored objects, tokens, and what a CSI driver publishes again. */
export class FreshVolumes {
  readonly #deps: FreshVolumesDeps;
  #stale = false;

  constructor(deps: FreshVolumesDeps) {
    this.#deps = deps;
  }

  /** Monotonic; when there is something to do, though nobody says so. */
  get dueMs(): number | undefined {
    const { memory } = this.#deps;
    return earliest(memory.refresh?.untilMs, memory.renewMs);
  }

  /** The pod, or an object that it refers to, has changed. */
  outdated(): void { this.#stale = true; }

  /** The pod ran before this agent did: what its tokens need is not known yet. */
  adopt(pod: Pod): void {
    if (hasTokens(pod) || mayHaveCsi(pod)) this.#deps.memory.renewMs = this.#deps.clock.monotonic() + adoptedRenewMs;
  }

  /** What fails is tried again; the old content serves meanwhile. */
  async refresh(view: PodView, signal: AbortSignal): Promise<void> {
    const { clock, recorder, actions, memory } = this.#deps;
    const due = this.#stale || (this.dueMs ?? Infinity) <= clock.monotonic();
    // Before the work: what changes meanwhile is stale again.
    this.#stale = false;
    const sandbox = currentSandbox(view);
    if (!sandbox || view.ending) memory.refresh = memory.renewMs = undefined;
    else if (due) {
      try {
        await actions.refreshVolumes(view.pod, sandbox.ips, signal);
        memory.refresh = undefined;
      } catch (error) {
        signal.throwIfAborted();
        memory.renewMs = undefined;
        memory.refresh = failureAfter(memory.refresh, 'FailedMount', messageOf(error), clock.monotonic(), configBackoff);
        recorder.emit('Warning', 'FailedMount', messageOf(error));
      }
    }
  }
}

/** A volume of it may be one of a CSI driver. */
export function mayHaveCsi({ spec }: Pod): boolean {
  return spec?.volumes?.some(({ csi, persistentVolumeClaim, ephemeral }) => csi ?? persistentVolumeClaim ?? ephemeral) === true;
}

/** Of two times that may never come. */
export function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? a ?? b : Math.min(a, b);
}
