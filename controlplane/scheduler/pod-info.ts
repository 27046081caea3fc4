import type { Pod, PodAffinityTerm } from '#api/gen/types.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import { requirementsOf, type LabelRequirement } from '#api/meta/selectors.ts';
import type { LabelSelector } from '#api/meta/object.ts';
import { effectiveRequests, hostPortsOf, scoredRequests } from './requests.ts';
import type { AffinityTerm, AffinityTerms, PodInfo } from './types.ts';

const noNames: readonly string[] = Object.freeze([]);
const noLabels: Readonly<Record<string, string>> = Object.freeze({});
const noTerms: AffinityTerms = Object.freeze({ required: [], preferred: [] });

/** Computes once what cycles will ask of a pod. The pod must have a spec, a name and a UID, as every stored pod has. */
export function podInfo(pod: Pod): PodInfo {
  const metadata = pod.metadata ?? {};
  const spec = pod.spec ?? { containers: [] };
  const scored = scoredRequests(spec);
  const labels = metadata.labels ?? noLabels;
  const namespace = metadata.namespace ?? '';
  const terms = (source: TermSource | undefined): AffinityTerms => (source ? affinityTerms(source, namespace, labels) : noTerms);
  return {
    pod,
    uid: metadata.uid ?? '',
    namespace,
    name: metadata.name ?? '',
    labels,
    priority: spec.priority ?? 0,
    ownerUid: metadata.ownerReferences?.find((owner) => owner.controller)?.uid ?? '',
    requests: effectiveRequests(pod),
    scoredCpuMillis: scored.cpuMillis,
    scoredMemoryBytes: scored.memoryBytes,
    hostPorts: hostPortsOf(spec),
    claimNames: spec.volumes === undefined ? noNames : claimNamesOf(pod),
    affinity: terms(spec.affinity?.podAffinity),
    antiAffinity: terms(spec.affinity?.podAntiAffinity),
  };
}

interface TermSource {
  requiredDuringSchedulingIgnoredDuringExecution?: PodAffinityTerm[] | undefined;
  preferredDuringSchedulingIgnoredDuringExecution?: { podAffinityTerm: PodAffinityTerm; weight: number }[] | undefined;
}

function affinityTerms(source: TermSource, namespace: string, labels: Readonly<Record<string, string>>): AffinityTerms {
  return {
    required: (source.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => affinityTerm(term, 0, namespace, labels)),
    preferred: (source.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm, weight }) => affinityTerm(podAffinityTerm, weight, namespace, labels)),
  };
}

function affinityTerm(term: PodAffinityTerm, weight: number, namespace: string, labels: Readonly<Record<string, string>>): AffinityTerm {
  const own = (term.namespaces?.length ?? 0) === 0 && term.namespaceSelector === undefined;
  return {
    topologyKey: term.topologyKey,
    selector: selectorWithKeys(term.labelSelector, labels, term.matchLabelKeys, term.mismatchLabelKeys),
    namespaces: new Set(own ? [namespace] : term.namespaces),
    namespaceSelector: term.namespaceSelector && requirementsOf(term.namespaceSelector),
    weight,
  };
}

/** A label selector narrowed by `matchLabelKeys`: the pod's own value of each key is required (or, for mismatch, excluded). */
export function selectorWithKeys(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>>,
  matchLabelKeys: readonly string[] = [],
  mismatchLabelKeys: readonly string[] = [],
): readonly LabelRequirement[] {
  const requirements = requirementsOf(selector);
  if (selector === undefined || (matchLabelKeys.length === 0 && mismatchLabelKeys.length === 0)) return requirements;
  const extra = (keys: readonly string[], operator: 'in' | 'notin'): LabelRequirement[] => keys.flatMap((key) => {
    const value = labels[key];
    return value === undefined ? [] : [{ key, operator, values: [value] }];
  });
  return [...requirements, ...extra(matchLabelKeys, 'in'), ...extra(mismatchLabelKeys, 'notin')];
}
