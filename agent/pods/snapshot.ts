import type { Pod } from '#api/gen/types.ts';
import type { Container, RuntimeSnapshot, Sandbox } from '#agent/runtimes/types.ts';

/** Changes with every container or sandbox that comes, goes or changes its state. */
export function signatureOf({ sandboxes, containers }: RuntimeSnapshot): string {
  return [...sandboxes, ...containers].map((x) => `${x.id}=${x.state}`).sort().join();
}

interface PodParts { readonly sandboxes: Sandbox[]; readonly containers: Container[] }

/** By the uid of their pod. */
export function groupByPod(snapshot: RuntimeSnapshot): Map<string, PodParts> {
  const result = new Map<string, PodParts>();
  const of = (uid: string): PodParts => {
    const group = result.get(uid) ?? { sandboxes: [], containers: [] };
    result.set(uid, group);
    return group;
  };
  for (const sandbox of snapshot.sandboxes) of(sandbox.podUid).sandboxes.push(sandbox);
  for (const container of snapshot.containers) of(container.podUid).containers.push(container);
  return result;
}

/** What is known of a pod that only the runtime remembers: enough to end it and clean up. */
export function orphan(uid: string, { sandboxes }: RuntimeSnapshot): Pod {
  const [sandbox] = sandboxes;
  return {
    metadata: { uid, namespace: sandbox?.podNamespace ?? '', name: sandbox?.podName ?? '' },
    spec: { containers: [] },
  };
}
