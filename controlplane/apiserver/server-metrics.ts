import { qualifiedName } from '#api/kinds/resources.ts';
import { gauge, type Family } from '#common/metrics.ts';
import { processMetrics } from '#common/process-metrics.ts';
import { kubernetesVersion } from '#common/version.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import type { KindIndex } from './kind-index.ts';

/** What the store holds, and what the process uses. */
export function* serverMetrics({ store, kinds, version }: { readonly store: Store; readonly kinds: KindIndex; readonly version: string }): Iterable<Family> {
  yield gauge('kubernetes_build_info', 'The version that is served.', [{ labels: { major: '1', minor: '34', git_version: kubernetesVersion(version), platform: `${process.platform}/${process.arch}` }, value: 1 }]);
  const counts = new Map(kinds.resources.map((one) => [qualifiedName(one), store.count(storePrefix(one))]));
  yield gauge('apiserver_storage_objects', 'Objects kept, by resource.', [...counts].map(([name, value]) => ({ labels: { resource: name }, value })));
  yield gauge('cleat_store_revision', 'Newest revision of the store.', [{ value: store.revision }]);
  yield gauge('cleat_store_compacted_revision', 'Oldest revision that can still be asked for.', [{ value: store.compacted }]);
  yield gauge('cleat_store_writable', 'Whether the disk takes writes.', [{ value: store.writeProblem ? 0 : 1 }]);
  yield* processMetrics();
}
