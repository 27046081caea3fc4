import { disconnectPolicyOf, keepsOne, leaseEnd } from '#api/disconnect/policy.ts';
import type { Pod } from '#api/gen/types.ts';
import type { Contact } from '#agent/session/types.ts';
import type { Clock } from '#common/clock.ts';
import { graceSecondsOf } from './spec/containers.ts';
import type { Withheld } from './types.ts';

/** What runs a pod, and can be told not to. */
export interface LeaseHolder {
  readonly pod: Pod;
  withhold(withheld: Withheld | undefined): void;
}

/** A timer does not fire while the host sleeps; this is how long after it wakes a copy that must not run may run at most. */
const tickMs = 1000;

/**
 * Lets pods of which there may be only one copy run for as long as the control plane cannot have replaced them: each
 * contact gives them their time anew, and when it is over their copy here ends. Costs nothing where there are none.
 */
export class Leases {
  readonly #contact: Contact | undefined;
  readonly #clock: Clock;
  readonly #holders = new Set<LeaseHolder>();
  #stopTimer: (() => void) | undefined;

  /** Without a contact to go by, as in some tests, every pod may run. */
  constructor({ contact, clock }: { readonly contact?: Contact | undefined; readonly clock: Clock }) {
    this.#contact = contact;
    this.#clock = clock;
  }

  /** Looks after the holder from now on, if its pod needs it. Before it starts anything, and whenever its pod changes. */
  note(holder: LeaseHolder): void {
    if (!this.#contact || !keepsOne(holder.pod)) {
      this.drop(holder);
      holder.withhold(undefined);
      return;
    }
    this.#holders.add(holder);
    this.#judge(holder, this.#contact);
    this.#plan();
  }

  drop(holder: LeaseHolder): void {
    if (this.#holders.delete(holder)) this.#plan();
  }

  /** Follows contacts until the signal aborts. */
  start(signal: AbortSignal): void {
    const stop = this.#contact?.subscribe(() => { this.#judgeAll(); });
    signal.addEventListener('abort', () => {
      stop?.();
      this.#stopTimer?.();
      this.#holders.clear();
    }, { once: true });
  }

  #judgeAll(): void {
    for (const holder of this.#holders) if (this.#contact) this.#judge(holder, this.#contact);
  }

  #judge(holder: LeaseHolder, contact: Contact): void {
    holder.withhold(withheld(holder.pod, contact.silentMs()));
  }

  #plan(): void {
    this.#contact?.need(Math.min(...[...this.#holders].map(({ pod }) => (endOf(pod)?.beginMs ?? Infinity) / 3)));
    if (this.#holders.size === 0) {
      this.#stopTimer?.();
      this.#stopTimer = undefined;
    } else if (!this.#stopTimer) {
      this.#tick();
    }
  }

  #tick(): void {
    this.#stopTimer = this.#clock.after(tickMs, () => {
      this.#judgeAll();
      this.#tick();
    });
  }
}

function endOf(pod: Pod): ReturnType<typeof leaseEnd> | undefined {
  const policy = disconnectPolicyOf(pod);
  return policy && leaseEnd(policy, graceSecondsOf(pod));
}

/** Whether a pod may not run after so much silence, and what is left for its orderly end. */
export function withheld(pod: Pod, silentMs: number | undefined): Withheld | undefined {
  const end = endOf(pod);
  if (!end || (silentMs !== undefined && silentMs < end.beginMs)) return undefined;
  const leftMs = silentMs === undefined ? 0 : end.beginMs + end.graceSeconds * 1000 - silentMs;
  return { graceSeconds: Math.max(0, Math.ceil(leftMs / 1000)) };
}
