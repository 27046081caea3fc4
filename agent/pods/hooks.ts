import type { LifecycleHandler } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { Check, CheckTarget } from './probes/types.ts';

export interface HookDeps { readonly driver: RuntimeDriver; readonly clock: Clock; readonly check: Check }

/** Runs a postStart or preStop hook to its end. Resolves with what went wrong, or undefined. */
export async function runHook(deps: HookDeps, handler: LifecycleHandler, target: CheckTarget, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  const timeoutSeconds = Math.max(1, Math.ceil(timeoutMs / 1000));
  if (handler.sleep) {
    await deps.clock.sleep(Math.min(timeoutMs, handler.sleep.seconds * 1000), signal);
    return undefined;
  }
  const { exec, httpGet, tcpSocket } = handler;
  try {
    const result = await deps.check({ timeoutSeconds, ...(exec && { exec }), ...(httpGet && { httpGet }), ...(tcpSocket && { tcpSocket }) }, target, signal);
    return result.ok ? undefined : result.output;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}
