import type { AdmissionPlugin, AdmissionRequest, Reservation } from './types.ts';

/** Runs the plugins in order; what was reserved is settled together. */
export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  async admit(request: AdmissionRequest): Promise<void> {
    for (const [i, plugin] of this.#plugins.entries()) {
      const admitted = plugin.admit?.(request);
      // Most have nothing to wait for: a turn of the loop less for each of them.
      if (admitted) await admitted;
      const again = plugin.mutate && await plugin.mutate(request);
      if (!again) continue;
      for (const earlier of this.#plugins.slice(0, i)) await earlier.admit?.(request);
      await again();
    }
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) {
      const validated = plugin.validate?.(request);
      if (validated) await validated;
    }
  }

  /** If one plugin refuses, those before it get back what they gave. */
  reserve(request: AdmissionRequest): Reservation {
    const held: Reservation[] = [];
    const settle = { commit: () => { for (const r of held) r.commit(); }, rollback: () => { for (const r of held) r.rollback(); } };
    try {
      for (const plugin of this.#plugins) {
        const reservation = plugin.reserve?.(request);
        if (reservation) held.push(reservation);
      }
    } catch (error) {
      settle.rollback();
      throw error;
    }
    return settle;
  }
}
