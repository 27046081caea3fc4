import type { Node } from '#api/gen/types.ts';
import { leases } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import type { ApiClient } from '../../apiserver/types.ts';
import type { Attention } from '../attention.ts';

/**
 * For how long nodes have had no contact, to be relied upon: the Lease as the store has it now is the one that it had
 * then. A cache could be behind, and whoever answers a node's heartbeat renews its Lease first.
 */
export class Silence {
  readonly #deps: { readonly client: ApiClient; readonly clock: Clock; readonly attention: Attention };
  readonly #seen = new Map<string, { readonly version: string; readonly sinceMs: number }>();

  constructor(deps: { readonly client: ApiClient; readonly clock: Clock; readonly attention: Attention }) {
    this.#deps = deps;
  }

  /** Reads the Lease. The first look at a node tells nothing yet. */
  async lookMs(node: Node): Promise<number> {
    const name = node.metadata?.name ?? '';
    const { clock, attention } = this.#deps;
    // Before the read: what is renewed meanwhile is renewed after this.
    const nowMs = clock.monotonic();
    const version = `${node.metadata?.uid ?? ''} ${await this.#version(name)}`;
    const seen = this.#seen.get(name);
    if (seen?.version !== version) {
      this.#seen.set(name, { version, sinceMs: clock.monotonic() });
      return 0;
    }
    return Math.max(0, nowMs - Math.max(seen.sinceMs, attention.sinceMs));
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }

  async #version(name: string): Promise<string> {
    try {
      return (await this.#deps.client.get(leases, 'kube-node-lease', name)).metadata?.resourceVersion ?? '';
    } catch (error) {
      if (isStatus(error, 'NotFound')) return 'none';
      throw error;
    }
  }
}
