import type { Container, Probe } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { expand } from '../spec/expansion.ts';
import type { ProbeView } from '../types.ts';
import type { ProbeKind, ProbeResult } from './counts.ts';
import type { ProbeSchedule } from './schedule.ts';
import type { Check, CheckResult, CheckTarget } from './types.ts';

export interface ProbeDeps {
  readonly clock: Clock;
  readonly schedule: ProbeSchedule;
  readonly check: Check;
  /** Called when `view` has changed. */
  readonly changed: () => void;
  /** What is worth an Event, in kubelet's words. */
  readonly tell: (reason: 'Unhealthy' | 'ProbeWarning', message: string) => void;
  /** Called with each result. */
  readonly count: (kind: ProbeKind, result: ProbeResult, tookMs: number) => void;
}

interface State {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  /** Undefined until the first verdict. */
  verdict: boolean | undefined;
  /** Nothing could be found out, at least once. */
  errored: boolean;
  /** Results in a row that say the same. */
  run: { ok: boolean; count: number };
  /** Ends the wait for the next time. */
  cancel: (() => void) | undefined;
}

/** Beyond this a timer would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

const titles = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' } as const;

/** Probes one running container. */
export class ContainerProbes {
  readonly #deps: ProbeDeps;
  readonly #target: CheckTarget;
  readonly #states: State[];
  readonly #stop = new AbortController();
  #isEnding = false;
  readonly #adopted: boolean;
  /** Monotonic; when the container started. */
  readonly #startedMs: number;

  /** `adopted`: it ran before this agent did, so its readiness is asked for at once and the first answer counts. */
  constructor(deps: ProbeDeps, spec: Container, target: CheckTarget, startedAtMs: number, adopted: boolean) {
    this.#deps = deps;
    this.#target = target;
    this.#adopted = adopted;
    const kinds = [['startup', spec.startupProbe], ['liveness', spec.livenessProbe], ['readiness', spec.readinessProbe]] as const;
    this.#states = kinds.flatMap(([kind, probe]) => probe ? [{ kind, probe: withValues(probe, spec), verdict: undefined, errored: false, run: { ok: false, count: 0 }, cancel: undefined }] : []);
    // A clock that was set back makes nobody wait for longer than the delay.
    this.#startedMs = deps.clock.monotonic() - Math.max(0, deps.clock.now() - startedAtMs);
    // The others begin when the startup probe has succeeded.
    for (const state of this.#states) if (state.kind === 'startup' || !this.#state('startup')) this.#first(state);
  }

  static needed(spec: Container): boolean {
    return (spec.startupProbe ?? spec.livenessProbe ?? spec.readinessProbe) !== undefined;
  }

  get view(): ProbeView {
    const startup = this.#state('startup');
    const readiness = this.#state('readiness');
    const liveness = this.#state('liveness');
    const started = !startup || startup.verdict === true;
    return {
      started,
      ready: started && (!readiness || readiness.verdict === true),
      failed: startup?.verdict === false ? 'startup' : liveness?.verdict === false ? 'liveness' : undefined,
      pending: this.#adopted && (isOpen(startup) || (started && isOpen(readiness))),
    };
  }

  /** The container is being ended: who waits for that wants to know whether it still serves, and nobody whether it lives. */
  startEnding(): void {
    this.#isEnding = true;
    for (const { kind, cancel } of this.#states) if (kind !== 'readiness') cancel?.();
  }

  stop(): void {
    this.#stop.abort();
    for (const { cancel } of this.#states) cancel?.();
  }

  #state(kind: ProbeKind): State | undefined {
    return this.#states.find((s) => s.kind === kind);
  }

  /** No sooner than its delay after the container's start. */
  #first(state: State): void {
    const delayMs = (state.probe.initialDelaySeconds ?? 0) * 1000;
    this.#after(this.#adopted ? 0 : Math.max(0, this.#startedMs + delayMs - this.#deps.clock.monotonic()), state);
  }

  #after(ms: number, state: State): void {
    state.cancel = this.#deps.clock.after(Math.min(ms, longestTimerMs), () => { void this.#probe(state); });
  }

  /** A period from when it last began. A command costs so much that what begins with it costs little more: those are left apart. */
  #again(state: State, beganMs: number): void {
    const nextMs = beganMs + (state.probe.periodSeconds ?? 10) * 1000;
    if (state.probe.exec) this.#after(Math.max(0, nextMs - this.#deps.clock.monotonic()), state);
    else state.cancel = this.#deps.schedule.at(nextMs, () => { void this.#probe(state); });
  }

  async #probe(state: State): Promise<void> {
    if (this.#isOver(state)) return;
    const beganMs = this.#deps.clock.monotonic();
    let result: CheckResult | undefined;
    try {
      result = await this.#deps.check(state.probe, this.#target, this.#stop.signal);
    } catch (error) {
      // A runtime that is away, or a command that is not in the image, is no reason to end a container.
      if (!this.#isOver(state) && !this.#isEnding) this.#deps.tell('Unhealthy', `${titles[state.kind]} probe errored and resulted in unknown state: ${messageOf(error)}`);
    }
    if (this.#isOver(state)) return;
    this.#deps.count(state.kind, result === undefined ? 'unknown' : result.ok ? 'successful' : 'failed', this.#deps.clock.monotonic() - beganMs);
    if (!result && !state.errored) {
      state.errored = true;
      this.#deps.changed();
    }
    const finished = result !== undefined && this.#take(state, result);
    if (!finished) this.#again(state, beganMs);
  }

  #isOver({ kind }: State): boolean {
    return this.#stop.signal.aborted || (this.#isEnding && kind !== 'readiness');
  }

  /** Counts a result. True when this probe is not needed any more. */
  #take(state: State, { ok, output, warning }: CheckResult): boolean {
    if (!ok) this.#deps.tell('Unhealthy', `${titles[state.kind]} probe failed: ${output}`);
    else if (warning) this.#deps.tell('ProbeWarning', `${titles[state.kind]} probe warning: ${output}`);
    state.run = state.run.ok === ok ? { ok, count: state.run.count + 1 } : { ok, count: 1 };
    const threshold = ok ? state.probe.successThreshold ?? 1 : state.probe.failureThreshold ?? 3;
    const first = this.#adopted && state.verdict === undefined && state.kind === 'readiness';
    if (!first && state.run.count < threshold) return false;
    if (state.verdict === ok) return false;
    state.verdict = ok;
    if (state.kind === 'startup' && ok) this.#states.filter((s) => s !== state).forEach((s) => { this.#first(s); });
    this.#deps.changed();
    // After a failed liveness or startup probe the container is replaced, and its probes with it.
    return state.kind === 'startup' || (state.kind === 'liveness' && !ok);
  }
}

/** A command may name variables that the container's own words give a value; those that come from elsewhere are empty, as with kubelet. */
function withValues(probe: Probe, { env = [] }: Container): Probe {
  if (!probe.exec) return probe;
  const values = new Map(env.map(({ name, value = '' }) => [name, value]));
  return { ...probe, exec: { command: (probe.exec.command ?? []).map((word) => expand(word, (name) => values.get(name))) } };
}

/** Asked, and not answered yet. */
function isOpen(state: State | undefined): boolean {
  return state?.verdict === undefined && state?.errored === false;
}
