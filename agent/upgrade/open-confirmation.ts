import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Runnable } from '#common/lifecycle.ts';
import type { ConfirmDeps } from './confirm.ts';

/** Undefined unless this agent came up with another executable, or went back from one. Loaded then: that is rare. */
export async function confirmation(deps: ConfirmDeps, stateDir: string): Promise<Runnable | undefined> {
  if (!existsSync(join(stateDir, 'upgrade'))) return undefined;
  const { upgradeToConfirm, UpgradeConfirmation } = await import('./confirm.ts');
  return upgradeToConfirm(stateDir) ? new UpgradeConfirmation(deps, stateDir) : undefined;
}
