import type { Container, EphemeralContainer, PodSpec, Volume } from '../gen/types.ts';
import { duplicate, forbidden, invalid, notFound, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Label } from '../meta/names.ts';
import { requiredNamed, requiredText, supported } from '../meta/rules.ts';
import { validateEnv, validateEnvFrom } from './environment.ts';
import { validateMounts } from './mounts.ts';
import { validateLifecycle, validatePorts, validateProbes } from './probes.ts';
import { validateResources } from './resources.ts';
import { validateRestart } from './restart.ts';
import { validateSecurity } from './security.ts';

/** What a container may refer to in its pod. */
interface Surroundings {
  readonly names: Set<string>;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly spec: PodSpec;
}

export function validateAllContainers(spec: PodSpec, field: string): FieldError[] {
  const around: Surroundings = { names: new Set(), volumes: new Map((spec.volumes ?? []).map((volume) => [volume.name, volume])), spec };
  const errors: FieldError[] = [];
  if ((spec.containers ?? []).length === 0) errors.push(required(`${field}.containers`));
  for (const [index, container] of (spec.containers ?? []).entries()) {
    const path = `${field}.containers[${index}]`;
    errors.push(...validateContainer(container, path, around));
    errors.push(...validateRestart(container, path));
  }
  for (const [index, container] of (spec.initContainers ?? []).entries()) {
    const path = `${field}.initContainers[${index}]`;
    errors.push(...validateContainer(container, path, around), ...validateInitOnly(container, path));
  }
  for (const [index, container] of (spec.ephemeralContainers ?? []).entries()) {
    const path = `${field}.ephemeralContainers[${index}]`;
    errors.push(...validateEphemeralOnly(container, path, spec), ...validateContainer(container, path, around));
  }
  errors.push(...validateHostPorts(spec.containers ?? [], `${field}.containers`));
  return errors;
}

/** What only a pod's own containers must be: templates are used in ways of their own. */
export function validateImages(spec: PodSpec, field: string): FieldError[] {
  return (['containers', 'initContainers', 'ephemeralContainers'] as const).flatMap((list) => (spec[list] ?? []).flatMap(({ image = '' }, i) => (
    image === image.trim() ? [] : [invalid(`${field}.${list}[${i}].image`, image, 'must not have leading or trailing whitespace')])));
}

function validateContainer(container: Container, field: string, around: Surroundings): FieldError[] {
  const errors = requiredNamed(`${field}.name`, container.name, dns1123Label);
  if (container.name && around.names.has(container.name)) errors.push(duplicate(`${field}.name`, container.name));
  around.names.add(container.name);
  const image = container.image ?? '';
  errors.push(...requiredText(`${field}.image`, image));
  return [
    ...errors,
    ...validateLifecycle(container, field, around.spec.terminationGracePeriodSeconds),
    ...validateProbes(container, field),
    ...supported(`${field}.terminationMessagePolicy`, container.terminationMessagePolicy, ['File', 'FallbackToLogsOnError']),
    ...validatePorts(container, field),
    ...(container.env ?? []).flatMap((variable, i) => validateEnv(variable, `${field}.env[${i}]`)),
    ...(container.envFrom ?? []).flatMap((source, i) => validateEnvFrom(source, `${field}.envFrom`, i)),
    ...validateMounts(container, field, around.volumes),
    ...supported(`${field}.imagePullPolicy`, container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never']),
    ...validateResources(container.resources, `${field}.resources`),
    ...validateResizePolicy(container, field, around.spec.restartPolicy),
    ...validateSecurity(container.securityContext, `${field}.securityContext`, around.spec.hostUsers),
  ];
}

/** An init container that restarts always is a sidecar: it may be probed. */
function validateInitOnly(container: Container, field: string): FieldError[] {
  const errors = validateRestart(container, field);
  if (container.restartPolicy === 'Always') return errors;
  for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    if (container[name] !== undefined) errors.push(forbidden(`${field}.${name}`, 'may not be set for init containers without restartPolicy=Always'));
  }
  return errors;
}

/** It looks on: nothing waits for it, and nothing is kept for it. */
function validateEphemeralOnly(container: EphemeralContainer, field: string, { containers = [], initContainers = [] }: Partial<PodSpec>): FieldError[] {
  const errors: FieldError[] = [];
  const cannot = (name: string): void => { errors.push(forbidden(`${field}.${name}`, 'cannot be set for an Ephemeral Container')); };
  const { resources, targetContainerName: target } = container;
  if (target && ![...containers, ...initContainers].some(({ name }) => name === target)) errors.push(notFound(`${field}.targetContainerName`, target));
  for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe', 'restartPolicy'] as const) if (container[name] !== undefined) cannot(name);
  for (const name of ['ports', 'resizePolicy', 'restartPolicyRules'] as const) if ((container[name] ?? []).length > 0) cannot(name);
  if (Object.keys({ ...resources?.limits, ...resources?.requests }).length + (resources?.claims ?? []).length > 0) cannot('resources');
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    for (const name of ['subPath', 'subPathExpr'] as const) if (mount[name]) cannot(`volumeMounts[${i}].${name}`);
  }
  return errors;
}

function validateResizePolicy({ resizePolicy = [] }: Container, field: string, podRestartPolicy: string | undefined): FieldError[] {
  const seen = new Set<string>();
  return resizePolicy.flatMap(({ resourceName, restartPolicy }, i) => {
    const path = `${field}.resizePolicy`;
    const errors: FieldError[] = [];
    if (resourceName === '') errors.push(required(path));
    else if (resourceName !== 'cpu' && resourceName !== 'memory') errors.push(notSupported(path, resourceName, ['cpu', 'memory']));
    if (seen.has(resourceName)) errors.push(duplicate(`${path}[${i}]`, resourceName));
    seen.add(resourceName);
    if (restartPolicy !== 'NotRequired' && restartPolicy !== 'RestartContainer') errors.push(restartPolicy ? notSupported(path, restartPolicy, ['NotRequired', 'RestartContainer']) : required(path));
    if (podRestartPolicy === 'Never' && restartPolicy === 'RestartContainer') errors.push(invalid(path, restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"));
    return errors;
  });
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
