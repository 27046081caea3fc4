import type * as k from '#api/gen/types.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { schemaNamed } from '#api/meta/schema.ts';
import type { KubeObject } from '#api/meta/object.ts';

/** Kinds that are answered and never kept. */
function computed<T extends KubeObject>(group: string, plural: string, kind: string, namespaced = false): KindDefinition<T> {
  return {
    resource: { group, version: 'v1', plural, kind, namespaced }, singular: kind.toLowerCase(), shortNames: [], categories: [],
    schema: () => schemaNamed(kind), storage: 'volatile', status: false, nameRule: 'path-segment', selectableFields: {}, columns: [],
  };
}

const authentication = 'authentication.k8s.io';
const authorization = 'authorization.k8s.io';

export const bindingKind = computed<k.Binding>('', 'bindings', 'Binding', true);
export const tokenRequest = computed<k.TokenRequest>(authentication, 'serviceaccounts', 'TokenRequest', true);
export const tokenReview = computed<k.TokenReview>(authentication, 'tokenreviews', 'TokenReview');
export const selfSubjectReview = computed<k.SelfSubjectReview>(authentication, 'selfsubjectreviews', 'SelfSubjectReview');
export const subjectAccessReview = computed<k.SubjectAccessReview>(authorization, 'subjectaccessreviews', 'SubjectAccessReview');
export const localSubjectAccessReview = computed<k.LocalSubjectAccessReview>(authorization, 'localsubjectaccessreviews', 'LocalSubjectAccessReview', true);
export const selfSubjectAccessReview = computed<k.SelfSubjectAccessReview>(authorization, 'selfsubjectaccessreviews', 'SelfSubjectAccessReview');
export const selfSubjectRulesReview = computed<k.SelfSubjectRulesReview>(authorization, 'selfsubjectrulesreviews', 'SelfSubjectRulesReview');

/** By qualified name: what a POST may ask. */
export const reviewKinds: Readonly<Record<string, KindDefinition | undefined>> = Object.fromEntries(
  [tokenReview, selfSubjectReview, subjectAccessReview, localSubjectAccessReview, selfSubjectAccessReview, selfSubjectRulesReview]
    .map((kind) => [`${kind.resource.plural}.${kind.resource.group}`, kind as unknown as KindDefinition]),
);
