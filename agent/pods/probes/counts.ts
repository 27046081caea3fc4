/** Seconds; prometheus/client_golang's. */
export const probeBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

export type ProbeKind = 'startup' | 'liveness' | 'readiness';
export type ProbeResult = 'successful' | 'failed' | 'unknown';

/** What the probes of one kind of a container have said, over all its restarts. */
export interface ProbeCount {
  readonly container: string;
  readonly kind: ProbeKind;
  readonly results: Readonly<Record<ProbeResult, number>>;
  /** How many successes took at most as long as each bound and longer than the one before; the last of all that took longer. */
  readonly durations: Uint32Array;
  readonly seconds: number;
}

/** Counts of one pod's probes: they are gone with the pod. As with kubelet only successes are timed, for a failure may be a wait that was given up. */
export class ProbeCounts {
  readonly #counts = new Map<string, { -readonly [K in keyof ProbeCount]: ProbeCount[K] } & { readonly results: Record<ProbeResult, number> }>();

  add(container: string, kind: ProbeKind, result: ProbeResult, tookMs: number): void {
    const key = `${kind}/${container}`;
    let count = this.#counts.get(key);
    if (!count) this.#counts.set(key, count = { container, kind, results: { successful: 0, failed: 0, unknown: 0 }, durations: new Uint32Array(probeBounds.length + 1), seconds: 0 });
    count.results[result]++;
    if (result !== 'successful') return;
    const found = probeBounds.findIndex((bound) => tookMs / 1000 <= bound);
    const at = found < 0 ? probeBounds.length : found;
    count.durations[at] = (count.durations[at] ?? 0) + 1;
    count.seconds += tookMs / 1000;
  }

  all(): readonly ProbeCount[] { return [...this.#counts.values()]; }
}
