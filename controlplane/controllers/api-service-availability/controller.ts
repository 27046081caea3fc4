import type { APIService } from '#api/gen/types.ts';
import { apiServices, endpointSlices, services } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { objectKey } from '#api/meta/object.ts';
import { backoffMs } from '#common/backoff.ts';
import { messageOf } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { endpointSliceIndexes, serviceNameLabel } from '../indexes.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { discoveryFailed, known, passed, withAvailability, type Availability } from './reconcile.ts';

/** How often a server that answers is asked again. */
const checkAgainMs = 30_000;
const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 };

/** Says of each APIService whether it can be reached. */
export function apiServiceAvailability({ informers, client, clock, random }: ControllerDeps, { checkApiService }: ControllerConfig): Controller {
  const lister = informers.informer(apiServices);
  const serviceLister = informers.informer(services);
  const sliceLister = informers.informer(endpointSlices, endpointSliceIndexes);
  const failures = new Map<string, number>();
  const servedBy = (namespace: string | undefined, name: string | undefined): string[] => lister.list()
    .flatMap(({ metadata, spec }) => (spec?.service && spec.service.namespace === namespace && spec.service.name === name ? [metadata?.name ?? ''] : []));

  async function availability(apiService: APIService, signal: AbortSignal): Promise<Availability> {
    const { namespace, name = '' } = apiService.spec?.service ?? {};
    const said = known(apiService, serviceLister.get(namespace, name), sliceLister.by('service', objectKey(namespace, name)));
    if (said || !checkApiService) return said ?? passed;
    try {
      await checkApiService(apiService, signal);
      return passed;
    } catch (error) {
      signal.throwIfAborted();
      return discoveryFailed(messageOf(error));
    }
  }

  return {
    workers: 4,
    watches: [
      watch(lister, ({ object, old }) => {
        const name = (object ?? old)?.metadata?.name ?? '';
        if (!object) failures.delete(name);
        // Our own writes are no reason to ask the server again.
        return object && !(old && equal(old.spec, object.spec) && getCondition(object.status?.conditions, 'Available')) ? [name] : [];
      }),
      watch(serviceLister, ({ object, old }) => servedBy((object ?? old)?.metadata?.namespace, (object ?? old)?.metadata?.name)),
      watch(sliceLister, ({ object, old }) => servedBy((object ?? old)?.metadata?.namespace, (object ?? old)?.metadata?.labels?.[serviceNameLabel])),
    ],
    async reconcile(name, signal) {
      const apiService = lister.get(undefined, name);
      if (!apiService) return undefined;
      const found = await availability(apiService, signal);
      const status = withAvailability(apiService, found, rfc3339(clock.now()));
      if (!equal(status, apiService.status)) await client.update(apiServices, { ...apiService, status }, 'status');
      if (found.reason !== 'FailedDiscoveryCheck') failures.delete(name);
      if (found.reason === 'Passed') return { afterMs: checkAgainMs };
      if (found.reason !== 'FailedDiscoveryCheck') return undefined;
      const count = (failures.get(name) ?? 0) + 1;
      failures.set(name, count);
      return { afterMs: backoffMs(retry, count, random) };
    },
  };
}
