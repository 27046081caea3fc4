import type { Namespace } from '#api/gen/types.ts';
import { namespaces, qualifiedName } from '#api/kinds/resources.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import { forbidden, notFound } from '../api-errors.ts';
import { parseBytes } from '../encoding.ts';
import type { AdmissionPlugin } from './types.ts';

const immortal = new Set(['default', 'kube-system', 'kube-public']);

/** Objects are made only in namespaces that exist and stay; Kubernetes' own namespaces cannot be deleted. */
export function namespaceLifecycle(store: Store): AdmissionPlugin {
  return {
    name: 'NamespaceLifecycle',
    async admit({ operation, kind, namespace, name }) {
      if (qualifiedName(kind.resource) === 'namespaces') {
        if (operation === 'delete' && immortal.has(name)) throw forbidden(namespaces, name, 'this namespace may not be deleted');
        return;
      }
      if (operation !== 'create' || !kind.resource.namespaced || namespace === undefined) return;
      const entry = await store.get(storeKey(namespaces, undefined, namespace));
      if (!entry) throw notFound(namespaces, namespace);
      const { metadata, status } = parseBytes(entry.value) as Namespace;
      if (metadata?.deletionTimestamp === undefined && status?.phase !== 'Terminating') return;
      throw forbidden(kind.resource, name, `unable to create new content in namespace ${namespace} because it is being terminated`, {
        reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace',
      });
    },
  };
}
