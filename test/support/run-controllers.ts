import * as resources from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { controllers } from '#controlplane/controllers/registry.ts';
import type { ControllerConfig } from '#controlplane/controllers/types.ts';
import { FakeApi, FakeInformers, type FakeApiOptions } from './fake-api.ts';

export interface RunningControllers {
  readonly clock: ManualClock;
  readonly api: FakeApi;
  readonly manager: () => ControllerManager;
  /** Starts the controllers; until then the API is there to be filled. */
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export const controllerConfig: ControllerConfig = {
  podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: 'PEM',
  resources: [resources.namespaces, resources.nodes, resources.pods, resources.configMaps, resources.secrets, resources.services, resources.endpoints, resources.events,
    resources.serviceAccounts, resources.endpointSlices, resources.leases, resources.deployments, resources.replicaSets],
};

/** Real controllers over a fake API, driven by a clock that moves only when told to. */
export function runControllers(names: readonly string[], options: { readonly config?: Partial<ControllerConfig>; readonly refuse?: FakeApiOptions['refuse'] } = {}): RunningControllers {
  const clock = new ManualClock();
  const api = new FakeApi({ clock, ...(options.refuse && { refuse: options.refuse }) });
  const chosen = Object.fromEntries(Object.entries(controllers).filter(([name]) => names.includes(name)));
  let abort = new AbortController();
  let manager: ControllerManager;
  let running: Promise<void> = Promise.resolve();
  return {
    clock, api,
    manager: () => manager,
    async start() {
      abort = new AbortController();
      const informers = new FakeInformers(api);
      manager = new ControllerManager({ informers, client: api, recorder: (component) => api.recorder(component), clock, log: silentLog, random: () => 0.5, controllers: chosen }, { ...controllerConfig, ...options.config });
      running = manager.start(abort.signal);
      await clock.advance(0);
    },
    async stop() {
      abort.abort(new Error('stopped'));
      await running;
    },
  };
}
