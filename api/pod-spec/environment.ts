import type { EnvFromSource, EnvVar } from '../gen/types.ts';
import { invalid, type FieldError } from '../meta/field-error.ts';
import { envVarName } from '../meta/names.ts';
import { named, requiredNamed, requiredText } from '../meta/rules.ts';
import { envFields, validateFieldRef, validateKeyRef, validateResourceRef } from './references.ts';

export function validateEnv(variable: EnvVar, field: string): FieldError[] {
  const errors = requiredNamed(`${field}.name`, variable.name, envVarName);
  const source = variable.valueFrom;
  if (source === undefined) return errors;
  const path = `${field}.valueFrom`;
  const count = Object.values(source).filter((value) => value !== undefined).length;
  if (count === 0) errors.push(invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`'));
  if (variable.value) errors.push(invalid(path, '', 'may not be specified when `value` is not empty'));
  if (count > 1) errors.push(invalid(path, '', 'may not have more than one field specified at a time'));
  if (source.fieldRef !== undefined) errors.push(...validateFieldRef(source.fieldRef, envFields, `${path}.fieldRef`));
  if (source.resourceFieldRef !== undefined) errors.push(...validateResourceRef(source.resourceFieldRef, `${path}.resourceFieldRef`, false));
  if (source.configMapKeyRef !== undefined) errors.push(...validateKeyRef(source.configMapKeyRef, `${path}.configMapKeyRef`));
  if (source.secretKeyRef !== undefined) errors.push(...validateKeyRef(source.secretKeyRef, `${path}.secretKeyRef`));
  return errors;
}

export function validateEnvFrom(source: EnvFromSource, field: string): FieldError[] {
  const errors = source.prefix ? named(`${field}.prefix`, source.prefix, envVarName) : [];
  const references = (['configMapRef', 'secretRef'] as const).filter((name) => source[name] !== undefined);
  if (references.length === 0) errors.push(invalid(field, '', 'must specify one of: `configMapRef` or `secretRef`'));
  if (references.length > 1) errors.push(invalid(field, '', 'may not have more than one field specified at a time'));
  for (const name of references) errors.push(...requiredText(`${field}.${name}.name`, source[name]?.name));
  return errors;
}
