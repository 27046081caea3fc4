import { StatusError } from '#common/errors.ts';
import type { CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps } from '../gen/types.ts';
import type { KindDefinition, ScalePaths, StoredForm } from '../kinds/types.ts';
import { invalid, type FieldError } from '../meta/field-error.ts';
import { copyJson, isRecord, own } from '../meta/json.ts';
import type { KubeObject } from '../meta/object.ts';
import type { Schema } from '../meta/schema.ts';
import { compareVersions } from '../meta/versions.ts';
import { checkCustom, Patterns } from './check.ts';
import { printerColumns } from './columns.ts';
import { setSchemaDefaults } from './defaults.ts';
import { simplePath } from './json-path.ts';
import { cleanCustom } from './prune.ts';
import { metadataRules, parts, rootSchema } from './schema.ts';

/** Evaluates the `x-kubernetes-validations` of one version. Nobody has any: absent. */
export type RuleChecker = (object: KubeObject, old: KubeObject | undefined) => FieldError[];

export interface CustomKindDeps {
  /** Store revision as of which the definition holds: what was written before may not fit it. */
  readonly since: number;
  readonly retired: AbortSignal;
  /** Objects of any version in `apiVersion`, in order; see `spec.conversion`. May change what it is given. */
  readonly convert: (objects: readonly KubeObject[], apiVersion: string) => readonly KubeObject[] | Promise<readonly KubeObject[]>;
  /** `convert` may wait for somebody outside. */
  readonly asks?: boolean;
  /** Makes the checker of a version with rules. */
  readonly rules: (schema: Schema) => RuleChecker;
}

/** The generated type leaves parts of a schema open; a definition that was let in has them as `Schema` says. */
export function schemaOf(version: CustomResourceDefinitionVersion): Schema | undefined {
  return version.schema?.openAPIV3Schema satisfies JSONSchemaProps | undefined as Schema | undefined;
}

export function hasRules(schema: Schema | undefined): boolean {
  return schema !== undefined && [...parts(schema)].some(([, part]) => Array.isArray(part['x-kubernetes-validations']));
}

export interface CustomKinds {
  /** The versions that are served, the preferred one first. */
  readonly served: readonly KindDefinition[];
  /** The version that objects are stored in, served or not. */
  readonly storage: KindDefinition | undefined;
}

/** The versions of a definition as kinds. */
export function customKinds(definition: CustomResourceDefinition, deps: CustomKindDeps): CustomKinds {
  const schemas = new Map(definition.spec.versions.map((version) => [`${definition.spec.group}/${version.name}`, rootSchema(schemaOf(version))]));
  const versions = definition.spec.versions.filter(({ served, storage }) => served || storage).sort((a, b) => compareVersions(a.name, b.name));
  const all = versions.map((version) => ({ version, kind: customKind(definition, version, schemas, deps) }));
  return { served: all.flatMap(({ version, kind }) => (version.served ? [kind] : [])), storage: all.find(({ version }) => version.storage)?.kind };
}

/** The schema of each version, by `apiVersion`. */
type Schemas = ReadonlyMap<string, Schema>;

