import type { KubeObject } from '#api/meta/object.ts';
import type { Resource } from '#api/kinds/resources.ts';

/** One object that this node must know, or its removal. */
export type StateChange =
  | { readonly type: 'set'; readonly resource: Resource; readonly object: KubeObject }
  | { readonly type: 'remove'; readonly resource: Resource; readonly namespace: string | undefined; readonly name: string };

/**
 * What this node must run and know, as last told by the control plane: its Pods, the Secrets and ConfigMaps they
 * name, Services, EndpointSlices, and all Nodes (for routes). The agent acts on this and only on this, connected or not.
 */
export interface DesiredState {
  /** False until the first COMPLETE of this node's life has arrived (fresh join). */
  readonly known: boolean;
  /**
   * False while the files were found damaged and the control plane has not answered since: this may then be an older
   * state, and what is missing in it may be wanted all the same.
   */
  readonly reliable: boolean;
  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined;
  list<T extends KubeObject>(resource: Resource<T>): readonly T[];
  /** Called after a change is on disk, once per applied message, and when `known` or `reliable` becomes true. Synchronous; must only note work. */
  subscribe(listener: (changes: readonly StateChange[]) => void): () => void;
}

/** The checkpoint: DesiredState plus the way to change it. A resolved call is fsynced. Owned by the session. */
export interface Checkpoint extends DesiredState {
  /** The revision that `complete` and `incremental` last reached; 0 when fresh. */
  readonly revision: number;
  /** Replaces everything; listeners are told only what differs. */
  complete(objects: readonly { resource: Resource; object: KubeObject }[], revision: number): Promise<void>;
  /** Rejects with `Conflict` when `fromRevision` is not `revision`: the session must be opened anew. */
  incremental(changes: readonly StateChange[], fromRevision: number, toRevision: number): Promise<void>;
  close(): Promise<void>;
}
