import type { OpenDriver } from './types.ts';

/** Every runtime driver by the name that `--runtime` takes. Loaded when chosen, because most hosts need one of them. */
export const runtimes: Readonly<Record<string, OpenDriver>> = {
  cri: async (deps, config) => new (await import('./cri/driver.ts')).CriDriver(deps, config),
  ctr: async (deps, config) => new (await import('./ctr/driver.ts')).CtrDriver(deps, config),
  docker: async (deps, config) => new (await import('./docker/driver.ts')).DockerDriver(deps, config),
  fake: async (deps) => new (await import('./fake/driver.ts')).FakeDriver(deps.clock),
};
