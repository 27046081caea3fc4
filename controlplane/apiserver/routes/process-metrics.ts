import { text, type Reply } from '../http/reply.ts';

/** Prometheus text of the process and of the requests answered. */
export class ProcessMetrics {
  readonly #requests = new Map<string, number>();
  #inFlight = 0;
  #watches = 0;

  begin(): void {
    this.#inFlight++;
  }

  end(verb: string, code: number): void {
    this.#inFlight--;
    const key = `verb="${verb}",code="${String(code)}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
  }

  watchOpened(): void { this.#watches++; }
  watchClosed(): void { this.#watches--; }

  serve(storeRevision: number): Reply {
    const usage = process.resourceUsage();
    const memory = process.memoryUsage();
    const lines = [
      ...metric('apiserver_request_total', 'counter', [...this.#requests].map(([labels, value]) => [`{${labels}}`, value])),
      ...metric('apiserver_current_inflight_requests', 'gauge', [['', this.#inFlight]]),
      ...metric('apiserver_longrunning_requests', 'gauge', [['{verb="watch"}', this.#watches]]),
      ...metric('cleat_store_revision', 'gauge', [['', storeRevision]]),
      ...metric('process_cpu_seconds_total', 'counter', [['', (usage.userCPUTime + usage.systemCPUTime) / 1e6]]),
      ...metric('process_resident_memory_bytes', 'gauge', [['', memory.rss]]),
      ...metric('nodejs_heap_size_used_bytes', 'gauge', [['', memory.heapUsed]]),
      ...metric('process_start_time_seconds', 'gauge', [['', Math.round((Date.now() / 1000) - process.uptime())]]),
    ];
    return { ...text(`${lines.join('\n')}\n`), contentType: 'text/plain; version=0.0.4; charset=utf-8' };
  }
}

function metric(name: string, type: string, samples: readonly (readonly [string, number])[]): string[] {
  return [`# TYPE ${name} ${type}`, ...samples.map(([labels, value]) => `${name}${labels} ${String(value)}`)];
}
