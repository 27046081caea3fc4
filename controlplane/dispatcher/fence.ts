import { fenceAnnotation, fenceOf, isFencedTaint, keepsOne } from '#api/disconnect/policy.ts';
import type { Pod } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import type { ApiClient } from '../apiserver/types.ts';

const attempts = 8;
/** The fence of a node as the store has it now. */
export async function currentFence(api: ApiClient, nodeName: string): Promise<string | undefined> {
  try {
    return fenceOf(await api.get(nodes, undefined, nodeName));
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** Takes this fence off the node, and the taint that came with it. A newer fence stays. */
export async function liftFence(api: ApiClient, nodeName: string, fence: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const node = await api.get(nodes, undefined, nodeName);
      if (fenceOf(node) !== fence) return;
      const { [fenceAnnotation]: _done, ...annotations } = node.metadata?.annotations ?? {};
      const taints = (node.spec?.taints ?? []).filter((taint) => !isFencedTaint(taint));
      await api.update(nodes, { ...node, metadata: { ...node.metadata, annotations }, spec: { ...node.spec, taints } });
      return;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return;
      if (!isStatus(error, 'Conflict') || attempt === attempts) throw error;
    }
  }
}

/**
 * Removes what there may be only one copy of, now that it has ended here. Whoever removes it because of the fence, for it to
 * be replaced, may be slow: then it must not be started here again meanwhile.
 */
export async function removeEnded(api: ApiClient, bound: readonly Pod[]): Promise<void> {
  for (const { metadata } of bound.filter(keepsOne)) {
    try {
      await api.delete(pods, metadata?.namespace, metadata?.name ?? '', { gracePeriodSeconds: 0, ...(metadata?.uid !== undefined && { preconditions: { uid: metadata.uid } }) });
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
    }
  }
}
