import type { LabelSelector, PodSpec, PodTemplateSpec } from '../gen/types.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { ipProblem } from '../meta/ip.ts';
import { validateAnnotations, validateLabels } from '../meta/metadata.ts';
import { dns1123Label, dns1123Subdomain } from '../meta/names.ts';
import { inRange, named, notNegative, requiredText, supported, supportedIfSet } from '../meta/rules.ts';
import { matchesLabels, requirementsOf } from '../meta/selectors.ts';
import { validateAffinity, validateSpread, validateTolerations } from './affinity.ts';
import { validateAllContainers } from './containers.ts';
import { validateResources } from './resources.ts';
import { validateVolumes } from './volumes.ts';

const maxInt32 = 2 ** 31 - 1;

/** All rules of a pod spec, in a Pod as in a template. `spec` has its defaults. */
export function validatePodSpec(spec: PodSpec | undefined, field: string): FieldError[] {
  if (spec === undefined) return [required(`${field}.containers`)];
  return [
    ...validateVolumes(spec.volumes ?? [], `${field}.volumes`),
    ...validateAllContainers(spec, field),
    ...supported(`${field}.restartPolicy`, spec.restartPolicy, ['Always', 'Never', 'OnFailure']),
    ...supported(`${field}.dnsPolicy`, spec.dnsPolicy, ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None']),
    ...validateLabels(spec.nodeSelector, `${field}.nodeSelector`),
    ...validateHost(spec, field),
    ...validateDns(spec, field),
    ...validateAffinity(spec.affinity, `${field}.affinity`),
    ...validateTolerations(spec.tolerations ?? [], `${field}.tolerations`),
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${field}.topologySpreadConstraints`),
    ...validateResources(spec.resources, `${field}.resources`),
    ...validateNames(spec, field),
    ...inRange(`${field}.activeDeadlineSeconds`, spec.activeDeadlineSeconds, 1, maxInt32),
    ...notNegative(`${field}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds),
    ...supportedIfSet(`${field}.preemptionPolicy`, spec.preemptionPolicy, ['Never', 'PreemptLowerPriority']),
  ];
}

function validateNames(spec: PodSpec, field: string): FieldError[] {
  const subdomains = ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName', 'schedulerName'] as const;
  const labels = ['hostname', 'subdomain'] as const;
  return [
    ...(spec.imagePullSecrets ?? []).flatMap(({ name }, i) => requiredText(`${field}.imagePullSecrets[${i}].name`, name)),
    ...subdomains.flatMap((name) => (spec[name] ? named(`${field}.${name}`, spec[name], dns1123Subdomain) : [])),
    ...labels.flatMap((name) => (spec[name] ? named(`${field}.${name}`, spec[name], dns1123Label) : [])),
  ];
}

function validateHost(spec: PodSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    errors.push(invalid(`${field}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'));
  }
  const security = spec.securityContext;
  for (const name of ['runAsUser', 'runAsGroup', 'fsGroup'] as const) errors.push(...inRange(`${field}.securityContext.${name}`, security?.[name], 0, maxInt32));
  if (spec.hostNetwork !== true) return errors;
  for (const [c, container] of (spec.containers ?? []).entries()) {
    for (const [p, port] of (container.ports ?? []).entries()) {
      if (port.hostPort && port.hostPort !== port.containerPort) {
        errors.push(invalid(`${field}.containers[${c}].ports[${p}].containerPort`, port.containerPort, 'must match `hostPort` when `hostNetwork` is true'));
      }
    }
  }
  return errors;
}

function validateDns(spec: PodSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const servers = spec.dnsConfig?.nameservers ?? [];
  const path = `${field}.dnsConfig`;
  if (spec.dnsPolicy === 'None') {
    if (spec.dnsConfig === undefined) errors.push(required(path, 'must provide `dnsConfig` when `dnsPolicy` is None'));
    else if (servers.length === 0) errors.push(required(`${path}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'));
  }
  if (servers.length > 3) errors.push(invalid(`${path}.nameservers`, servers, 'must not have more than 3 nameservers'));
  errors.push(...servers.flatMap((server, i) => named(`${path}.nameservers[${i}]`, server, ipProblem)));
  const searches = spec.dnsConfig?.searches ?? [];
  if (searches.length > 32) errors.push(invalid(`${path}.searches`, searches, 'must not have more than 32 search paths'));
  errors.push(...(spec.dnsConfig?.options ?? []).flatMap(({ name }, i) => requiredText(`${path}.options[${i}]`, name, 'must not be empty')));
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    errors.push(...named(`${field}.hostAliases[${i}].ip`, alias.ip ?? '', ipProblem));
    errors.push(...(alias.hostnames ?? []).flatMap((name) => named(`${field}.hostAliases[${i}].hostnames`, name, dns1123Subdomain)));
  }
  return errors;
}

/** What every template of pods must be. */
export function validateTemplate(template: PodTemplateSpec | undefined, field: string): FieldError[] {
  const { annotations, labels } = template?.metadata ?? {};
  return [...validateLabels(labels, `${field}.labels`), ...validateAnnotations(annotations, `${field}.annotations`), ...validatePodSpec(template?.spec, `${field}.spec`)];
}

/** A template whose pods are kept running for ever, selected by `selector`: what Deployments and ReplicaSets have. */
export function validateRunningTemplate(template: PodTemplateSpec | undefined, selector: LabelSelector | undefined, field: string, owner: string): FieldError[] {
  const errors = [...validateSelected(selector, template?.metadata?.labels ?? {}, field), ...validateTemplate(template, field)];
  const policy = template?.spec?.restartPolicy;
  if (policy !== undefined && policy !== 'Always') errors.push(notSupported(`${field}.spec.restartPolicy`, policy, ['Always']));
  if (template?.spec?.activeDeadlineSeconds !== undefined) {
    errors.push(forbidden(`${field}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${owner} is not Supported`));
  }
  return errors;
}

export function hasTerms(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length > 0;
}

/** The pods of a template must be those that the owner selects. */
export function validateSelected(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>, field: string): FieldError[] {
  const known = (selector?.matchExpressions ?? []).every(({ operator }) => ['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator));
  if (selector === undefined || !hasTerms(selector) || !known || matchesLabels(requirementsOf(selector), labels)) return [];
  return [invalid(`${field}.metadata.labels`, labels, '`selector` does not match template `labels`')];
}
