import type { Probe } from '#api/gen/types.ts';

/** What a probe said; `output` is for people. */
export interface CheckResult {
  readonly ok: boolean;
  readonly output: string;
  /** A failure that was told by an answer to a request. */
  readonly answered?: true;
  /** A success that somebody may want to know about. */
  readonly warning?: true;
}

export interface CheckTarget {
  readonly containerId: string;
  /** Where HTTP and TCP go unless the probe names a host. */
  readonly ip: string;
  /** Numbers of the container's named ports. */
  readonly ports: ReadonlyMap<string, number>;
}

/** Rejects when nothing can be said: that tells nothing of the container. */
export type Check = (probe: Probe, target: CheckTarget, signal: AbortSignal) => Promise<CheckResult>;
