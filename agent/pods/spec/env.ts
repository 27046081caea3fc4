import type { ConfigMap, Container, EnvVar, PersistentVolume, PersistentVolumeClaim, Pod, RuntimeClass, Secret, Service } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { PodCsi } from '#agent/csi/types.ts';
import type { SecretVolumes } from '../volumes/secret-volumes.ts';
import type { PodTokenRequest } from '#agent/session/types.ts';
import { expand } from './expansion.ts';
import { fieldValue, resourceValue, type FieldFacts } from './fields.ts';
import { serviceEnv } from './service-env.ts';

/** What the node knows of the objects that pods refer to. */
export interface ObjectLookup {
  configMap(namespace: string, name: string): ConfigMap | undefined;
  secret(namespace: string, name: string): Secret | undefined;
  services(): readonly Service[];
  runtimeClass(name: string): RuntimeClass | undefined;
  /** As the API has them; undefined for a node that this host has not heard of. */
  nodeLabels?(name: string): Readonly<Record<string, string>> | undefined;
  /** Absent where no claims are known, as in some tests. */
  claim?(namespace: string, name: string): PersistentVolumeClaim | undefined;
  volume?(name: string): PersistentVolume | undefined;
  /** Mounts volumes of CSI drivers; absent where there are none, as in some tests. */
  readonly csi?: PodCsi;
  /** Absent where no control plane can be asked. */
  token?(request: PodTokenRequest): Promise<string>;
  /** Absent where plain folders serve, as in tests without root. */
  readonly secretVolumes?: SecretVolumes;
}

/** A container's environment. Rejects with `NotFound` when a map or key that is not optional is missing. */
export function containerEnv(pod: Pod, container: Container, lookup: ObjectLookup, facts: FieldFacts): { name: string; value: string }[] {
  const namespace = pod.metadata?.namespace ?? '';
  const services = serviceEnv(lookup.services(), namespace, pod.spec?.enableServiceLinks ?? true);
  const result = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    for (const [key, value] of envFromData(namespace, source, lookup)) result.set(`${source.prefix ?? ''}${key}`, value);
  }
  for (const variable of container.env ?? []) {
    const value = variable.valueFrom
      ? referredValue(pod, container, variable, lookup, facts)
      : expand(variable.value ?? '', (name) => result.get(name) ?? services.get(name));
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value);
  return [...result].map(([name, value]) => ({ name, value }));
}

type EnvFrom = NonNullable<Container['envFrom']>[number];

function envFromData(namespace: string, source: EnvFrom, lookup: ObjectLookup): [string, string][] {
  if (source.configMapRef) {
    const { name = '', optional } = source.configMapRef;
    const found = lookup.configMap(namespace, name);
    if (!found && !optional) throw new StatusError('NotFound', `configmap "${name}" not found`);
    return Object.entries(found?.data ?? {});
  }
  if (source.secretRef) {
    const { name = '', optional } = source.secretRef;
    const found = lookup.secret(namespace, name);
    if (!found && !optional) throw new StatusError('NotFound', `secret "${name}" not found`);
    return Object.entries(found?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]);
  }
  return [];
}

/** Undefined when an optional source is absent: the variable is then not set at all. */
function referredValue(pod: Pod, container: Container, { valueFrom }: EnvVar, lookup: ObjectLookup, facts: FieldFacts): string | undefined {
  const namespace = pod.metadata?.namespace ?? '';
  if (valueFrom?.fieldRef) return fieldValue(pod, valueFrom.fieldRef, facts);
  if (valueFrom?.resourceFieldRef) return resourceValue(pod, valueFrom.resourceFieldRef, container, facts);
  if (valueFrom?.configMapKeyRef) {
    const { name = '', key, optional } = valueFrom.configMapKeyRef;
    const found = lookup.configMap(namespace, name);
    return keyOrMissing(found, found?.data?.[key], `configmap "${name}"`, `couldn't find key ${key} in ConfigMap ${namespace}/${name}`, optional);
  }
  if (valueFrom?.secretKeyRef) {
    const { name = '', key, optional } = valueFrom.secretKeyRef;
    const found = lookup.secret(namespace, name);
    const data = found?.data?.[key];
    return keyOrMissing(found, data === undefined ? undefined : Buffer.from(data, 'base64').toString('utf8'), `secret "${name}"`, `couldn't find key ${key} in Secret ${namespace}/${name}`, optional);
  }
  throw new StatusError('Invalid', 'unsupported source of an environment variable');
}

function keyOrMissing(object: object | undefined, value: string | undefined, what: string, noKey: string, optional: boolean | undefined): string | undefined {
  if (value !== undefined || optional) return value;
  throw new StatusError('NotFound', object ? noKey : `${what} not found`);
}
