import { isReplaced, replacesAnnotation } from '#api/disconnect/policy.ts';
import type { Pod } from '#api/gen/types.ts';

function replacedBy(pod: Pod | undefined): string | undefined {
  return pod?.metadata?.annotations?.[replacesAnnotation];
}

/** Uids of the pods that `pod` stands in for: one whose host is away, and those that that one stood in for itself. */
function* originalsOf(pod: Pod, byUid: ReadonlyMap<string, Pod>): Generator<string> {
  const seen = new Set<string>();
  for (let uid = replacedBy(pod); uid !== undefined && !seen.has(uid); uid = replacedBy(byUid.get(uid))) {
    seen.add(uid);
    yield uid;
  }
}

function byUidOf(pods: readonly Pod[]): Map<string, Pod> {
  return new Map(pods.map((pod) => [pod.metadata?.uid ?? '', pod]));
}

/** Of `pods`, the uids of those that are away and in whose stead no other runs yet: what new pods are to stand in for. */
export function withoutStandIn(pods: readonly Pod[]): string[] {
  const byUid = byUidOf(pods);
  const covered = new Set(pods.filter((pod) => !isReplaced(pod)).flatMap((pod) => [...originalsOf(pod, byUid)]));
  const open = pods.filter((pod) => isReplaced(pod) && !covered.has(pod.metadata?.uid ?? ''));
  // A stand-in that is away itself stands for those before it.
  const passedOn = new Set(open.map(replacedBy));
  return open.map((pod) => pod.metadata?.uid ?? '').filter((uid) => !passedOn.has(uid));
}

/** Of `pods`, those that stand in for one that is back: they go before any other. */
export function needlessStandIns(pods: readonly Pod[]): Pod[] {
  const byUid = byUidOf(pods);
  const back = (uid: string): boolean => { const pod = byUid.get(uid); return pod !== undefined && !isReplaced(pod); };
  const taken = new Set<string>();
  return pods.filter((pod) => {
    if (isReplaced(pod)) return false;
    for (const uid of originalsOf(pod, byUid)) {
      if (!back(uid) || taken.has(uid)) continue;
      taken.add(uid);
      return true;
    }
    return false;
  });
}
