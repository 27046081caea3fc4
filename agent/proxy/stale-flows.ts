import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { parseFlows, staleFlows } from './conntrack.ts';
import type { Family } from './families.ts';
import type { ProxyBackendDeps, ProxyChange, ServicePort } from './types.ts';

/** Beyond this many stale flows at once the rest is left to its timeouts. */
const maxStaleFlows = 256;

/** Ends UDP flows whose endpoint is no longer one of their Service's. The same for all backends that translate addresses by conntrack. */
export class StaleFlows {
  readonly #exec: ProxyBackendDeps['exec'];
  readonly #log: Log;
  readonly #families: readonly Family[];
  /** UDP ports as last applied, by id. */
  readonly #udp = new Map<string, ServicePort>();
  #conntrackMissing = false;

  constructor({ exec, log }: Pick<ProxyBackendDeps, 'exec' | 'log'>, families: readonly Family[]) {
    this.#exec = exec;
    this.#log = log;
    this.#families = families;
  }

  /** After everything was replaced. */
  async replaced(all: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    this.#udp.clear();
    for (const port of all) if (port.protocol === 'UDP') this.#udp.set(port.id, port);
    if (this.#udp.size > 0) await this.#forget([...this.#udp.values()], signal);
  }

  /** After a change. */
  async changed(change: ProxyChange, signal: AbortSignal): Promise<void> {
    const touched: ServicePort[] = [];
    for (const id of change.removed) {
      const port = this.#udp.get(id);
      if (port) touched.push({ ...port, endpoints: [], localEndpoints: [] });
      this.#udp.delete(id);
    }
    for (const port of change.set) {
      if (port.protocol === 'UDP') touched.push(port);
      if (port.protocol === 'UDP') this.#udp.set(port.id, port);
      else this.#udp.delete(port.id);
    }
    if (touched.length > 0) await this.#forget(touched, signal);
  }

  /** Best effort: a host without the conntrack tool keeps a stale UDP flow until it times out. */
  async #forget(ports: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    if (this.#conntrackMissing) return;
    try {
      for (const family of this.#families) {
        const listed = await this.#exec('conntrack', ['-L', '-f', family === 'ip' ? 'ipv4' : 'ipv6', '-p', 'udp'], { signal, maxBytes: 16 << 20 });
        for (const flow of staleFlows(parseFlows(listed.stdout), ports).slice(0, maxStaleFlows)) {
          await this.#exec('conntrack', [
            '-D', '-p', 'udp', '-s', flow.source, '-d', flow.destination, '--sport', String(flow.sourcePort), '--dport', String(flow.destinationPort),
          ], { signal });
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#conntrackMissing = /ENOENT/.test(messageOf(error));
      this.#log.warn({ err: messageOf(error) }, 'conntrack failed: udp clients may keep a stale endpoint until their flow times out');
    }
  }
}
