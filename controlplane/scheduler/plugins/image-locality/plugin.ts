import { maxScore } from '../../scores.ts';
import type { CycleState, NodeInfo, Plugin, PodInfo, Snapshot, StateKey } from '../../types.ts';

const megabyte = 1024 * 1024;
/** An image smaller than this is no reason to prefer a node; one larger (per container) counts no more. */
const minBytes = 23 * megabyte;
const maxBytesPerContainer = 1000 * megabyte;

interface WantedImage {
  readonly name: string;
  /** Share of nodes that have it: an image on few nodes must not draw all pods to those. */
  readonly spread: number;
}

const wanted: StateKey<readonly WantedImage[]> = { plugin: 'ImageLocality' };

/** Prefers nodes that have the pod's images already. */
export function imageLocality(): Plugin {
  return {
    name: 'ImageLocality',
    events: [],
    preScore(pod, _nodes, snapshot, state) {
      const images = imagesOf(pod, snapshot);
      state.set(wanted, images);
      return images.length === 0 ? 'skip' : undefined;
    },
    score: (pod, node, state) => score(pod, node, state),
  };
}

function imagesOf({ pod }: PodInfo, snapshot: Snapshot): WantedImage[] {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers.flatMap(({ image }) => {
    const name = normalizedName(image ?? '');
    const nodes = snapshot.nodesWithImage(name);
    return nodes === 0 || nodes === snapshot.nodes.length ? [] : [{ name, spread: nodes / snapshot.nodes.length }];
  });
}

function score({ pod }: PodInfo, node: NodeInfo, state: CycleState): number {
  let bytes = 0;
  for (const { name, spread } of state.get(wanted) ?? []) bytes += (node.images.get(name) ?? 0) * spread;
  const containers = (pod.spec?.containers.length ?? 0) + (pod.spec?.initContainers?.length ?? 0);
  const ceiling = maxBytesPerContainer * containers;
  return (maxScore * (Math.min(Math.max(bytes, minBytes), ceiling) - minBytes)) / (ceiling - minBytes);
}

/** As runtimes report it: with a tag. */
function normalizedName(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image;
}
