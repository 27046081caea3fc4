import type { Container, ObjectMeta, PodSpec, PodTemplateSpec, ResourceRequirements } from '../gen/types.ts';
import { dns1123Label } from '../meta/names.ts';
import { isQuantity, parseQuantity } from '../meta/quantity.ts';
import { allContainers } from './defaults.ts';

/** What is accepted and yet not as its author will want it, in Kubernetes' words. */

const deprecatedLabels: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

const volumeWarnings: Readonly<Record<string, string>> = {
  gitRepo: 'deprecated in v1.11', scaleIO: 'deprecated in v1.16, non-functional in v1.22+', glusterfs: 'deprecated in v1.25, this feature will be removed soon after in a subsequent release',
  rbd: 'deprecated in v1.28, non-functional in v1.31+', cephfs: 'deprecated in v1.28, non-functional in v1.31+', photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+', quobyte: 'deprecated in v1.22, non-functional in v1.25+', storageos: 'deprecated in v1.22, non-functional in v1.25+',
};

/** Of a label that nodes no longer bear; `undefined` where there is nothing to say. */
export function labelWarning(key: string): string | undefined {
  return Object.hasOwn(deprecatedLabels, key) ? deprecatedLabels[key] : undefined;
}

export function templateWarnings(template: PodTemplateSpec | undefined, field: string): string[] {
  return template?.spec === undefined ? [] : podWarnings(template.metadata, template.spec, field);
}

/** `field` is '' for a pod. */
export function podWarnings(metadata: ObjectMeta | undefined, spec: PodSpec, field = ''): string[] {
  const prefix = field === '' ? '' : `${field}.`;
  return [...annotationWarnings(metadata, `${prefix}metadata`), ...specWarnings(spec, `${prefix}spec`)];
}

/** A name that is no label cannot be a host's, which is what pods are called after it. `use` says what the name is used in. */
export function nameWarnings(metadata: ObjectMeta | undefined, use: string): string[] {
  const problem = dns1123Label(metadata?.name ?? '');
  return problem === undefined ? [] : [`metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: [${problem}]`];
}

function annotationWarnings(metadata: ObjectMeta | undefined, field: string): string[] {
  return Object.keys(metadata?.annotations ?? {}).flatMap((key) => {
    const path = `${field}.annotations[${key}]`;
    if (key === 'scheduler.alpha.kubernetes.io/critical-pod') return [`${path}: non-functional in v1.16+; use the "priorityClassName" field instead`];
    if (key.startsWith('seccomp.security.alpha.kubernetes.io/') || key.startsWith('container.seccomp.security.alpha.kubernetes.io/')) return [`${path}: non-functional in v1.27+; use the "seccompProfile" field instead`];
    return key.startsWith('container.apparmor.security.beta.kubernetes.io/') ? [`${path}: deprecated since v1.30; use the "appArmorProfile" field instead`] : [];
  });
}

function specWarnings(spec: PodSpec, field: string): string[] {
  const warnings: string[] = [];
  const label = (path: string, key: string): void => {
    const text = labelWarning(key);
    if (text !== undefined) warnings.push(`${path}: ${text}`);
  };
  for (const key of Object.keys(spec.nodeSelector ?? {})) label(`${field}.nodeSelector[${key}]`, key);
  const nodes = spec.affinity?.nodeAffinity;
  const path = `${field}.affinity.nodeAffinity`;
  for (const [i, term] of (nodes?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []).entries()) {
    for (const [j, { key }] of (term.matchExpressions ?? []).entries()) label(`${path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${i}].matchExpressions[${j}].key`, key);
  }
  for (const [i, { topologyKey }] of (spec.topologySpreadConstraints ?? []).entries()) label(`${field}.topologySpreadConstraints[${i}].topologyKey`, topologyKey);
  for (const [i, volume] of (spec.volumes ?? []).entries()) {
    for (const name of Object.keys(volume)) if (Object.hasOwn(volumeWarnings, name)) warnings.push(`${field}.volumes[${i}].${name}: ${volumeWarnings[name] ?? ''}`);
  }
  for (const [i, { name }] of (spec.imagePullSecrets ?? []).entries()) if (!name) warnings.push(`${field}.imagePullSecrets[${i}].name: invalid empty name ""`);
  warnings.push(...repeats(spec.imagePullSecrets, ({ name }) => name, (i, name) => `${field}.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(name)}`));
  warnings.push(...repeats(spec.hostAliases, ({ ip }) => ip, (i, ip, first) => `${field}.hostAliases[${i}].ip: duplicate ip with ${field}.hostAliases[${first}]: ${JSON.stringify(ip)}`));
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) warnings.push(`${field}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`);
  for (const list of ['initContainers', 'containers'] as const) {
    for (const [i, container] of (spec[list] ?? []).entries()) warnings.push(...containerWarnings(container, `${field}.${list}[${i}]`));
  }
  return [...warnings, ...portWarnings(spec, field)];
}

/** One warning for each item of a list that says again what an earlier one did. */
function repeats<T>(items: readonly T[] | undefined, keyOf: (item: T) => string | undefined, warn: (index: number, key: string, first: number) => string): string[] {
  const seen = new Map<string, number>();
  return (items ?? []).flatMap((item, i) => {
    const key = keyOf(item);
    if (key === undefined || key === '') return [];
    const first = seen.get(key);
    if (first === undefined) seen.set(key, i);
    return first === undefined ? [] : [warn(i, key, first)];
  });
}

function containerWarnings({ env, ports, resources }: Container, field: string): string[] {
  return [
    ...fractions(resources, `${field}.resources`),
    ...repeats(env, ({ name }) => name, (i, name) => `${field}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`),
    ...repeats(ports, ({ containerPort, hostIP = '', hostPort = 0, protocol = '' }) => `${protocol}/${containerPort}/${hostIP}/${hostPort}`, (i, _, first) => `${field}.ports[${i}]: duplicate port definition with ${field}.ports[${first}]`),
  ];
}

/** Parts of a byte are a slip: `100m` for `100M`. */
function fractions(resources: ResourceRequirements | undefined, field: string): string[] {
  return (['requests', 'limits'] as const).flatMap((list) => ['memory', 'ephemeral-storage'].flatMap((name) => {
    const quantity = resources?.[list]?.[name];
    return isFraction(quantity) ? [`${field}.${list}[${name}]: fractional byte value ${JSON.stringify(quantity)} is invalid, must be an integer`] : [];
  }));
}

export function isFraction(quantity: string | undefined): boolean {
  return quantity !== undefined && isQuantity(quantity) && parseQuantity(quantity) % 1_000_000_000n !== 0n;
}

/** Two containers of a pod share its addresses, so that they cannot both have a port. */
function portWarnings(spec: PodSpec, field: string): string[] {
  const first = new Map<string, string>();
  const sidecarsAndContainers = allContainers(spec).filter((container) => spec.containers?.includes(container) || container.restartPolicy === 'Always');
  const pathOf = (container: Container): string => {
    const index = spec.containers?.indexOf(container) ?? -1;
    return index >= 0 ? `${field}.containers[${index}]` : `${field}.initContainers[${spec.initContainers?.indexOf(container) ?? 0}]`;
  };
  return sidecarsAndContainers.flatMap((container) => (container.ports ?? []).flatMap(({ containerPort, protocol = '' }, i) => {
    const key = `${protocol}/${containerPort}`;
    const path = `${pathOf(container)}.ports[${i}]`;
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, path);
    return earlier === undefined || earlier.startsWith(`${pathOf(container)}.`) ? [] : [`${path}: duplicate port definition with ${earlier}`];
  }));
}
