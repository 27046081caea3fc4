import { readdirSync, readFileSync } from 'node:fs';
import { qualifiedName } from '#api/kinds/resources.ts';
import { counter, gauge, type Family } from '#common/metrics.ts';
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

function* processMetrics(): Iterable<Family> {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  yield counter('process_cpu_seconds_total', 'CPU time used.', [{ value: (userCPUTime + systemCPUTime) / 1e6 }]);
  yield gauge('process_resident_memory_bytes', 'Resident memory.', [{ value: rss }]);
  yield gauge('process_start_time_seconds', 'When the process began, since the epoch.', [{ value: Math.round(Date.now() / 1000 - process.uptime()) }]);
  yield gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', [{ value: heapUsed }]);
  yield gauge('nodejs_heap_size_total_bytes', 'JavaScript heap reserved.', [{ value: heapTotal }]);
  yield gauge('nodejs_external_memory_bytes', 'Memory of buffers outside the heap.', [{ value: external }]);
  yield* ofKernel();
}

function* ofKernel(): Iterable<Family> {
  try {
    const virtualKb = /^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    const maxFds = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    yield gauge('process_virtual_memory_bytes', 'Address space.', virtualKb === undefined ? [] : [{ value: Number(virtualKb) * 1024 }]);
    yield gauge('process_open_fds', 'Open files and sockets.', [{ value: readdirSync('/proc/self/fd').length }]);
    yield gauge('process_max_fds', 'How many files and sockets may be open.', maxFds === undefined ? [] : [{ value: Number(maxFds) }]);
  } catch {
    // Not Linux, or not for us to see.
  }
}
