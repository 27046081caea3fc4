import { architectureOf } from '../../image-platforms.ts';
import type { NodeInfo, Plugin, PodInfo, Rejection, Snapshot, StateKey } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) had an architecture that the pod's images are not made for"], resolvable: false };
/** By architecture, whether all images of the pod are made for it. */
const verdicts: StateKey<{ readonly snapshot: Snapshot; readonly byArchitecture: Map<string, boolean> }> = { plugin: 'ImageArchitecture' };

/** Keeps pods off nodes for which an image of theirs is known not to be made; what is not known is allowed. */
export function imageArchitecture(): Plugin {
  return {
    name: 'ImageArchitecture',
    events: ['node-added', 'node-labels-changed', 'node-images-changed'],
    preFilter(_pod, snapshot, state) {
      if (snapshot.images.isEmpty) return 'skip';
      state.set(verdicts, { snapshot, byArchitecture: new Map() });
      return undefined;
    },
    filter(pod, node, state) {
      const known = state.get(verdicts);
      return known === undefined || isFor(pod, node, known.snapshot, known.byArchitecture) ? undefined : refused;
    },
  };
}

function isFor({ pod }: PodInfo, { labels }: NodeInfo, { images }: Snapshot, byArchitecture: Map<string, boolean>): boolean {
  const architecture = architectureOf(labels);
  if (architecture === undefined) return true;
  let verdict = byArchitecture.get(architecture);
  if (verdict === undefined) {
    verdict = [...pod.spec?.initContainers ?? [], ...pod.spec?.containers ?? []].every(({ image }) => image === undefined || images.isFor(image, architecture));
    byArchitecture.set(architecture, verdict);
  }
  return verdict;
}
