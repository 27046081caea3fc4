import type { KubeObject } from '../meta/object.ts';
import type { FieldError } from '../meta/field-error.ts';
import type { Schema } from '../meta/schema.ts';
import type { Resource } from './resources.ts';

/** A column of `kubectl get`; priority 0 always shows, 1 with `-o wide`. `value` is a pure function of the object. */
export interface TableColumn<T extends KubeObject = KubeObject> {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly format?: 'name';
  readonly description: string;
  readonly priority: 0 | 1;
  /** `nowMs` lets ages be computed without a clock. */
  readonly value: (object: T, nowMs: number) => string | number | boolean | null;
}

/** JSON paths of the scale subresource, e.g. `spec.replicas`. */
export interface ScalePaths {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Path of a LabelSelector, or of a map of labels for core kinds. */
  readonly selector: readonly string[];
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
  readonly validateStatus?: (object: T, old: T) => FieldError[];
  /** Field selectors beside `metadata.name` and `metadata.namespace`. */
  readonly selectableFields: Readonly<Record<string, (object: T) => string>>;
  /** After the `Name` column and before `Age` unless the kind lists its own `Age`; every column is listed here. */
  readonly columns: readonly TableColumn<T>[];
  /** Default grace period of a delete in seconds; 0 or absent removes at once. Pods: the spec's. */
  readonly deletionGraceSeconds?: (object: T) => number;
}
