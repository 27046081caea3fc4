import type { Taint, Toleration } from '../gen/types.ts';

/** True when the toleration matches the taint: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  switch (toleration.operator || 'Equal') {
    case 'Exists': return true;
    case 'Equal': return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
    default: return false;
  }
}

export function isTolerated(taint: Taint, tolerations: readonly Toleration[] | undefined): boolean {
  return tolerations?.some((toleration) => tolerates(toleration, taint)) ?? false;
}

/** The first of a node's hard taints that keeps a new pod off it. */
export function untolerated(hardTaints: readonly Taint[], tolerations: readonly Toleration[] | undefined): Taint | undefined {
  return hardTaints.length === 0 ? undefined : hardTaints.find((taint) => !isTolerated(taint, tolerations));
}

/** The same of all taints that a node has. */
export function untoleratedTaint(taints: readonly Taint[] | undefined, tolerations: readonly Toleration[] | undefined): Taint | undefined {
  return untolerated((taints ?? []).filter(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute'), tolerations);
}
