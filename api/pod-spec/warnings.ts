import type { Container, LabelSelector, NodeSelectorTerm, ObjectMeta, PodAffinityTerm, PodSpec, PodTemplateSpec } from '../gen/types.ts';
import { dns1123Label } from '../meta/names.ts';
import { isQuantity, parseQuantity } from '../meta/quantity.ts';
import { allContainers } from './defaults.ts';
import { portWarnings } from './port-warnings.ts';

/** What is accepted and yet not as its author will want it, in Kubernetes' words. */

const deprecatedLabels: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  'app.kubernetes.io/created-by': 'deprecated since v1.9',
  'scheduler.alpha.kubernetes.io/preferAvoidPods': 'deprecated since v1.22; use Taints and Tolerations instead',
  'node-role.kubernetes.io/master': 'use "node-role.kubernetes.io/control-plane" instead',
};

const volumeWarnings: Readonly<Record<string, string>> = {
  gitRepo: 'deprecated in v1.11', scaleIO: 'deprecated in v1.16, non-functional in v1.22+', glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+', cephfs: 'deprecated in v1.28, non-functional in v1.31+', photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+', quobyte: 'deprecated in v1.22, non-functional in v1.25+', storageos: 'deprecated in v1.22, non-functional in v1.25+',
};

/** Of keys and values that select nodes. */
export function labelWarnings(labels: Readonly<Record<string, string>> | undefined, pathOf: (key: string) => string): string[] {
  return Object.keys(labels ?? {}).flatMap((key) => (Object.hasOwn(deprecatedLabels, key) ? [`${pathOf(key)}: ${deprecatedLabels[key] ?? ''}`] : []));
}

/** Of keys that select nodes beside a list of values. */
export function keyWarnings(expressions: readonly { readonly key: string }[] | undefined, field: string): string[] {
  return (expressions ?? []).flatMap(({ key }, i) => keyWarning(key, `${field}[${i}].key`));
}

function keyWarning(key: string, field: string): string[] {
  return Object.hasOwn(deprecatedLabels, key) ? [`${field}: ${key} is ${deprecatedLabels[key] ?? ''}`] : [];
}

export function nodeTermWarnings(terms: readonly NodeSelectorTerm[] | undefined, field: string): string[] {
  return (terms ?? []).flatMap(({ matchExpressions }, i) => keyWarnings(matchExpressions, `${field}[${i}].matchExpressions`));
}

/** Of volumes that nobody mounts any more. */
export function volumeSourceWarnings(volume: object, field: string): string[] {
  return Object.keys(volume).flatMap((name) => (Object.hasOwn(volumeWarnings, name) ? [`${field}.${name === 'storageos' ? 'storageOS' : name}: ${volumeWarnings[name] ?? ''}`] : []));
}

export function templateWarnings(template: PodTemplateSpec | undefined, field: string): string[] {
  return template?.spec === undefined ? [] : podWarnings(template.metadata, template.spec, field);
}

/** `field` is '' for a pod. */
export function podWarnings(metadata: ObjectMeta | undefined, spec: PodSpec, field = ''): string[] {
  const prefix = field === '' ? '' : `${field}.`;
  return [...annotationWarnings(metadata, spec, `${prefix}metadata`), ...specWarnings(spec, `${prefix}spec`)];
}

/** A name that is no label cannot be a host's, which is what pods are called after it. `use` says what the name is used in. */
export function nameWarnings(metadata: ObjectMeta | undefined, use: string): string[] {
  const problem = dns1123Label(metadata?.name ?? '');
  return problem === undefined ? [] : [`metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: [${problem}]`];
}

const deprecatedAnnotations: Readonly<Record<string, string>> = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
};

/** Fields that took the place of annotations: where they are set, nobody reads those. */
const profiles = [
  { field: 'seccompProfile', ofPod: 'seccomp.security.alpha.kubernetes.io/pod', ofContainer: 'container.seccomp.security.alpha.kubernetes.io/', text: 'non-functional in v1.27+; use the "seccompProfile" field instead' },
  { field: 'appArmorProfile', ofPod: undefined, ofContainer: 'container.apparmor.security.beta.kubernetes.io/', text: 'deprecated since v1.30; use the "appArmorProfile" field instead' },
] as const;

function annotationWarnings(metadata: ObjectMeta | undefined, spec: PodSpec, field: string): string[] {
  const annotations = metadata?.annotations ?? {};
  const warn = (key: string, text: string | undefined): string[] => (Object.hasOwn(annotations, key) ? [`${field}.annotations[${key}]: ${text ?? ''}`] : []);
  return [
    ...Object.entries(deprecatedAnnotations).flatMap(([key, text]) => warn(key, text)),
    ...profiles.flatMap(({ field: profile, ofPod, ofContainer, text }) => {
      const forAll = spec.securityContext?.[profile] !== undefined;
      const containers = allContainers(spec).filter(({ securityContext }) => securityContext?.[profile] === undefined && !(profile === 'appArmorProfile' && forAll));
      return [...(ofPod === undefined || forAll ? [] : warn(ofPod, text)), ...containers.flatMap(({ name }) => warn(`${ofContainer}${name}`, text))];
    }),
  ];
}

