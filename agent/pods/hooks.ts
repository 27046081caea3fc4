import type { LifecycleHandler } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { Check, CheckTarget } from './probes/types.ts';

export interface HookDeps { readonly driver: RuntimeDriver; readonly clock: Clock; readonly check: Check }

/** Runs a postStart or preStop hook to its end. Resolves with what went wrong, or undefined. Of a request only whether it is answered counts, as with kubelet. */
export async function runHook(deps: HookDeps, handler: LifecycleHandler, target: CheckTarget, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  const timeoutSeconds = Math.max(1, Math.ceil(timeoutMs / 1000));
  if (handler.sleep) {
    await deps.clock.sleep(Math.min(timeoutMs, handler.sleep.seconds * 1000), signal);
    return undefined;
  }
  const { exec, httpGet } = handler;
  if (!exec && !httpGet) return 'Cannot run handler: Invalid handler: there are hooks of exec, httpGet and sleep only';
  try {
    const { ok, answered, output } = await deps.check({ timeoutSeconds, ...(exec && { exec }), ...(httpGet && { httpGet }) }, target, signal);
    return ok || answered ? undefined : output;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}
