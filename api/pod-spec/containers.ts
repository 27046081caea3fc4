import type { Container, EnvFromSource, EnvVar, PodSpec, SecurityContext, Volume, VolumeMount } from '../gen/types.ts';
import { duplicate, forbidden, invalid, notFound, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Label, envVarName } from '../meta/names.ts';
import { inRange, named, requiredNamed, requiredText, supported, supportedIfSet } from '../meta/rules.ts';
import { validateLifecycle, validatePorts, validateProbes } from './probes.ts';
import { envFields, relativePathProblem, validateFieldRef, validateKeyRef, validateResourceRef } from './references.ts';
import { validateResources } from './resources.ts';

/** What a container may refer to in its pod. */
interface Surroundings {
  readonly names: Set<string>;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly graceSeconds: number | undefined;
}

const maxId = 2 ** 31 - 1;

export function validateAllContainers(spec: PodSpec, field: string): FieldError[] {
  const around: Surroundings = {
    names: new Set(),
    volumes: new Map((spec.volumes ?? []).map((volume) => [volume.name, volume])),
    graceSeconds: spec.terminationGracePeriodSeconds,
  };
  const errors: FieldError[] = [];
  if ((spec.containers ?? []).length === 0) errors.push(required(`${field}.containers`));
  for (const [index, container] of (spec.containers ?? []).entries()) errors.push(...validateContainer(container, `${field}.containers[${index}]`, around));
  for (const [index, container] of (spec.initContainers ?? []).entries()) {
    const path = `${field}.initContainers[${index}]`;
    errors.push(...validateContainer(container, path, around), ...validateInitOnly(container, path));
  }
  for (const [index, container] of (spec.ephemeralContainers ?? []).entries()) errors.push(...validateContainer(container, `${field}.ephemeralContainers[${index}]`, around));
  errors.push(...validateHostPorts(spec.containers ?? [], `${field}.containers`));
  return errors;
}

function validateContainer(container: Container, field: string, around: Surroundings): FieldError[] {
  const errors = requiredNamed(`${field}.name`, container.name, dns1123Label);
  if (container.name && around.names.has(container.name)) errors.push(duplicate(`${field}.name`, container.name));
  around.names.add(container.name);
  const image = container.image ?? '';
  errors.push(...requiredText(`${field}.image`, image));
  if (image !== image.trim()) errors.push(invalid(`${field}.image`, image, 'must not have leading or trailing whitespace'));
  return [
    ...errors,
    ...validateLifecycle(container, field, around.graceSeconds),
    ...validateProbes(container, field),
    ...supported(`${field}.terminationMessagePolicy`, container.terminationMessagePolicy, ['FallbackToLogsOnError', 'File']),
    ...validatePorts(container, field),
    ...(container.env ?? []).flatMap((variable, i) => validateEnv(variable, `${field}.env[${i}]`)),
    ...(container.envFrom ?? []).flatMap((source, i) => validateEnvFrom(source, `${field}.envFrom[${i}]`)),
    ...validateMounts(container, field, around.volumes),
    ...supported(`${field}.imagePullPolicy`, container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never']),
    ...validateResources(container.resources, `${field}.resources`),
    ...validateSecurity(container.securityContext, `${field}.securityContext`),
  ];
}

/** An init container that restarts always is a sidecar: it may be probed. */
function validateInitOnly(container: Container, field: string): FieldError[] {
  const errors = supportedIfSet(`${field}.restartPolicy`, container.restartPolicy, ['Always']);
  if (container.restartPolicy === 'Always') return errors;
  for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    if (container[name] !== undefined) errors.push(forbidden(`${field}.${name}`, 'may not be set for init containers without restartPolicy=Always'));
  }
  return errors;
}

function validateHostPorts(containers: readonly Container[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [c, container] of containers.entries()) {
    for (const [p, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const key = `${port.protocol ?? ''}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (seen.has(key)) errors.push(duplicate(`${field}[${c}].ports[${p}].hostPort`, key));
      seen.add(key);
    }
  }
  return errors;
}

function validateEnv(variable: EnvVar, field: string): FieldError[] {
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

function validateEnvFrom(source: EnvFromSource, field: string): FieldError[] {
  const errors = source.prefix ? named(`${field}.prefix`, source.prefix, envVarName) : [];
  const references = (['configMapRef', 'secretRef'] as const).filter((name) => source[name] !== undefined);
  if (references.length === 0) errors.push(invalid(field, '', 'must specify one of: `configMapRef` or `secretRef`'));
  if (references.length > 1) errors.push(invalid(field, '', 'may not have more than one field specified at a time'));
  for (const name of references) errors.push(...requiredText(`${field}.${name}.name`, source[name]?.name));
  return errors;
}

function validateMounts(container: Container, field: string, volumes: ReadonlyMap<string, Volume>): FieldError[] {
  const errors: FieldError[] = [];
  const paths = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const path = `${field}.volumeMounts[${index}]`;
    errors.push(...requiredText(`${path}.name`, mount.name), ...requiredText(`${path}.mountPath`, mount.mountPath));
    if (mount.name && !volumes.has(mount.name)) errors.push(notFound(`${path}.name`, mount.name));
    if (paths.has(mount.mountPath)) errors.push(invalid(`${path}.mountPath`, mount.mountPath, 'must be unique'));
    paths.add(mount.mountPath);
    errors.push(...validateSubPath(mount, path), ...validatePropagation(mount, path, container.securityContext));
  }
  return errors;
}

function validateSubPath(mount: VolumeMount, field: string): FieldError[] {
  const errors = mount.subPath && mount.subPathExpr
    ? [invalid(`${field}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive')] : [];
  for (const name of ['subPath', 'subPathExpr'] as const) {
    const problem = relativePathProblem(mount[name] ?? '');
    if (problem !== undefined) errors.push(invalid(`${field}.${name}`, mount[name], problem));
  }
  return errors;
}

function validatePropagation(mount: VolumeMount, field: string, security: SecurityContext | undefined): FieldError[] {
  const path = `${field}.mountPropagation`;
  if (mount.mountPropagation === 'Bidirectional' && security?.privileged !== true) {
    return [forbidden(path, 'Bidirectional mount propagation is available only to privileged containers')];
  }
  const allowed = ['Bidirectional', 'HostToContainer', 'None'];
  return mount.mountPropagation === undefined || allowed.includes(mount.mountPropagation) ? [] : [notSupported(path, mount.mountPropagation, allowed)];
}

function validateSecurity(security: SecurityContext | undefined, field: string): FieldError[] {
  if (security === undefined) return [];
  const errors = [...inRange(`${field}.runAsUser`, security.runAsUser, 0, maxId), ...inRange(`${field}.runAsGroup`, security.runAsGroup, 0, maxId)];
  if (security.allowPrivilegeEscalation === false) {
    if (security.privileged === true) errors.push(invalid(field, security, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (security.capabilities?.add?.includes('CAP_SYS_ADMIN')) {
      errors.push(invalid(field, security, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'));
    }
  }
  return errors;
}
