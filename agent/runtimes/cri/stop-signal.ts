import { isRecord } from '#api/meta/json.ts';
import type { Clock } from '#common/clock.ts';
import { signalNumber } from '../process.ts';
import { stopSignal } from './mapping.ts';
import type { CriCalls } from './messages.ts';

type Answer = CriCalls['ContainerStatus'][1];

/**
 * Ends a container by the signal that it was made with, and waits up to `graceSeconds`. Runtimes learn of such signals
 * only in their youngest versions, so the signal is sent from here; what comes after the wait is the runtime's part.
 * Resolves with the seconds that are left: 0 for the kill, or `graceSeconds` where nothing could be sent.
 */
export async function stopBySignal(status: () => Promise<Answer | undefined>, graceSeconds: number, clock: Clock, signal: AbortSignal): Promise<number> {
  const before = await status();
  const name = before?.status?.annotations[stopSignal];
  const pid = pidOf(before);
  if (name === undefined || pid === undefined || graceSeconds <= 0 || !isRunning(before) || !send(pid, name)) return graceSeconds;
  const deadlineMs = clock.monotonic() + graceSeconds * 1000;
  for (let waitMs = 10; clock.monotonic() < deadlineMs; waitMs = Math.min(2 * waitMs, 500)) {
    await clock.sleep(Math.min(waitMs, deadlineMs - clock.monotonic()), signal);
    if (!isRunning(await status())) return 0;
  }
  return 0;
}

function isRunning(answer: Answer | undefined): boolean {
  return answer?.status?.state === 'CONTAINER_RUNNING';
}

/** Of the container's own program, as containerd and CRI-O tell it. */
function pidOf(answer: Answer | undefined): number | undefined {
  try {
    const info: unknown = JSON.parse(answer?.info['info'] ?? '{}');
    return isRecord(info) && typeof info['pid'] === 'number' && info['pid'] > 1 ? info['pid'] : undefined;
  } catch {
    return undefined;
  }
}

/** False when it cannot be sent: the program has ended, or there is no such signal. */
function send(pid: number, name: string): boolean {
  const number = signalNumber(name);
  if (number === undefined) return false;
  try {
    process.kill(pid, number);
    return true;
  } catch {
    return false;
  }
}
