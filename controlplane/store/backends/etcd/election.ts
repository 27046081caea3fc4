import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { Compare, EtcdClient } from './client.ts';

export interface ElectionDeps {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ElectionConfig {
  /** The key that the leader holds. */
  readonly key: string;
  /** What others read there about the leader. */
  readonly value: string;
  /** How long a leader that fell silent stays one. */
  readonly leaseSeconds: number;
}

/** From being elected to the end of it. */
export interface Term {
  /** True in etcd as long as this term lasts: what every write of it asks for. */
  readonly fence: Compare;
  /** Aborts when the lead is lost, at the latest when the others may know. */
  readonly lost: AbortSignal;
  /** Gives the lead back, so that the next one need not wait. */
  resign(): Promise<void>;
}

const retryMs = 1000;

/**
 * One leader at a time, by etcd's recipe: a key that exists as long as a lease is renewed. etcd decides; that a leader which was
 * stopped for a while does no harm is for the fence, not for clocks.
 */
export class Election {
  readonly #deps: ElectionDeps;
  readonly #config: ElectionConfig;
  readonly #key: Buffer;

  constructor(deps: ElectionDeps, config: ElectionConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#key = Buffer.from(config.key);
  }

  /** Waits to be elected. `follow` is told what the leader says of itself, each time it is another one. Rejects when the signal aborts. */
  async campaign(signal: AbortSignal, follow: (leader: string) => void): Promise<Term> {
    const { client, clock, log } = this.#deps;
    for (let problem = ''; ;) {
      signal.throwIfAborted();
      try {
        const stood = await this.#stand(signal);
        if ('term' in stood) return stood.term;
        follow(stood.leader);
        await client.removed(this.#key, stood.revision, signal);
        problem = '';
      } catch (error) {
        signal.throwIfAborted();
        if (messageOf(error) !== problem) log.warn({ err: problem = messageOf(error) }, 'cannot stand for election; trying again');
        await clock.sleep(retryMs, signal);
      }
    }
  }

  async #stand(signal: AbortSignal): Promise<{ readonly term: Term } | { readonly leader: string; readonly revision: number }> {
    const { client, clock } = this.#deps;
    const grantedAt = clock.monotonic();
    const lease = await client.grant(this.#config.leaseSeconds);
    const absent: Compare = { result: 'EQUAL', target: 'CREATE', key: this.#key, createRevision: 0 };
    const { header, succeeded, responses } = await client.txn({
      compare: [absent], success: [{ requestPut: { key: this.#key, value: Buffer.from(this.#config.value), lease } }], failure: [{ requestRange: { key: this.#key } }],
    });
    if (succeeded) return { term: this.#term(lease, header.revision, grantedAt) };
    // It ends by itself, too.
    await client.revoke(lease).catch(() => undefined);
    signal.throwIfAborted();
    const leader = responses[0]?.responseRange?.kvs[0];
    if (!leader) throw new StatusError('ServiceUnavailable', 'the leader went just now');
    return { leader: leader.value.toString(), revision: header.revision };
  }

  #term(lease: string, createRevision: number, grantedAt: number): Term {
    const lost = new AbortController();
    const renewing = this.#renew(lease, grantedAt, lost);
    return {
      fence: { result: 'EQUAL', target: 'CREATE', key: this.#key, createRevision },
      lost: lost.signal,
      resign: async () => {
        lost.abort(new StatusError('ServiceUnavailable', 'the lead was given back'));
        await renewing;
        await this.#deps.client.revoke(lease).catch((error: unknown) => { this.#deps.log.debug({ err: messageOf(error) }, 'the lease ends by itself'); });
      },
    };
  }

  /** A lease counts from when its renewal was asked for: etcd cannot have counted from earlier. */
  async #renew(lease: string, grantedAt: number, lost: AbortController): Promise<void> {
    const { client, clock, log } = this.#deps;
    const leaseMs = this.#config.leaseSeconds * 1000;
    let renewedAt = grantedAt;
    let cancel = (): void => undefined;
    const guard = (): void => {
      cancel();
      cancel = clock.after(renewedAt + leaseMs - clock.monotonic(), () => { lost.abort(new StatusError('ServiceUnavailable', `etcd did not renew our lease for ${String(this.#config.leaseSeconds)} s: another control plane may lead now`)); });
    };
    guard();
    while (!lost.signal.aborted) {
      try {
        await clock.sleep(Math.min(retryMs, leaseMs / 3), lost.signal);
        if (clock.monotonic() - renewedAt < leaseMs / 3) continue;
        const askedAt = clock.monotonic();
        if (await client.renew(lease, lost.signal) === 0) lost.abort(new StatusError('ServiceUnavailable', 'our lease in etcd has ended: another control plane may lead now'));
        renewedAt = askedAt;
        guard();
      } catch (error) {
        if (!lost.signal.aborted) log.warn({ err: messageOf(error) }, 'the lease was not renewed; trying again');
      }
    }
    cancel();
  }
}
