import { randomInt } from 'node:crypto';
import type { Pod, PodSpec, ServiceAccount, Volume } from '#api/gen/types.ts';
import { pods, qualifiedName, serviceAccounts } from '#api/kinds/resources.ts';
import { safeCharacters } from '#api/meta/names.ts';
import type { Clock } from '#common/clock.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import { forbidden } from '../api-errors.ts';
import { parseBytes } from '../encoding.ts';
import type { AdmissionPlugin } from './types.ts';

const attempts = 10;
const intervalMs = 100;

/**
 * Every pod runs as a service account that exists, and finds its token, the CA and its namespace where clients look.
 * The account called `default` is waited for: in a new namespace it is on its way.
 */
export function serviceAccount(store: Store, clock: Clock): AdmissionPlugin {
  const find = async (namespace: string | undefined, name: string): Promise<ServiceAccount | undefined> => {
    for (let attempt = 1; ; attempt++) {
      const entry = await store.get(storeKey(serviceAccounts, namespace, name));
      if (entry) return parseBytes(entry.value) as ServiceAccount;
      if (name !== 'default' || attempt === attempts) return undefined;
      await new Promise<void>((resolve) => { clock.after(intervalMs, resolve); });
    }
  };
  return {
    name: 'ServiceAccount',
    async admit({ operation, kind, subresource, namespace, name, object }) {
      if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'pods') return;
      const { spec, metadata } = object as Pod;
      // What a node runs by itself is nobody's account.
      if (!spec || metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined) return;
      const accountName = spec.serviceAccountName || spec.serviceAccount || 'default';
      spec.serviceAccountName = accountName;
      spec.serviceAccount = accountName;
      const account = await find(namespace, accountName);
      if (!account) throw forbidden(pods, name, `error looking up service account ${namespace ?? ''}/${accountName}: serviceaccount "${accountName}" not found`);
      if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(spec);
      if ((spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets) spec.imagePullSecrets = account.imagePullSecrets.map((secret) => ({ ...secret }));
    },
  };
}

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const volumePrefix = 'kube-api-access-';

/** Containers that mount something else there keep it. */
function mountToken(spec: PodSpec): void {
  // What is not valid yet may have no name.
  const known = spec.volumes?.find(({ name }: { readonly name?: string }) => name?.startsWith(volumePrefix))?.name;
  const name = known ?? volumePrefix + randomSuffix();
  let needed = false;
  for (const container of [...spec.initContainers ?? [], ...(spec.containers as PodSpec['containers'] | undefined) ?? []]) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === mountPath)) continue;
    container.volumeMounts = [...container.volumeMounts ?? [], { name, readOnly: true, mountPath }];
    needed = true;
  }
  if (needed && known === undefined) spec.volumes = [...spec.volumes ?? [], tokenVolume(name)];
}

/** Seven seconds more than an hour marks a token that nobody chose, see the issuer. */
function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
}

function randomSuffix(): string {
  return Array.from({ length: 5 }, () => safeCharacters.charAt(randomInt(safeCharacters.length))).join('');
}
