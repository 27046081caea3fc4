import { ipAddresses, services } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { addressesOf, reconcileAddress } from './reconcile.ts';

/** Keeps an IPAddress for each address of a Service. What is handed out is decided elsewhere: these tell of it. */
export function serviceIpAddresses(deps: ControllerDeps): Controller {
  const owners = deps.informers.informer(services, { address: addressesOf });
  const addresses = deps.informers.informer(ipAddresses);
  return {
    watches: [
      watch(owners, ({ object, old }) => [...(object ? addressesOf(object) : []), ...(old ? addressesOf(old) : [])]),
      watch(addresses, ({ object, old }) => [(object ?? old)?.metadata?.name ?? '']),
    ],
    async reconcile(address) {
      try {
        await execute(deps, reconcileAddress(address, owners.by('address', address)[0], addresses.get(undefined, address)));
      } catch (error) {
        // Its coming brings us back.
        if (!isStatus(error, 'AlreadyExists')) throw error;
      }
      return undefined;
    },
  };
}
