import type { PodStatus } from '#api/gen/types.ts';
import type { ResizeView } from './allocation/allocation.ts';
import type { PodRecorder } from './recorder.ts';
import type { PodView } from './types.ts';

/** Tells of what a pod's status says for the first time, in kubelet's Events. */
export class Announcer {
  readonly #recorder: PodRecorder;
  #reason: string | undefined;
  /** The ended containers whose back-off was told of. */
  #heldBack: ReadonlySet<string> = new Set();

  constructor(recorder: PodRecorder) {
    this.#recorder = recorder;
  }

  /** How a change of what the pod may use goes on. */
  announceResize(resize: ResizeView | undefined): void {
    if (resize?.refusal) this.#recorder.emit('Warning', `Resize${resize.refusal.reason}`, resize.refusal.message);
    else if (resize) this.#recorder.emit('Normal', 'ResizeStarted', 'Pod resize started');
  }

  announce({ pod, rejection, eviction, ending }: PodView, status: PodStatus): void {
    if (status.reason !== this.#reason) {
      if (rejection) this.#recorder.emit('Warning', rejection.reason, rejection.message);
      else if (eviction) this.#recorder.emit('Warning', eviction.reason, eviction.message);
      else if (status.reason === 'DeadlineExceeded') this.#recorder.emit('Normal', status.reason, status.message ?? '');
    }
    this.#reason = status.reason;
    if (!ending) this.#announceBackoff(pod, status);
  }

  /** Once for each time that a container ended: a wait has no end that an Event could tell of. */
  #announceBackoff({ metadata }: PodView['pod'], { initContainerStatuses = [], containerStatuses = [] }: PodStatus): void {
    const held = new Set<string>();
    for (const { name, state, lastState } of [...initContainerStatuses, ...containerStatuses]) {
      const id = lastState?.terminated?.containerID;
      if (state?.waiting?.reason !== 'CrashLoopBackOff' || id === undefined) continue;
      held.add(id);
      const where = `${metadata?.name ?? ''}_${metadata?.namespace ?? ''}(${metadata?.uid ?? ''})`;
      if (!this.#heldBack.has(id)) this.#recorder.emit('Warning', 'BackOff', `Back-off restarting failed container ${name} in pod ${where}`, name);
    }
    this.#heldBack = held;
  }
}
