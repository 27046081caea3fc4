import { expect, test } from 'vitest';
import { podInfo } from '../../pod-info.ts';
import { pod } from '../../testing.ts';
import type { Queued } from '../../types.ts';
import { prioritySort } from './plugin.ts';

const queued = (priority: number, readyAtMs: number, sequence: number): Queued => ({ pod: podInfo(pod({ spec: { priority } })), readyAtMs, sequence });

test.each<[string, Queued, Queued, boolean]>([
  ['higher priority first', queued(5, 9, 9), queued(1, 0, 0), true],
  ['lower priority last', queued(1, 0, 0), queued(5, 9, 9), false],
  ['the one that waits longer', queued(1, 1, 9), queued(1, 2, 0), true],
  ['at the same moment, the first to come', queued(1, 1, 1), queued(1, 1, 0), false],
])('%s', (_, a, b, expected) => { expect(prioritySort().queueSort?.(a, b)).toBe(expected); });
