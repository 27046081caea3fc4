import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import { fieldPathOf } from './spec/containers.ts';

const maxMessage = 1024;

export interface PodRecorder {
  emit(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void;
}

/** Puts Events about one pod where they are collected. `pod` may change while it runs. */
export function podRecorder(events: AgentEvents, clock: Clock, pod: () => Pod): PodRecorder {
  return {
    emit(type, reason, message, container) {
      const { metadata } = pod();
      events.emit({
        kind: 'Pod',
        namespace: metadata?.namespace ?? '',
        name: metadata?.name ?? '',
        uid: metadata?.uid ?? '',
        ...(container !== undefined && { fieldPath: fieldPathOf(pod(), container) }),
        type,
        reason,
        message: message.length > maxMessage ? `${message.slice(0, maxMessage - 3)}...` : message,
        atMs: clock.now(),
      });
    },
  };
}
