import type { LabelSelector, PodSpec, PodTemplateSpec } from '../gen/types.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { ipProblem } from '../meta/ip.ts';
import { validateAnnotations, validateLabels } from '../meta/metadata.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../meta/names.ts';
import { inRange, named, notNegative, requiredText, supported, supportedIfSet } from '../meta/rules.ts';
import { matchesLabels, requirementsOf } from '../meta/selectors.ts';
import { validateAffinity, validateSpread, validateTolerations } from './affinity.ts';
import { validateAllContainers } from './containers.ts';
import { validateResourceClaims } from './resource-claims.ts';
import { validatePodResources, validateResources } from './resources.ts';
import { validatePodSecurity } from './security.ts';
import { validateVolumes } from './volumes.ts';

const maxInt32 = 2 ** 31 - 1;
const maxSearchLength = 2048;

/** Labels of search domains may begin or end with underscores. */
function searchDomain(search: string): string | undefined {
  return dns1123Subdomain(search.replaceAll('_', 'x'));
}

/** All rules of a pod spec, in a Pod as in a template. `spec` has its defaults. */
export function validatePodSpec(spec: PodSpec | undefined, field: string): FieldError[] {
  if (spec === undefined) return [required(`${field}.containers`)];
  return [
    ...validateVolumes(spec.volumes ?? [], `${field}.volumes`),
    ...validateAllContainers(spec, field),
    ...supported(`${field}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never']),
    ...supported(`${field}.dnsPolicy`, spec.dnsPolicy, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']),
    ...validateLabels(spec.nodeSelector, `${field}.nodeSelector`),
    ...validateHost(spec, field),
    ...validatePodSecurity(spec, field),
    ...validateGates(spec, field),
    ...validateDns(spec, field),
    ...validateAffinity(spec.affinity, `${field}.affinity`),
    ...validateTolerations(spec.tolerations ?? [], `${field}.tolerations`),
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${field}.topologySpreadConstraints`),
    ...validateResourceClaims(spec, field),
    ...validatePodResources(spec, `${field}.resources`),
    ...validateNames(spec, field),
    ...inRange(`${field}.activeDeadlineSeconds`, spec.activeDeadlineSeconds, 1, maxInt32),
    ...notNegative(`${field}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds),
    ...supportedIfSet(`${field}.preemptionPolicy`, spec.preemptionPolicy, ['PreemptLowerPriority', 'Never']),
  ];
}

function validateNames(spec: PodSpec, field: string): FieldError[] {
  const subdomains = ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName', 'schedulerName'] as const;
  const labels = ['hostname', 'subdomain'] as const;
  return [
    ...subdomains.flatMap((name) => (spec[name] ? named(`${field}.${name}`, spec[name], dns1123Subdomain) : [])),
    ...labels.flatMap((name) => (spec[name] ? named(`${field}.${name}`, spec[name], dns1123Label) : [])),
  ];
}

/** What the pod waits for before it is scheduled, and before it is ready. */
function validateGates({ os, overhead, readinessGates = [], schedulingGates = [] }: PodSpec, field: string): FieldError[] {
  const seen = new Set<string>();
  const errors = readinessGates.flatMap(({ conditionType }, i) => named(`${field}.readinessGates[${i}].conditionType`, conditionType ?? '', qualifiedName));
  for (const [i, { name }] of schedulingGates.entries()) {
    const path = `${field}.schedulingGates[${i}]`;
    errors.push(...named(path, name ?? '', qualifiedName));
    if (seen.has(name)) errors.push(duplicate(path, name));
    seen.add(name);
  }
  if (os !== undefined) errors.push(...os.name ? supported(`${field}.os`, os.name, ['linux', 'windows']) : [required(`${field}.os.name`, 'cannot be empty')]);
  return [...errors, ...validateResources({ limits: overhead }, `${field}.overhead`).map((error) => ({ ...error, field: error.field.replace('.overhead.limits', '.overhead') }))];
}

function validateHost(spec: PodSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.hostNetwork !== true) return errors;
  for (const [c, container] of (spec.containers ?? []).entries()) {
    for (const [p, port] of (container.ports ?? []).entries()) {
      if (port.hostPort && port.hostPort !== port.containerPort) {
        errors.push(invalid(`${field}.containers[${c}].ports[${p}].hostPort`, port.hostPort, 'must match `containerPort` when `hostNetwork` is true'));
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
  if (searches.join(' ').length > maxSearchLength) errors.push(invalid(`${path}.searches`, searches, `must not have more than ${maxSearchLength} characters (including spaces) in the search list`));
  for (const [i, search] of searches.entries()) if (search !== '.') errors.push(...named(`${path}.searches[${i}]`, search.replace(/\.$/, ''), searchDomain));
  errors.push(...(spec.dnsConfig?.options ?? []).flatMap(({ name }, i) => requiredText(`${path}.options[${i}]`, name, 'must not be empty')));
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    errors.push(...named(`${field}.hostAliases[${i}].ip`, alias.ip ?? '', ipProblem));
    errors.push(...(alias.hostnames ?? []).flatMap((name, j) => named(`${field}.hostAliases[${i}].hostnames[${j}]`, name, dns1123Subdomain)));
  }
  return errors;
}

/** What every template of pods must be. */
export function validateTemplate(template: PodTemplateSpec | undefined, field: string): FieldError[] {
  const { annotations, labels } = template?.metadata ?? {};
  const errors = [...validateLabels(labels, `${field}.labels`), ...validateAnnotations(annotations, `${field}.annotations`), ...validatePodSpec(template?.spec, `${field}.spec`)];
  return (template?.spec?.ephemeralContainers ?? []).length === 0 ? errors : [...errors, forbidden(`${field}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template')];
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
