import { unavailable } from '../../diagnosis.ts';
import type { NodeInfo, Plugin, PodInfo, Rejection } from '../../types.ts';

const notHelpful: Rejection = { reasons: ['Preemption is not helpful for scheduling'], resolvable: false };
const noVictims: Rejection = { reasons: ['No preemption victims found for incoming pod'], resolvable: false };
const notDone: Rejection = { reasons: ['Preemption of lower-priority pods is not supported yet'], resolvable: false };

/** Says, node by node, whether evicting pods of lower priority would make room. It does not evict yet. */
export function defaultPreemption(): Plugin {
  return {
    name: 'DefaultPreemption',
    events: [],
    postFilter(pod, rejections, snapshot) {
      if (pod.pod.spec?.preemptionPolicy === 'Never') return { message: 'preemption: not eligible due to preemptionPolicy=Never' };
      const verdicts = [...rejections].map(([node, { resolvable }]) => (resolvable ? verdict(pod, node) : notHelpful));
      return { message: `preemption: ${unavailable(snapshot.nodes.length, verdicts)}` };
    },
  };
}

function verdict(pod: PodInfo, node: NodeInfo): Rejection {
  for (const other of node.pods.values()) if (other.priority < pod.priority) return notDone;
  return noVictims;
}
