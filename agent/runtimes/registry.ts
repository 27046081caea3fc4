import type { CriConfig, CriDeps } from './cri/driver.ts';
import type { RuntimeDriver } from './types.ts';

export type OpenDriver = (deps: CriDeps, config: CriConfig) => Promise<RuntimeDriver>;

/** Every runtime driver by the name that `--runtime` takes. Loaded when chosen, because most hosts need one of them. */
export const runtimes: Readonly<Record<string, OpenDriver>> = {
  cri: async (deps, config) => new (await import('./cri/driver.ts')).CriDriver(deps, config),
  fake: async (deps) => new (await import('./fake/driver.ts')).FakeDriver(deps.clock),
};
