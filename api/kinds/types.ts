import type { KubeObject } from '../meta/object.ts';
import type { FieldError } from '../meta/field-error.ts';
import type { Schema } from '../meta/schema.ts';
import type { StructureReport } from '../meta/validate.ts';
import type { Resource } from './resources.ts';

/** A column of `kubectl get`; priority 0 always shows, 1 with `-o wide`. `value` is a pure function of the object. */
export interface TableColumn<T extends KubeObject = KubeObject> {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description: string;
  readonly priority: 0 | 1;
  /** `nowMs` lets ages be computed without a clock. */
  readonly value: (object: T, nowMs: number) => string | number | boolean | null;
}

/** JSON paths of the scale subresource, e.g. `spec.replicas`. */
export interface ScalePaths {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Path of a LabelSelector, of a map of labels for core kinds, or of a selector's text for custom resources. */
  readonly selector: readonly string[];
}

/** How objects are kept, where that may differ from how this kind serves them. An object's `apiVersion` says which version it is in. */
export interface StoredForm {
  /** The resource that they are kept under, where that is another: Events are seen in two groups. */
  readonly resource?: Pick<Resource, 'group' | 'plural'>;
  /** `apiVersion` of what is written. */
  readonly apiVersion: string;
  /** Objects that were last written at or before this revision may lack what the kind demands by now: `load` must see them. */
  readonly since: number;
  /** `load` and `save` may wait for somebody outside: a webhook that converts. */
  readonly asks?: boolean;
  /** Stored objects of any version as objects of this kind, in order. May change what it is given; slow where a webhook converts. */
  readonly load: (objects: readonly KubeObject[]) => readonly KubeObject[] | Promise<readonly KubeObject[]>;
  /** An object of this kind as it is to be written. Never changes what it is given. */
  readonly save: (object: KubeObject) => KubeObject | Promise<KubeObject>;
}

/** A part of an object that a subresource writes by its own rules, e.g. a pod's ephemeral containers. */
export interface ObjectPart<T extends KubeObject = KubeObject> {
  /** Puts the part of what was sent into `object`, a copy of the stored one, in place. */
  readonly apply: (object: T, sent: T) => void;
  /** What the part may not become; the object's own rules are checked beside. */
  readonly validate: (object: T, old: T) => FieldError[];
}

/** How a kind without a generated contract is pruned and checked. */
export interface Structure {
  /** A copy without unknown fields; errors are of `apiVersion`, `kind` and `metadata` only, which every object must have right to be read at all. */
  readonly clean: (value: unknown) => StructureReport & { readonly value: unknown };
  /** What breaks the schema. `old` is set on update: what was wrong before and stays as it is may pass. */
  readonly check: (object: KubeObject, old: KubeObject | undefined) => FieldError[];
}

/**
 * One kind as data and pure functions. The engine does the rest: pruning, defaulting, structural
 * validation, patches, tables and OpenAPI. Built-in kinds and, later, CustomResourceDefinitions are both this.
 * None of the functions may change its arguments unless it says so.
 */
export interface KindDefinition<T extends KubeObject = KubeObject> {
  readonly resource: Resource<T>;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Root of the object's structural schema; `$ref`s name definitions of the generated contract. */
  readonly schema: () => Schema;
  /** Volatile kinds are kept in memory only; see the store. */
  readonly storage: 'durable' | 'volatile';
  readonly status: boolean;
  /** Whether `metadata.generation` counts changes of what is wanted. Default: as `status`. */
  readonly generation?: boolean;
  readonly scale?: ScalePaths;
  /** By the name of the subresource. */
  readonly parts?: Readonly<Record<string, ObjectPart<T>>>;
  /** How `metadata.name` is checked. */
  readonly nameRule: 'dns-subdomain' | 'dns-label' | 'dns-1035-label' | 'path-segment';
  /** Fills in what Kubernetes fills in. Changes `object` in place. Must be idempotent. */
  readonly setDefaults?: (object: T) => void;
  /** Drops and sets what a client may not decide (status on create, generation). Changes `object` in place. */
  readonly prepareForCreate?: (object: T) => void;
  /** As above, for a write to the main resource. `metadata.generation` is kept by the engine. */
  readonly prepareForUpdate?: (object: T, old: T) => void;
  /** Beyond the schema: Kubernetes' own rules, in Kubernetes' words. `old` is set on update. */
  readonly validate?: (object: T, old?: T) => FieldError[];
  /** What only a new object must be, beside `validate`. */
  readonly validateNew?: (object: T) => FieldError[];
  readonly validateStatus?: (object: T, old: T) => FieldError[];
  /** Field selectors beside `metadata.name` and `metadata.namespace`. */
  readonly selectableFields: Readonly<Record<string, (object: T) => string>>;
  /** After the `Name` column and before `Age` unless the kind lists its own `Age`; every column is listed here. */
  readonly columns: readonly TableColumn<T>[];
  /** Default grace period of a delete in seconds; 0 or absent removes at once. Pods: the spec's. */
  readonly deletionGraceSeconds?: (object: T) => number;
  /** Added by the first delete: somebody has to clean up before the object may go. */
  readonly deletionFinalizer?: string;
  /** Absent: stored as served. */
  readonly stored?: StoredForm;
  /** Absent: `schema` says all. */
  readonly structure?: Structure;
  /** Loads what `validate` takes for this object, where that is rarely needed. */
  readonly prepareToValidate?: (object: T) => Promise<void> | undefined;
  /** What a client is told beside the success of its write: deprecated fields and likely slips. */
  readonly warnings?: (object: T, old: T | undefined) => string[];
  /** Goes with every answer, e.g. that the version is deprecated. */
  readonly warning?: string;
  /** Aborts when another definition takes this one's place: watches end, and clients come back to what is served then. */
  readonly retired?: AbortSignal;
}
