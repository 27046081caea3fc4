import type { APIService, APIServiceCondition, EndpointSlice, Service } from '#api/gen/types.ts';
import { setCondition } from '#api/meta/conditions.ts';

export type Availability = Pick<APIServiceCondition, 'status' | 'reason' | 'message'>;

export const passed: Availability = { status: 'True', reason: 'Passed', message: 'all checks passed' };

/** What can be said of an APIService without asking its server; undefined: it has to be asked. */
export function known(apiService: APIService, service: Service | undefined, slices: readonly EndpointSlice[]): Availability | undefined {
  const reference = apiService.spec?.service;
  if (!reference) return { status: 'True', reason: 'Local', message: 'Local APIServices are always available' };
  const { namespace = '', name = '', port: number = 443 } = reference;
  const about = `service/${name} in ${JSON.stringify(namespace)}`;
  if (!service) return missing('ServiceNotFound', `${about} is not present`);
  if (service.spec?.type !== undefined && service.spec.type !== 'ClusterIP') return undefined;
  const port = service.spec?.ports?.find((one) => one.port === number);
  if (!port) return missing('ServicePortError', `${about} is not listening on port ${String(number)}`);
  if (slices.length === 0) return missing('EndpointsNotFound', `cannot find endpointslices for ${about}`);
  const portName = port.name ?? '';
  const isServing = slices.some(({ endpoints, ports }) => ports?.some(({ name: named = '' }) => named === portName) === true
    && endpoints?.some(({ addresses, conditions }) => addresses.length > 0 && conditions?.ready !== false) === true);
  return isServing ? undefined : missing('MissingEndpoints', `endpointslices for ${about} have no addresses with port name ${JSON.stringify(portName)}`);
}

export function discoveryFailed(message: string): Availability {
  return missing('FailedDiscoveryCheck', message);
}

export function withAvailability({ status }: APIService, availability: Availability, now: string): APIService['status'] {
  return { ...status, conditions: setCondition(status?.conditions, { type: 'Available', ...availability }, now) };
}

function missing(reason: string, message: string): Availability {
  return { status: 'False', reason, message };
}
