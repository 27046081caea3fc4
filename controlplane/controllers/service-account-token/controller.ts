import type { Secret } from '#api/gen/types.ts';
import { secrets, serviceAccounts } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { accountOf, reconcileTokenSecret, tokenType } from './reconcile.ts';

/** Fills Secrets that hold a service account's token; keys are those of Secrets. */
export function serviceAccountToken(deps: ControllerDeps, { credentials, rootCa }: ControllerConfig): Controller {
  if (!credentials) return { watches: [], reconcile: () => Promise.resolve(undefined) };
  const account = (secret: Secret): string[] => (secret.type === tokenType ? [objectKey(secret.metadata?.namespace, accountOf(secret))] : []);
  const lister = deps.informers.informer(secrets, { serviceAccount: account });
  const accounts = deps.informers.informer(serviceAccounts);
  return {
    watches: [
      watch(lister, ({ object }) => (object?.type === tokenType ? [keyOf(object)] : [])),
      watch(accounts, ({ object, old }) => lister.by('serviceAccount', keyOf(object ?? old ?? {})).map(keyOf)),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const secret = lister.get(namespace, name);
      await execute(deps, reconcileTokenSecret(secret, secret && accounts.get(namespace, accountOf(secret)), { token: credentials.tokenForSecret, rootCa }));
      return undefined;
    },
  };
}
