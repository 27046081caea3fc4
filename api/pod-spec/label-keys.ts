import type { LabelSelector, PodAffinityTerm, PodSpec } from '../gen/types.ts';

type Labels = Readonly<Record<string, string>>;

/**
 * Writes what `matchLabelKeys` and `mismatchLabelKeys` mean for a pod with `labels` into its selectors, so that whoever
 * reads a selector reads all of it. A key that the pod lacks means nothing. Changes `spec` in place.
 */
export function resolveLabelKeys(spec: PodSpec, labels: Labels): void {
  for (const affinity of [spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity]) {
    for (const term of affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) resolveTerm(term, labels);
    for (const { podAffinityTerm } of affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) resolveTerm(podAffinityTerm, labels);
  }
  for (const { labelSelector, matchLabelKeys } of spec.topologySpreadConstraints ?? []) add(labelSelector, matchLabelKeys, 'In', labels);
}

function resolveTerm(term: Partial<PodAffinityTerm> | undefined, labels: Labels): void {
  add(term?.labelSelector, term?.matchLabelKeys, 'In', labels);
  add(term?.labelSelector, term?.mismatchLabelKeys, 'NotIn', labels);
}

function add(selector: LabelSelector | undefined, keys: readonly string[] | undefined, operator: 'In' | 'NotIn', labels: Labels): void {
  if (selector === undefined) return;
  for (const key of keys ?? []) {
    const value = labels[key];
    if (value !== undefined) (selector.matchExpressions ??= []).push({ key, operator, values: [value] });
  }
}
