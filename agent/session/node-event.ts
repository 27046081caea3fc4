import type { Clock } from '#common/clock.ts';
import type { AgentEvent } from './types.ts';

/** An Event about the host itself. Its Node may not be known yet: as kubelet's, it names the node in place of its uid. */
export function nodeEvent(nodeName: string, clock: Pick<Clock, 'now'>, type: AgentEvent['type'], reason: string, message: string): AgentEvent {
  return { kind: 'Node', namespace: '', name: nodeName, uid: nodeName, type, reason, message, atMs: clock.now() };
}
