import { createInterface } from 'node:readline';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { openCommand } from '#common/exec.ts';
import { isOwnLink } from '#common/host-address.ts';
import type { Log } from '#common/log.ts';

const retry = { baseMs: 1000, maxMs: 60_000, jitter: 0.2 } as const;
/** An address that comes brings several lines. */
const settleMs = 200;

/**
 * Calls `changed` when the kernel says that addresses of this host's own links came or went, a default route did, or
 * routes of ours were taken away. Follows `ip monitor`, a process of a few hundred KB; starts it again when it ends.
 */
export async function watchLinks(deps: { readonly clock: Clock; readonly log: Log; readonly random: () => number }, routeProtocol: number, changed: () => void, signal: AbortSignal): Promise<void> {
  const { clock, log, random } = deps;
  for (let failures = 1; !signal.aborted; failures++) {
    const monitor = openCommand('ip', ['-o', 'monitor', 'address', 'route']);
    let cancel: (() => void) | undefined;
    const stop = (): void => { monitor.kill(); };
    signal.addEventListener('abort', stop, { once: true });
    const lines = createInterface({ input: monitor.stdout });
    lines.on('line', (line) => {
      failures = 1;
      if (!concerns(line, routeProtocol) || cancel) return;
      cancel = clock.after(settleMs, () => { cancel = undefined; changed(); });
    });
    monitor.stderr.resume();
    const code = await monitor.ended.catch(() => -1);
    signal.removeEventListener('abort', stop);
    lines.close();
    cancel?.();
    if (signal.aborted) return;
    log.debug({ code }, 'ip monitor ended; starting it again');
    await clock.sleep(backoffMs(retry, failures, random), signal).catch(() => undefined);
  }
}

/** Whether a line of `ip -o monitor address route` is news for the network between hosts. */
export function concerns(line: string, routeProtocol: number): boolean {
  const address = /^(?:Deleted )?\d+: (\S+)\s+inet6? /.exec(line);
  // A pod's link comes and goes with each pod.
  if (address) return isOwnLink(address[1] ?? '') && address[1] !== 'lo';
  if (/^(?:Deleted )?default /.test(line)) return true;
  return line.startsWith('Deleted ') && line.includes(` proto ${String(routeProtocol)}`);
}
