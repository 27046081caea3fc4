import type { Event, Lease, Node, PersistentVolumeClaim, Pod } from '#api/gen/types.ts';

export type Cause =
  | 'Admission' | 'Claim' | 'Configuration' | 'Container' | 'Crash' | 'Deletion' | 'Disruption' | 'Image' | 'Node' | 'OutOfMemory'
  | 'Probe' | 'Sandbox' | 'Scheduling' | 'Volume' | 'Workload';

export interface Finding {
  readonly cause: Cause;
  /** One sentence or two, in plain words. */
  readonly says: string;
  /** What would change it; a command where there is one. */
  readonly helps: readonly string[];
}

/** `broken` goes on until somebody does something; `waiting` may end by itself. */
export type State = 'fine' | 'finished' | 'waiting' | 'broken';

export interface Explanation {
  /** `pod/web`. */
  readonly object: string;
  readonly namespace: string;
  readonly state: State;
  /** Half a sentence about the object. */
  readonly summary: string;
  readonly findings: readonly Finding[];
}

/** A claim that a pod names. */
export interface ClaimFacts {
  readonly name: string;
  /** Undefined when it is not there. */
  readonly claim: PersistentVolumeClaim | undefined;
  /** Of the claim, oldest first. */
  readonly events: readonly Event[];
}

/** All that is known of a pod. */
export interface PodFacts {
  readonly pod: Pod;
  /** Of the pod, oldest first. */
  readonly events: readonly Event[];
  readonly nodes: readonly Node[];
  /** When the agent of the pod's node was last heard of. */
  readonly lease: Lease | undefined;
  /** What runs on nodes; only for a pod that waits for one. */
  readonly neighbours: readonly Pod[];
  readonly claims: readonly ClaimFacts[];
  readonly nowMs: number;
}
