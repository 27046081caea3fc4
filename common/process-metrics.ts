import { readdirSync, readFileSync } from 'node:fs';
import { counter, gauge, type Family } from './metrics.ts';

/** What this process uses, under the names that Prometheus' own clients have. */
export function* processMetrics(): Iterable<Family> {
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
