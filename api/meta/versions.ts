const form = /^v(\d{1,9})(?:(alpha|beta)(\d{1,9}))?$/;
const stages = ['alpha', 'beta', undefined];

/**
 * Kubernetes' order of versions, most stable and newest first: `v2`, `v1`, `v1beta2`, `v1alpha1`, then names of any other form as text.
 * Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [form.exec(a), form.exec(b)];
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : Number(a > b);
  return stages.indexOf(right[2]) - stages.indexOf(left[2]) || Number(right[1]) - Number(left[1]) || Number(right[3] ?? 0) - Number(left[3] ?? 0);
}