function specWarnings(spec: PodSpec, field: string): string[] {
  return [
    ...placementWarnings(spec, field),
    ...(spec.volumes ?? []).flatMap((volume, i) => volumeSourceWarnings(volume, `${field}.volumes[${i}]`)),
    ...repeats(spec.hostAliases, ({ ip }) => ip, (i, ip) => `${field}.hostAliases[${i}].ip: duplicate ip ${JSON.stringify(ip)}`),
    ...repeats(spec.imagePullSecrets, ({ name }) => name, (i, name) => `${field}.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(name)}`),
    ...(spec.imagePullSecrets ?? []).flatMap(({ name }, i) => (name ? [] : [`${field}.imagePullSecrets[${i}].name: invalid empty name ""`])),
    ...fractions(spec.overhead, `${field}.overhead`),
    ...((spec.terminationGracePeriodSeconds ?? 0) < 0 ? [`${field}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`] : []),
    ...(['initContainers', 'containers'] as const).flatMap((list) => (spec[list] ?? []).flatMap((container, i) => containerWarnings(container, `${field}.${list}[${i}]`))),
    ...portWarnings(spec, field),
  ];
}

function placementWarnings({ affinity, nodeSelector, topologySpreadConstraints = [] }: PodSpec, field: string): string[] {
  const { requiredDuringSchedulingIgnoredDuringExecution: demands, preferredDuringSchedulingIgnoredDuringExecution: wishes = [] } = affinity?.nodeAffinity ?? {};
  const path = `${field}.affinity.nodeAffinity`;
  return [
    ...labelWarnings(nodeSelector, (key) => `${field}.nodeSelector[${key}]`),
    ...nodeTermWarnings(demands?.nodeSelectorTerms, `${path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`),
    ...wishes.flatMap(({ preference }, i) => keyWarnings(preference?.matchExpressions, `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}].preference.matchExpressions`)),
    ...topologySpreadConstraints.flatMap(({ labelSelector, topologyKey }, i) => [...keyWarning(topologyKey, `${field}.topologySpreadConstraints[${i}].topologyKey`), ...selectorWarning(labelSelector, `${field}.topologySpreadConstraints[${i}]`)]),
    ...(['podAffinity', 'podAntiAffinity'] as const).flatMap((name) => {
      const { requiredDuringSchedulingIgnoredDuringExecution: required = [], preferredDuringSchedulingIgnoredDuringExecution: preferred = [] } = affinity?.[name] ?? {};
      const term = ({ labelSelector }: Partial<PodAffinityTerm>, at: string): string[] => selectorWarning(labelSelector, `${field}.affinity.${name}.${at}`);
      return [
        ...required.flatMap((one, i) => term(one, `requiredDuringSchedulingIgnoredDuringExecution[${i}]`)),
        ...preferred.flatMap(({ podAffinityTerm }, i) => term(podAffinityTerm ?? {}, `preferredDuringSchedulingIgnoredDuringExecution[${i}].podAffinityTerm`)),
      ];
    }),
  ];
}

function selectorWarning(selector: LabelSelector | undefined, field: string): string[] {
  return selector === undefined ? [`${field}.labelSelector: a null labelSelector results in matching no pod`] : [];
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

function containerWarnings({ env, resources }: Container, field: string): string[] {
  const own = env?.map((item) => ({ ...item, name: item.valueFrom === undefined && item.value?.includes(`$(${item.name})`) === true && item.value !== `$(${item.name})` ? '' : item.name }));
  const known = env?.map(({ name }) => name) ?? [];
  return [
    ...(['limits', 'requests'] as const).flatMap((list) => fractions(resources?.[list], `${field}.resources.${list}`)),
    // What says more than before, by way of what was said before, hides nothing.
    ...(own ?? []).flatMap(({ name }, i) => (name !== '' && known.indexOf(name) < i ? [`${field}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`] : [])),
  ];
}

/** Parts of a byte are a slip: `100m` for `100M`. */
function fractions(amounts: Readonly<Record<string, string>> | undefined, field: string): string[] {
  return ['memory', 'ephemeral-storage'].flatMap((name) => (isFraction(amounts?.[name]) ? [`${field}[${name}]: fractional byte value ${JSON.stringify(amounts?.[name])} is invalid, must be an integer`] : []));
}

export function isFraction(quantity: string | undefined): boolean {
  return quantity !== undefined && isQuantity(quantity) && parseQuantity(quantity) % 1_000_000_000n !== 0n;
}
