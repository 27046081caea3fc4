import type { Pod } from '#api/gen/types.ts';

export interface DrainRules {
  readonly force: boolean;
  readonly ignoreDaemonSets: boolean;
  readonly deleteEmptyDir: boolean;
  /** Uids of DaemonSets that are there: a pod of one that is gone is nobody's. */
  readonly daemonSets: ReadonlySet<string>;
}

export interface Choice {
  readonly evict: readonly Pod[];
  /** Why the node cannot be drained as asked. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** Which pods of a node go when it is drained, after kubectl's rules. Source: https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/ */
export function choosePods(pods: readonly Pod[], rules: DrainRules): Choice {
  const errors = new Map<string, string[]>();
  const warnings = new Map<string, string[]>();
  const note = (where: Map<string, string[]>, why: string, pod: Pod): void => { where.set(why, [...(where.get(why) ?? []), nameOf(pod)]); };
  const evict = pods.filter((pod) => {
    const { metadata, status, spec } = pod;
    if (metadata?.annotations?.[mirrorAnnotation] !== undefined) return false;
    const owner = metadata?.ownerReferences?.find(({ controller }) => controller);
    const finished = status?.phase === 'Succeeded' || status?.phase === 'Failed';
    let goes = true;
    if (owner?.kind === 'DaemonSet' && !finished) {
      if (!rules.daemonSets.has(owner.uid)) {
        if (!rules.force) note(errors, 'cannot delete DaemonSet-managed Pods whose DaemonSet is gone (use --force to override)', pod);
      } else {
        if (rules.ignoreDaemonSets) note(warnings, 'ignoring DaemonSet-managed Pods', pod);
        else note(errors, 'cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)', pod);
        goes = false;
      }
    }
    if (goes && !finished && spec?.volumes?.some(({ emptyDir }) => emptyDir !== undefined)) {
      if (!rules.deleteEmptyDir) note(errors, 'cannot delete Pods with local storage (use --delete-emptydir-data to override)', pod);
    }
    if (goes && !finished && owner === undefined) {
      if (rules.force) note(warnings, 'deleting Pods that declare no controller', pod);
      else note(errors, 'cannot delete Pods that declare no controller (use --force to override)', pod);
    }
    return goes;
  });
  const lines = (where: ReadonlyMap<string, readonly string[]>): string[] => [...where].map(([why, names]) => `${why}: ${names.join(', ')}`);
  return { evict, errors: lines(errors), warnings: lines(warnings) };
}

export function nameOf({ metadata }: Pod): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}
