import type { ObjectMeta, OwnerReference } from '../gen/types.ts';
import { equal } from './equal.ts';
import { forbidden, invalid, required, tooLong, type FieldError } from './field-error.ts';
import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, pathSegment, qualifiedName } from './names.ts';

export type NameRule = 'dns-subdomain' | 'dns-label' | 'dns-1035-label' | 'path-segment';

export interface MetadataRules {
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
}

/** Kubernetes' limit of all annotations of an object, keys and values, in bytes. */
const maxAnnotationsBytes = 256 * 1024;

const nameRules: Readonly<Record<NameRule, (name: string) => string | undefined>> = {
  'dns-subdomain': dns1123Subdomain,
  'dns-label': dns1123Label,
  'dns-1035-label': dns1035Label,
  'path-segment': pathSegment,
};

/** What is wrong with a name under `rule`; as a prefix (`generateName`) it may end in `-` or `.`. */
export function nameProblem(name: string, rule: NameRule, prefix = false): string | undefined {
  return nameRules[rule](prefix && rule !== 'path-segment' && name.length > 1 && name.endsWith('-') ? `${name.slice(0, -1)}a` : name);
}

/** ObjectMeta's own rules: name, generateName, namespace, labels, annotations, finalizers, ownerReferences. */
export function validateMetadata(metadata: ObjectMeta | undefined, rules: MetadataRules, field = 'metadata'): FieldError[] {
  const meta = metadata ?? {};
  const errors: FieldError[] = [];
  const check = (name: string, value: string, problem: string | undefined): void => {
    if (problem !== undefined) errors.push(invalid(`${field}.${name}`, value, problem));
  };
  if (meta.generateName) check('generateName', meta.generateName, nameProblem(meta.generateName, rules.nameRule, true));
  if (!meta.name) errors.push(required(`${field}.name`, 'name or generateName is required'));
  else check('name', meta.name, nameProblem(meta.name, rules.nameRule));
  if (!rules.namespaced) {
    if (meta.namespace) errors.push(forbidden(`${field}.namespace`, 'not allowed on this type'));
  } else if (!meta.namespace) errors.push(required(`${field}.namespace`));
  else check('namespace', meta.namespace, dns1123Label(meta.namespace));
  if ((meta.generation ?? 0) < 0) errors.push(invalid(`${field}.generation`, meta.generation, 'must be greater than or equal to 0'));
  return [
    ...errors,
    ...validateLabels(meta.labels, `${field}.labels`),
    ...validateAnnotations(meta.annotations, `${field}.annotations`),
    ...validateOwners(meta.ownerReferences ?? [], `${field}.ownerReferences`),
    ...validateFinalizers(meta.finalizers ?? [], `${field}.finalizers`),
  ];
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyProblem = qualifiedName(key);
    if (keyProblem !== undefined) errors.push(invalid(field, key, keyProblem));
    const valueProblem = labelValue(value);
    if (valueProblem !== undefined) errors.push(invalid(field, value, valueProblem));
  }
  return errors;
}

export function validateAnnotations(annotations: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
    // Upper case is allowed in the prefix of an annotation's key.
    const problem = qualifiedName(key.toLowerCase());
    if (problem !== undefined) errors.push(invalid(field, key, problem));
  }
  if (size > maxAnnotationsBytes) errors.push(tooLong(field, maxAnnotationsBytes));
  return errors;
}

function validateOwners(owners: readonly OwnerReference[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, owner] of owners.entries()) {
    const path = `${field}[${index}]`;
    const parts = (owner.apiVersion ?? '').split('/');
    if (parts.length > 2) errors.push(invalid(`${path}.apiVersion`, owner.apiVersion, `unexpected GroupVersion string: ${owner.apiVersion}`));
    else if (!parts.at(-1)) errors.push(invalid(`${path}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty'));
    if (!owner.kind) errors.push(invalid(`${path}.kind`, '', 'must not be empty'));
    if (!owner.name) errors.push(invalid(`${path}.name`, '', 'must not be empty'));
    if (!owner.uid) errors.push(invalid(`${path}.uid`, '', 'must not be empty'));
    if (owner.apiVersion === 'v1' && owner.kind === 'Event') {
      errors.push(invalid(path, owner, '/v1, Kind=Event is disallowed from being an owner'));
    }
  }
  const [first, second] = owners.filter((owner) => owner.controller === true);
  if (first !== undefined && second !== undefined) {
    errors.push(invalid(field, owners, `Only one reference can have Controller set to true. Found "true" in references for ${first.name} and ${second.name}`));
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const finalizer of finalizers) {
    const problem = qualifiedName(finalizer);
    if (problem !== undefined) errors.push(invalid(field, finalizer, problem));
  }
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(invalid(field, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  }
  return errors;
}

const immutable = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const;

/** What an update may not change, beyond what the engine restores. */
export function validateMetadataUpdate(metadata: ObjectMeta, old: ObjectMeta, field = 'metadata'): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const known = new Set(old.finalizers);
    const added = (metadata.finalizers ?? []).filter((finalizer) => !known.has(finalizer));
    if (added.length > 0) {
      errors.push(forbidden(`${field}.finalizers`, `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`));
    }
  }
  for (const name of immutable) {
    if (!equal(metadata[name], old[name])) errors.push(invalid(`${field}.${name}`, metadata[name], 'field is immutable'));
  }
  return errors;
}