function customKind(definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion, schemas: Schemas, deps: CustomKindDeps): KindDefinition {
  const { spec, status } = definition;
  const { group, scope } = spec;
  const names = status?.acceptedNames?.plural ? status.acceptedNames : spec.names;
  const given = schemaOf(version);
  const schema = schemas.get(`${group}/${version.name}`) ?? rootSchema(given);
  const patterns = new Patterns();
  const rules = hasRules(given) ? deps.rules(schema) : undefined;
  const metadata = metadataRules(given);
  const storage = spec.versions.find((one) => one.storage) ?? version;
  const scale = scalePaths(version);
  const check = (object: KubeObject, old: KubeObject | undefined): FieldError[] => {
    const errors = [...metadataErrors(metadata, object, patterns), ...checkCustom(schema, object, old, patterns), ...scaleErrors(scale, object)];
    return rules === undefined ? errors : [...errors, ...checkRules(rules, errors, object, old)];
  };
  return {
    resource: { group, version: version.name, plural: names.plural, kind: names.kind, namespaced: scope === 'Namespaced' },
    singular: names.singular ?? '', shortNames: names.shortNames ?? [], categories: names.categories ?? [],
    schema: () => schema,
    storage: 'durable',
    status: version.subresources?.status !== undefined,
    generation: true,
    ...(scale && { scale }),
    nameRule: 'dns-subdomain',
    setDefaults: (object) => { setSchemaDefaults(schema, object); },
    prepareForCreate: (object) => {
      if (definition.metadata?.deletionTimestamp !== undefined) throw new StatusError('MethodNotAllowed', 'create not allowed while custom resource definition is terminating');
      if (version.subresources?.status !== undefined) Reflect.deleteProperty(object, 'status');
    },
    selectableFields: Object.fromEntries((version.selectableFields ?? []).map(({ jsonPath }) => [jsonPath.slice(1), (object) => textAt(object, simplePath(jsonPath))])),
    columns: printerColumns(version.additionalPrinterColumns),
    warnings: (object, old) => finalizerWarnings(object, old),
    structure: { clean: (value) => cleanCustom(schema, value), check },
    stored: storedForm(schemas, `${group}/${version.name}`, `${group}/${storage.name}`, deps),
    ...(version.deprecated === true && { warning: version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated` }),
    retired: deps.retired,
  };
}

/** Objects are pruned and defaulted by the version that they are stored in, then converted, then pruned by the one that is served, as in Kubernetes. */
function storedForm(schemas: Schemas, served: string, storage: string, { convert, since, asks }: CustomKindDeps): StoredForm {
  const pruned = (object: KubeObject): KubeObject => {
    const schema = schemas.get(object.apiVersion ?? '');
    return schema ? cleanCustom(schema, object).value as KubeObject : object;
  };
  const defaulted = (object: KubeObject): KubeObject => {
    setSchemaDefaults(schemas.get(object.apiVersion ?? '') ?? {}, object);
    return object;
  };
  const converted = (objects: readonly KubeObject[], to: string, finish: (object: KubeObject) => KubeObject): readonly KubeObject[] | Promise<readonly KubeObject[]> => {
    if (objects.every((object) => object.apiVersion === to)) return objects;
    const result = convert(objects, to);
    return result instanceof Promise ? result.then((all) => all.map(finish)) : result.map(finish);
  };
  return {
    apiVersion: storage, since, ...(asks === true && { asks }),
    load: (objects) => converted(objects.map((object) => defaulted(pruned(object))), served, pruned),
    save: (object) => {
      const result = converted([copyJson(object)], storage, (one) => defaulted(pruned(one)));
      return result instanceof Promise ? result.then(([one]) => one ?? object) : result[0] ?? object;
    },
  };
}

const standardFinalizers = new Set(['foregroundDeletion', 'orphan', 'kubernetes']);

/** A name without a domain may be somebody else's, too. */
function finalizerWarnings(object: KubeObject, old: KubeObject | undefined): string[] {
  const known = new Set([...standardFinalizers, ...old?.metadata?.finalizers ?? []]);
  return (object.metadata?.finalizers ?? []).filter((name) => !known.has(name) && !name.includes('/'))
    .map((name) => `metadata.finalizers: ${JSON.stringify(name)}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers`);
}

/** Rules read fields that the schema vouches for: where it does not hold, they are not asked. */
function checkRules(rules: RuleChecker, errors: readonly FieldError[], object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const blocking = errors.some(({ type }) => ['FieldValueRequired', 'FieldValueTooLong', 'FieldValueTooMany', 'FieldValueTypeInvalid'].includes(type));
  if (!blocking) return rules(object, old);
  return [invalid('<nil>', null, 'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation')];
}

/** What a schema says of the name, which else is the engine's business. */
function metadataErrors(rules: Schema | undefined, object: KubeObject, patterns: Patterns): FieldError[] {
  return Object.entries(rules?.properties ?? {}).flatMap(([name, schema]) => {
    const value = own((object.metadata ?? {}) as Record<string, unknown>, name);
    return value === undefined ? [] : checkCustom({ properties: { metadata: { properties: { [name]: schema } } } }, { metadata: { [name]: value } }, undefined, patterns);
  });
}

function scalePaths(version: CustomResourceDefinitionVersion): ScalePaths | undefined {
  const scale = version.subresources?.scale;
  return scale && { specReplicas: simplePath(scale.specReplicasPath), statusReplicas: simplePath(scale.statusReplicasPath), selector: simplePath(scale.labelSelectorPath ?? '') };
}

function at(object: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((here, key) => (isRecord(here) ? own(here, key) : undefined), object);
}

function scaleErrors(scale: ScalePaths | undefined, object: KubeObject): FieldError[] {
  if (!scale) return [];
  return [scale.specReplicas, scale.statusReplicas].flatMap((path) => {
    const value = at(object, path);
    const field = path.join('.');
    if (value === undefined || value === null) return [];
    if (typeof value !== 'number' || !Number.isInteger(value)) return [invalid(field, value, 'must be an integer')];
    if (value < 0) return [invalid(field, value, 'should be a non-negative integer')];
    return value > 2 ** 31 - 1 ? [invalid(field, value, `should be less than or equal to ${2 ** 31 - 1}`)] : [];
  });
}

/** A selectable field as text; what is absent is empty. */
function textAt(object: KubeObject, path: readonly string[]): string {
  const value = at(object, path);
  return value === undefined || value === null || typeof value === 'object' ? '' : String(value as string | number | boolean);
}
