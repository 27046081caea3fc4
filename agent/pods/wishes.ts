import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { graceSecondsOf } from './spec/containers.ts';
import type { Ending, Eviction, Withheld } from './types.ts';

/** Nobody waits for the end of a pod that was removed by force: it gets this long at most. */
const removedGraceSeconds = 1;

/**
 * What the control plane and this host want of one pod at the moment. Each change calls `changed`; one that makes what is
 * being done for the pod pointless ends that, too.
 */
export class PodWishes {
  readonly #clock: Clock;
  readonly #changed: () => void;
  #pod: Pod;
  #isDesired = true;
  #ending: Ending | undefined;
  #eviction: Eviction | undefined;
  #haltSeconds: number | undefined;
  #withheld: Withheld | undefined;
  #interrupt = new AbortController();

  constructor(pod: Pod, clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
    this.#pod = pod;
    this.#ending = this.#endingOf(pod);
  }

  /** As it was last asked for. */
  get pod(): Pod { return this.#pod; }

  /** False once the control plane has dropped the pod. */
  get isDesired(): boolean { return this.#isDesired; }

  get ending(): Ending | undefined { return this.#ending; }
  get eviction(): Eviction | undefined { return this.#eviction; }
  get haltSeconds(): number | undefined { return this.#haltSeconds; }
  get withheld(): Withheld | undefined { return this.#withheld; }

  /** False while nothing of it is to be started. */
  get mayBegin(): boolean { return !this.#eviction && !this.#withheld && this.#haltSeconds === undefined; }

  /** Aborts what is being done now when it is not wanted any more; a new one takes its place then. */
  get interrupt(): AbortSignal { return this.#interrupt.signal; }

  /** True when more than its deletion has changed: what could not be done before may be possible now. */
  update(pod: Pod): boolean {
    const before = this.#ending;
    const [wanted, known] = [pod, this.#pod].map((p) => JSON.stringify([p.spec, p.metadata?.labels, p.metadata?.annotations]));
    this.#pod = pod;
    this.#isDesired = true;
    this.#ending = this.#endingOf(pod);
    if (this.#ending && (!before || (this.#ending.graceSeconds ?? 0) < (before.graceSeconds ?? Infinity))) this.#interruptNow();
    this.#changed();
    return wanted !== known;
  }

  /** It is not wanted on this node any more. With `graceSeconds` it gets so long, whatever it asks for; else a moment, or what its deletion said if that is less. */
  drop(graceSeconds?: number): void {
    this.#isDesired = false;
    this.#ending = {
      graceSeconds: graceSeconds ?? Math.min(this.#ending?.graceSeconds ?? graceSecondsOf(this.#pod), removedGraceSeconds), sinceMs: this.#endingSince(),
      // Who says how long it gets, waits for its programs' end, and not for what comes after.
      isForgotten: graceSeconds === undefined,
    };
    this.#interruptNow();
    this.#changed();
  }

  /** Ends it for good, as failed. One that is ending is left to that. */
  evict(eviction: Eviction): void {
    if (this.#eviction || this.#ending) return;
    this.#eviction = eviction;
    this.#interruptNow();
    this.#changed();
  }

  /** Undefined lets it go on. */
  halt(seconds: number | undefined): void {
    if (this.#haltSeconds === seconds) return;
    this.#haltSeconds = seconds;
    this.#interruptNow();
    this.#changed();
  }

  /** Whether it may run here at the moment. True when it may not and that is news. */
  withhold(withheld: Withheld | undefined): boolean {
    const before = this.#withheld;
    // What is ending is not told again, unless its time is over.
    if (before === withheld || (before && withheld && (withheld.graceSeconds > 0 || before.graceSeconds === 0))) return false;
    this.#withheld = withheld;
    if (withheld) this.#interruptNow();
    this.#changed();
    return withheld !== undefined && before === undefined;
  }

  #endingOf({ metadata }: Pod): Ending | undefined {
    if (metadata?.deletionTimestamp === undefined) return undefined;
    return { graceSeconds: metadata.deletionGracePeriodSeconds ?? undefined, sinceMs: this.#endingSince() };
  }

  #endingSince(): number { return this.#ending?.sinceMs ?? this.#clock.monotonic(); }

  #interruptNow(): void {
    this.#interrupt.abort(new Error('the pod is to end'));
    this.#interrupt = new AbortController();
  }
}
