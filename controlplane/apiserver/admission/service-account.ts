import type { Pod } from '#api/gen/types.ts';
import { pods, qualifiedName, serviceAccounts } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import { forbidden } from '../api-errors.ts';
import type { AdmissionPlugin } from './types.ts';

const attempts = 10;
const intervalMs = 100;

/** Every pod runs as a service account that exists. The one called `default` is waited for: in a new namespace it is on its way. */
export function serviceAccount(store: Store, clock: Clock): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    async admit({ operation, kind, subresource, namespace, name, object }) {
      if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'pods') return;
      const spec = (object as Pod | undefined)?.spec;
      if (!spec) return;
      const account = spec.serviceAccountName || spec.serviceAccount || 'default';
      spec.serviceAccountName = account;
      spec.serviceAccount = account;
      const key = storeKey(serviceAccounts, namespace, account);
      for (let attempt = 1; !(await store.get(key)); attempt++) {
        if (account !== 'default' || attempt === attempts) throw forbidden(pods, name, `error looking up service account ${namespace ?? ''}/${account}: serviceaccount "${account}" not found`);
        await new Promise<void>((resolve) => { clock.after(intervalMs, resolve); });
      }
    },
  };
}
