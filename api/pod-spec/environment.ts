import type { EnvFromSource, EnvVar } from '../gen/types.ts';
import { invalid, type FieldError } from '../meta/field-error.ts';
import { dns1123Subdomain, envVarName } from '../meta/names.ts';
import { named, requiredNamed } from '../meta/rules.ts';
import { envFields, validateFieldRef, validateKeyRef, validateResourceRef } from './references.ts';

export function validateEnv(variable: EnvVar, field: string): FieldError[] {
  const errors = requiredNamed(`${field}.name`, variable.name, envVarName);
  const source = variable.valueFrom;
  if (source === undefined) return errors;
  const path = `${field}.valueFrom`;
  const count = Object.values(source).filter((value) => value !== undefined).length;
  if (count === 0) errors.push(invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`'));
  else if (variable.value) errors.push(invalid(path, '', 'may not be specified when `value` is not empty'));
  else if (count > 1) errors.push(invalid(path, '', 'may not have more than one field specified at a time'));
  if (source.fieldRef !== undefined) errors.push(...validateFieldRef(source.fieldRef, envFields, `${path}.fieldRef`));
  if (source.resourceFieldRef !== undefined) errors.push(...validateResourceRef(source.resourceFieldRef, `${path}.resourceFieldRef`, false));
  if (source.configMapKeyRef !== undefined) errors.push(...validateKeyRef(source.configMapKeyRef, `${path}.configMapKeyRef`));
  if (source.secretKeyRef !== undefined) errors.push(...validateKeyRef(source.secretKeyRef, `${path}.secretKeyRef`));
  return errors;
}

/** `list` is the path of the list: that is where Kubernetes sees what is wrong with an item's sources. */
export function validateEnvFrom(source: EnvFromSource, list: string, index: number): FieldError[] {
  const field = `${list}[${index}]`;
  const errors = source.prefix ? named(`${field}.prefix`, source.prefix, envVarName) : [];
  const references = (['configMapRef', 'secretRef'] as const).filter((name) => source[name] !== undefined);
  if (references.length === 0) errors.push(invalid(list, '', 'must specify one of: `configMapRef` or `secretRef`'));
  if (references.length > 1) errors.push(invalid(list, '', 'may not have more than one field specified at a time'));
  for (const name of references) errors.push(...requiredNamed(`${field}.${name}.name`, source[name]?.name, dns1123Subdomain));
  return errors;
}
