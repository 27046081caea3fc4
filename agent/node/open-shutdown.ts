import type { Ledger } from './ledger.ts';
import type { GracefulShutdown, ShutdownConfig, ShutdownDeps } from './shutdown.ts';

/** Where it is asked for and this host can do it. Loaded then: most hosts do without. */
export async function gracefulShutdown({ ledger, ...deps }: Omit<ShutdownDeps, 'preparations'> & { readonly ledger: Ledger }, config: ShutdownConfig): Promise<GracefulShutdown | undefined> {
  const graceMs = config.groups.reduce((sum, group) => sum + group.graceMs, 0);
  if (graceMs === 0) return undefined;
  const [{ GracefulShutdown: Loaded }, { allowDelay, inhibitorMissing, preparations }] = await Promise.all([import('./shutdown.ts'), import('./inhibitor.ts')]);
  const missing = await inhibitorMissing();
  if (missing !== undefined) {
    deps.log.warn({ why: missing }, 'pods will not be ended before this host goes down');
    return undefined;
  }
  await allowDelay(graceMs, ledger);
  return new Loaded({ ...deps, preparations }, config);
}
