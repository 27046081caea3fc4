import type { Subresource } from '#api/kinds/engine.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { User } from '../types.ts';

/** Adds to the audit event of a request; `level` is the least at which an event has it. */
export type Annotate = (key: string, value: string, level?: 'Metadata' | 'Request') => void;

/** One write on its way into the store. */
export interface AdmissionRequest {
  /** `connect` opens a stream into `name`, and `object` says what for. */
  readonly operation: 'create' | 'update' | 'delete' | 'connect';
  readonly kind: KindDefinition;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  readonly dryRun: boolean;
  /** Goes back to the client with the answer; what is added more than once is told once. Absent: nobody reads it. */
  readonly warnings?: string[] | undefined;
  /** Goes into the audit log, with the answer. Absent: nobody keeps one. */
  readonly annotate?: Annotate | undefined;
  /** To be called before somebody outside is asked, who may take long or want the same object: others may write it meanwhile. */
  readonly beforeAsking?: (() => void) | undefined;
  readonly subresource: Subresource | 'exec' | 'attach' | 'portforward' | undefined;
  /** The options of the request, as its client gave them; `dryRun` is told by itself. */
  readonly asked?: Readonly<Record<string, unknown>> | undefined;
  /** As it will be written; absent for a delete. */
  readonly object: KubeObject | undefined;
  /** As it is; absent for a create. Never changed. */
  readonly old: KubeObject | undefined;
}

/** Something taken for a write: kept when that succeeds, given back when it fails. Exactly one is called. */
export interface Reservation {
  commit(): void;
  rollback(): void;
}

/** A rule that looks at writes of many kinds. Kept in the order of the chain. */
export interface AdmissionPlugin {
  readonly name: string;
  /** Before validation. Refuses by throwing; may change `request.object` in place. */
  admit?(request: AdmissionRequest): Promise<void> | void;
  /**
   * As `admit`, for what others may make of the object. When it has changed, the plugins before this one run again, and
   * then, once, what is returned.
   */
  mutate?(request: AdmissionRequest): Promise<(() => Promise<void>) | undefined>;
  /** After validation: sees the object as it is to be, and may only refuse. */
  validate?(request: AdmissionRequest): Promise<void> | void;
  /** After validation, right before the write, synchronously: takes what the object needs and writes it into `request.object`. */
  reserve?(request: AdmissionRequest): Reservation | undefined;
}
