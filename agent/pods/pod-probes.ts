import type { Clock } from '#common/clock.ts';
import type { PodActions } from './actions.ts';
import type { PodMemory } from './memory.ts';
import { ContainerProbes } from './probes/probes.ts';
import type { ProbeSchedule } from './probes/schedule.ts';
import type { Check } from './probes/types.ts';
import type { PodRecorder } from './recorder.ts';
import { containerNamed } from './spec/containers.ts';
import type { PodView } from './types.ts';

export interface PodProbesDeps {
  readonly clock: Clock;
  readonly schedule: ProbeSchedule;
  readonly check: Check;
  readonly recorder: PodRecorder;
  readonly actions: PodActions;
  readonly memory: PodMemory;
  /** Called when a verdict has changed. */
  readonly changed: () => void;
}

/** Probes those containers of a pod that run. */
export class PodProbes {
  readonly #deps: PodProbesDeps;

  constructor(deps: PodProbesDeps) {
    this.#deps = deps;
  }

  /** `adopted`: what runs ran before this agent did. */
  follow(view: PodView, adopted: boolean): void {
    const { clock, schedule, check, recorder, actions, memory, changed } = this.#deps;
    for (const { id, name, state, startedAtMs } of view.containers) {
      const known = memory.probes.get(id);
      if (state !== 'running') known?.stop();
      else if (view.ending) known?.startEnding();
      if (state !== 'running' || view.ending) continue;
      const spec = containerNamed(view.pod, name);
      if (known || !spec || !ContainerProbes.needed(spec)) continue;
      memory.probes.set(id, new ContainerProbes({
        clock, schedule, check, changed,
        tell: (reason, message) => { recorder.emit('Warning', reason, message, name); },
        count: (kind, result, tookMs) => { memory.probeCounts.add(name, kind, result, tookMs); },
      }, spec, actions.target(view, spec, id), startedAtMs, adopted));
    }
  }

  stop(): void {
    for (const probes of this.#deps.memory.probes.values()) probes.stop();
  }
}
