/** A counter of a status as Kubernetes writes it: not at all when it is 0. */
export function omitZero(count: number): number | undefined {
  return count === 0 ? undefined : count;
}
