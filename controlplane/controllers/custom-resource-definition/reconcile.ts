import type { CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionNames } from '#api/gen/types.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';

export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

/** The status of a definition among the others: which of its names it gets, and whether its objects are served. */
export function namingStatus(definition: CustomResourceDefinition, others: readonly CustomResourceDefinition[], nowMs: number): CustomResourceDefinition['status'] {
  const { spec, status = {} } = definition;
  const inGroup = others.filter((other) => other.spec.group === spec.group && other.metadata?.name !== definition.metadata?.name);
  const { names, problems } = acceptedNames(spec.names, status.acceptedNames, inGroup.flatMap((other) => other.status?.acceptedNames ?? []));
  const accepted = problems.length === 0;
  const [problem] = problems;
  const before = status.conditions ?? [];
  const wasEstablished = before.some((condition) => condition.type === 'Established' && condition.status === 'True');
  const wanted: CustomResourceDefinitionCondition[] = [
    problem === undefined ? truth('NamesAccepted', 'True', 'NoConflicts', 'no conflicts found') : truth('NamesAccepted', 'False', problem.reason, problems.map(({ message }) => message).join(', ')),
    // Once established it stays so: its objects are there.
    ...(accepted && !wasEstablished ? [truth('Established', 'True', 'InitialNamesAccepted', 'the initial names have been accepted')] : []),
    ...(!accepted && !wasEstablished ? [truth('Established', 'False', 'NotAccepted', 'not all names are accepted')] : []),
    ...approvalCondition(definition),
  ];
  const now = rfc3339(nowMs);
  return { ...status, acceptedNames: names, conditions: wanted.reduce((conditions, next) => setCondition(conditions, next, now), before) };
}

interface Problem { readonly reason: string; readonly message: string }

/** A name that another definition of the group has is not given; what this one has already it keeps. */
function acceptedNames(wanted: CustomResourceDefinitionNames, has: CustomResourceDefinitionNames | undefined, taken: readonly CustomResourceDefinitionNames[]): { names: CustomResourceDefinitionNames; problems: Problem[] } {
  const resources = new Set(taken.flatMap(({ plural, singular = '', shortNames = [] }) => [plural, singular, ...shortNames]).filter((name) => name !== ''));
  const kinds = new Set(taken.flatMap(({ kind, listKind = '' }) => [kind, listKind]).filter((name) => name !== ''));
  const problems: Problem[] = [];
  const choose = (reason: string, name: string | undefined, before: string | undefined, used: ReadonlySet<string>): string => {
    if (!name || !used.has(name) || name === before) return name ?? '';
    problems.push({ reason, message: `${JSON.stringify(name)} is already in use` });
    return before ?? '';
  };
  const shortTaken = (wanted.shortNames ?? []).filter((name) => resources.has(name) && !has?.shortNames?.includes(name));
  const plural = choose('PluralConflict', wanted.plural, has?.plural, resources);
  const singular = choose('SingularConflict', wanted.singular, has?.singular, resources);
  for (const name of shortTaken) problems.push({ reason: 'ShortNamesConflict', message: `${JSON.stringify(name)} is already in use` });
  const shortNames = shortTaken.length > 0 ? has?.shortNames : wanted.shortNames;
  const kind = choose('KindConflict', wanted.kind, has?.kind, kinds);
  const listKind = choose('ListKindConflict', wanted.listKind, has?.listKind, kinds);
  return {
    problems,
    names: { plural, ...(singular !== '' && { singular }), ...(shortNames && { shortNames }), kind, ...(listKind !== '' && { listKind }), ...(wanted.categories && { categories: wanted.categories }) },
  };
}

const approval = 'api-approved.kubernetes.io';

/** Whether a definition of the community's own groups may be one. */
function approvalCondition({ metadata, spec }: CustomResourceDefinition): CustomResourceDefinitionCondition[] {
  if (!/(^|\.)(k8s\.io|kubernetes\.io)$/.test(spec.group)) return [];
  const type = 'KubernetesAPIApprovalPolicyConformant';
  const given = metadata?.annotations?.[approval] ?? '';
  if (given === '') return [truth(type, 'False', 'MissingAnnotation', `protected groups must have approval annotation ${JSON.stringify(approval)}, see https://github.com/kubernetes/enhancements/pull/1111`)];
  if (given.startsWith('unapproved')) return [truth(type, 'False', 'UnapprovedAnnotation', `not approved: ${JSON.stringify(given)}`)];
  return URL.canParse(given) ? [truth(type, 'True', 'ApprovedAnnotation', `approved in ${given}`)] : [truth(type, 'False', 'InvalidAnnotation', `not a URL: ${JSON.stringify(given)}`)];
}

/** The status of a definition that is being deleted, while objects are `left` and when none are. */
export function terminatingStatus({ status = {} }: CustomResourceDefinition, left: number, nowMs: number): CustomResourceDefinition['status'] {
  const condition = left > 0
    ? truth('Terminating', 'True', 'InstanceDeletionInProgress', 'CustomResource deletion is in progress')
    : truth('Terminating', 'False', 'InstanceDeletionCompleted', 'removed all instances');
  return { ...status, conditions: setCondition(status.conditions ?? [], condition, rfc3339(nowMs)) };
}

function truth(type: string, status: 'True' | 'False', reason: string, message: string): CustomResourceDefinitionCondition {
  return { type, status, reason, message };
}
