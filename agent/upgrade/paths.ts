import { join } from 'node:path';

/** What an upgrade keeps on a host. The guard reads the same names. */
export interface UpgradePaths {
  readonly folder: string;
  /** The executable before the present one. */
  readonly previous: string;
  /** There while the present executable has not shown that it works: JSON of `Pending`. */
  readonly pending: string;
  /** Run by the units before each start; takes an executable back that does not come up. */
  readonly guard: string;
  /** Why the last upgrade was taken back. */
  readonly failed: string;
}

export function upgradePaths(stateDir: string): UpgradePaths {
  const folder = join(stateDir, 'upgrade');
  return { folder, previous: join(folder, 'previous'), pending: join(folder, 'pending'), guard: join(folder, 'guard'), failed: join(folder, 'failed') };
}

/** Where an executable lies that was received and is not yet used. */
export function receivedPath(stateDir: string, sha256: string): string {
  return join(stateDir, 'upgrade', `cleat-${sha256.slice(0, 16)}`);
}

export interface Pending {
  readonly from: string;
  readonly to: string;
  readonly executable: string;
  readonly sinceMs: number;
  readonly confirmMs: number;
}
