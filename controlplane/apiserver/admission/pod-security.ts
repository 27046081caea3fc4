import type { Namespace, ObjectMeta, Pod, PodTemplateSpec } from '#api/gen/types.ts';
import { namespaces, pods, qualifiedName } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { invalid as invalidField, type FieldError } from '#api/meta/field-error.ts';
import type { Level } from '#api/pod-security/standards.ts';
import { forbidden, invalid } from '../api-errors.ts';
import { podTemplateOf } from './pod-templates.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

const prefix = 'pod-security.kubernetes.io/';
const levels: readonly string[] = ['privileged', 'baseline', 'restricted'];
const modes = ['enforce', 'audit', 'warn'] as const;

interface Policy { readonly level: Level; readonly version: string }

/** Existing pods that are looked at when a namespace becomes stricter. */
const maxChecked = 3000;
const maxWarnings = 10;

/** Pod Security Admission: a namespace's labels say how far pods in it may reach. Namespaces without such labels cost a look. */
export function podSecurity(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'PodSecurity',
    async validate(request) {
      const { operation, kind, subresource, namespace, object } = request;
      if (operation === 'delete' || !object) return;
      const resource = qualifiedName(kind.resource);
      if (resource === 'namespaces') return subresource === undefined ? checkNamespace(objects, request) : undefined;
      const template = podTemplateOf(resource);
      if (!namespace || (resource !== 'pods' && (!template || subresource !== undefined))) return;
      const labels = (await objects.get(namespaces, undefined, namespace))?.metadata?.labels;
      if (!labels || !Object.keys(labels).some((key) => key.startsWith(prefix))) return;
      // What makes pods is never refused: its user is only told.
      if (template) await tell(request, labels, template(object));
      else if (isSignificant(request)) await checkPod(request, labels);
    },
  };
}

/** Most of a pod never changes; an ephemeral container is what may come. */
function isSignificant({ operation, subresource, object, old }: AdmissionRequest): boolean {
  if (operation === 'create') return subresource === undefined;
  if (subresource !== undefined && String(subresource) !== 'ephemeralcontainers') return false;
  return !equal((object as Pod).spec?.ephemeralContainers, (old as Pod).spec?.ephemeralContainers);
}

async function checkPod(request: AdmissionRequest, labels: Readonly<Record<string, string>>): Promise<void> {
  const pod = request.object as Pod;
  const enforce = policyOf(labels, 'enforce');
  const problems = await problemsOf(enforce, pod);
  if (problems) throw forbidden(pods, request.name, `violates PodSecurity "${enforce.level}:${enforce.version}": ${problems}`);
  request.annotate?.(`${prefix}enforce-policy`, `${enforce.level}:${enforce.version}`);
  await tell(request, labels, pod);
}

/** The user by a warning, and the audit log. */
async function tell({ warnings, annotate }: AdmissionRequest, labels: Readonly<Record<string, string>>, pod: PodTemplateSpec | undefined): Promise<void> {
  const [warn, audit] = [await violationOf(policyOf(labels, 'warn'), pod), annotate && await violationOf(policyOf(labels, 'audit'), pod)];
  if (warn) warnings?.push(warn);
  if (audit) annotate?.(`${prefix}audit-violations`, audit);
}

async function violationOf(policy: Policy, pod: PodTemplateSpec | undefined): Promise<string> {
  const problems = await problemsOf(policy, pod ?? {});
  return problems && `would violate PodSecurity "${policy.level}:${policy.version}": ${problems}`;
}

async function problemsOf({ level, version }: Policy, { metadata, spec }: { metadata?: ObjectMeta | undefined; spec?: Pod['spec'] }): Promise<string> {
  if (level === 'privileged' || !spec) return '';
  const { violations, printViolations } = await import('#api/pod-security/standards.ts');
  return printViolations(violations(level, version, { metadata, spec }));
}

function policyOf(labels: Readonly<Record<string, string>>, mode: (typeof modes)[number]): Policy {
  return { level: (labels[`${prefix}${mode}`] ?? 'privileged') as Level, version: labels[`${prefix}${mode}-version`] ?? 'latest' };
}

async function checkNamespace(objects: StoredObjects, request: AdmissionRequest): Promise<void> {
  const { name, object, old } = request;
  const labels = (object as Namespace).metadata?.labels ?? {};
  const before = (old as Namespace | undefined)?.metadata?.labels;
  const errors = labelErrors(labels);
  // Wrong labels that were there before stay as they are.
  if (errors.length > 0 && (before === undefined || labelErrors(before).length === 0)) throw invalid(namespaces, name, errors);
  if (errors.length > 0 || before === undefined) return;
  const [now, was] = [policyOf(labels, 'enforce'), policyOf(before, 'enforce')];
  if (now.level === 'privileged' || (now.version === was.version && levels.indexOf(now.level) <= levels.indexOf(was.level))) return;
  await warnOfPods(objects, request, now);
}

function labelErrors(labels: Readonly<Record<string, string>>): FieldError[] {
  return modes.flatMap((mode) => {
    const [level, version] = [labels[`${prefix}${mode}`], labels[`${prefix}${mode}-version`]];
    return [
      ...(level === undefined || levels.includes(level) ? [] : [invalidField(`metadata.labels[${prefix}${mode}]`, level, `must be one of ${levels.join(', ')}`)]),
      ...(version === undefined || version === 'latest' || /^v1\.(?:0|[1-9]\d*)$/.test(version) ? [] : [invalidField(`metadata.labels[${prefix}${mode}-version]`, version, 'must be "latest" or "v1.x"')]),
    ];
  });
}

/** Pods that are there stay; whoever makes the namespace stricter is told of those that would not come back. */
async function warnOfPods(objects: StoredObjects, { name, warnings }: AdmissionRequest, policy: Policy): Promise<void> {
  if (!warnings) return;
  const { violations, printReasons } = await import('#api/pod-security/standards.ts');
  const byReason = new Map<string, string[]>();
  for (const { metadata, spec } of (await objects.list(pods, name)).slice(0, maxChecked)) {
    const reasons = spec ? printReasons(violations(policy.level, policy.version, { metadata, spec })) : '';
    if (reasons) byReason.set(reasons, [...byReason.get(reasons) ?? [], metadata?.name ?? '']);
  }
  if (byReason.size === 0) return;
  warnings.push(`existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level "${policy.level}:${policy.version}"`);
  for (const [reasons, names] of [...byReason].slice(0, maxWarnings)) {
    const others = names.length - 1;
    warnings.push(`${names[0] ?? ''}${others === 0 ? '' : ` (and ${others} other ${others === 1 ? 'pod' : 'pods'})`}: ${reasons}`);
  }
}
