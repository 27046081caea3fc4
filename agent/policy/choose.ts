import { StatusError } from '#common/errors.ts';
import type { PolicyBackend, Ruleset } from './types.ts';

/** The first of several backends that this host can use, looked for anew whenever rules begin: a missing tool may have been installed. */
export class UsablePolicies implements PolicyBackend {
  readonly #candidates: readonly PolicyBackend[];
  /** Those that may have rules in the kernel: of this life, or of an earlier one. */
  readonly #used: Set<PolicyBackend>;
  #chosen: PolicyBackend | undefined;

  constructor(candidates: readonly PolicyBackend[], used: Iterable<PolicyBackend> = []) {
    this.#candidates = candidates;
    this.#used = new Set(used);
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    const reasons = [];
    for (const candidate of this.#candidates) {
      const reason = await candidate.unusable(signal);
      if (reason === undefined) {
        this.#chosen = candidate;
        return undefined;
      }
      reasons.push(reason);
    }
    return reasons.join('; ');
  }

  /** Only then do the rules of another one go, so that nothing passes in between. */
  async replace(rules: Ruleset, signal: AbortSignal): Promise<void> {
    const chosen = this.#current;
    this.#used.add(chosen);
    await chosen.replace(rules, signal);
    for (const former of this.#used) {
      if (former === chosen) continue;
      await former.cleanup(signal);
      this.#used.delete(former);
    }
  }

  async apply(rules: Ruleset, signal: AbortSignal): Promise<void> {
    await this.#current.apply(rules, signal);
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    return this.#current.intact(signal);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    for (const one of this.#used) {
      await one.cleanup(signal);
      this.#used.delete(one);
    }
  }

  get #current(): PolicyBackend {
    if (!this.#chosen) throw new StatusError('Conflict', 'no backend for network policies has been chosen yet');
    return this.#chosen;
  }
}
