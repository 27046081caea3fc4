import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { showInUse } from '#common/lock-holder.ts';
import type { Log } from '#common/log.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { readIfThere } from '#common/pki/store.ts';
import { EtcdClient } from '../store/backends/etcd/client.ts';
import { Election, type Term } from '../store/backends/etcd/election.ts';
import { etcdLimits, EtcdRows } from '../store/backends/etcd/rows.ts';
import type { OpenRows } from '../store/open.ts';
import { adoptLocalStore } from './adopt.ts';
import { Forwarder } from './forwarder.ts';

export interface CandidateDeps {
  readonly log: Log;
  readonly clock: Clock;
}

export interface CandidateConfig {
  readonly etcdServers: readonly string[];
  /** Files in PEM; empty: none. */
  readonly etcdCafile: string;
  readonly etcdCertfile: string;
  readonly etcdKeyfile: string;
  readonly etcdPrefix: string;
  readonly stateDir: string;
  readonly bindAddress: string;
  readonly port: number;
  /** Where other control planes reach this one. */
  readonly address: string;
}

/** What whoever leads works with. */
export interface Lead {
  readonly openRows: OpenRows;
  readonly limits: typeof etcdLimits;
  /** Aborts when somebody else may lead. */
  readonly lost: AbortSignal;
  /** Says by which CA the cluster is known from now on. */
  identify(fingerprint: string): Promise<void>;
}

const timeoutMs = 5000;
const retryMs = 1000;
/** A dead leader is one for so long; a live one is asked to renew three times meanwhile. */
const leaseSeconds = 10;

/** One of several control planes on one etcd: leads, or waits for its turn and hands what comes to the leader. */
export class Candidate {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #config: CandidateConfig;
  readonly #client: EtcdClient;
  readonly #election: Election;

  private constructor({ log, clock }: CandidateDeps, config: CandidateConfig, client: EtcdClient) {
    this.#log = log.child({ component: 'candidate' });
    this.#clock = clock;
    this.#config = config;
    this.#client = client;
    const value = JSON.stringify({ host: config.address, port: config.port });
    this.#election = new Election({ client, clock, log: this.#log }, { key: `${config.etcdPrefix}leader`, value, leaseSeconds });
  }

  static async open(deps: CandidateDeps, config: CandidateConfig): Promise<Candidate> {
    const [ca, certificate, key] = await Promise.all([pem('etcd-cafile', config.etcdCafile), pem('etcd-certfile', config.etcdCertfile), pem('etcd-keyfile', config.etcdKeyfile)]);
    const client = new EtcdClient({ servers: config.etcdServers, timeoutMs, ...(ca && { ca }), ...(certificate && { certificate }), ...(key && { key }) });
    return new Candidate(deps, config, client);
  }

  /**
   * Runs `work` each time this one leads, until the signal aborts or `work` ends by itself. `standsBy` is called when another
   * one leads. Rejects when this one must not lead, and with what `work` rejects with.
   */
  async run(signal: AbortSignal, standsBy: () => void, work: (lead: Lead) => Promise<void>): Promise<void> {
    const endUse = await showInUse(this.#config.stateDir);
    try {
      for (;;) {
        await this.#identified(signal);
        const term = await this.#elected(signal, standsBy);
        if (!term) return;
        try {
          // Again: the leader of before may have changed its CA.
          const isKnown = await this.#checkIdentity();
          await work(await this.#lead(term, isKnown));
        } catch (error) {
          // Whatever fails for want of etcd is no reason to end: the lead is lost with it.
          if (!term.lost.aborted) throw error;
          this.#log.warn({ err: messageOf(error) }, 'what a leader does was cut off');
        } finally {
          await term.resign();
        }
        if (signal.aborted) return;
        this.#log.warn({ reason: messageOf(term.lost.reason) }, 'leads no more; stands by');
      }
    } finally {
      this.#client.close();
      await endUse();
    }
  }

  /** Undefined when the signal aborted before. */
  async #elected(signal: AbortSignal, standsBy: () => void): Promise<Term | undefined> {
    const forwarder = new Forwarder(this.#log, { host: this.#config.bindAddress, port: this.#config.port });
    const hindered = new AbortController();
    try {
      return await this.#election.campaign(AbortSignal.any([signal, hindered.signal]), (leader) => {
        const { host, port } = JSON.parse(leader) as { host: string; port: number };
        this.#log.info({ leader: host }, 'stands by: another control plane leads');
        forwarder.aim(host, port);
        forwarder.listen().then(standsBy, (error: unknown) => { hindered.abort(error); });
      });
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    } finally {
      await forwarder.close();
    }
  }

  /** Waits for etcd to say whose cluster it keeps. Rejects where it is another than this host's. */
  async #identified(signal: AbortSignal): Promise<void> {
    for (let problem = ''; !signal.aborted;) {
      try {
        await this.#checkIdentity();
        return;
      } catch (error) {
        if (!isStatus(error, 'ServiceUnavailable')) throw error;
        if (messageOf(error) !== problem) this.#log.warn({ err: problem = messageOf(error) }, 'waits for etcd');
        await this.#clock.sleep(retryMs, signal).catch(() => undefined);
      }
    }
  }

  /** With other keys it would take every agent and every token for a stranger's. False where no cluster is kept yet. */
  async #checkIdentity(): Promise<boolean> {
    const { kvs: [known] } = await this.#client.range({ key: this.#key('identity') });
    if (!known) return false;
    const pkiDir = join(this.#config.stateDir, 'server/pki');
    const ca = await readIfThere(join(pkiDir, 'ca.crt'));
    const own = ca === undefined ? 'none' : fingerprintOf(new X509Certificate(ca));
    if (own === known.value.toString()) {
      // A restored one, mostly. It must not be ignored without a word, nor take the place of what etcd keeps.
      const local = join(this.#config.stateDir, 'server/store');
      if (existsSync(local)) throw new StatusError('Conflict', `etcd keeps this cluster already, and ${local} of this host is another state of it: to serve that one, choose a place in etcd that is empty (--etcd-prefix, on every control plane); to go on with the one in etcd, move the folder away; then start again`);
      return true;
    }
    throw new StatusError('Forbidden', `the cluster in etcd has another CA (${known.value.toString()}) than this host (${own}): copy the folder ${pkiDir} from a control plane of that cluster, with its permissions, and start again; or choose another place in etcd with --etcd-prefix`);
  }

  async #lead(term: Term, isKnown: boolean): Promise<Lead> {
    const rows = new EtcdRows(this.#client, { prefix: `${this.#config.etcdPrefix}rows/`, fence: term.fence });
    const moved = isKnown ? undefined : await adoptLocalStore(rows, join(this.#config.stateDir, 'server/store'), this.#log);
    if (moved !== undefined) this.#log.warn({ rows: moved }, 'the cluster that was kept on this host has moved to etcd; its folder is kept as store.moved-to-etcd');
    this.#log.warn({ etcd: this.#client.location }, 'leads');
    return {
      openRows: () => Promise.resolve(rows),
      limits: etcdLimits,
      lost: term.lost,
      identify: async (fingerprint) => { await this.#client.txn({ compare: [term.fence], success: [{ requestPut: { key: this.#key('identity'), value: Buffer.from(fingerprint) } }] }); },
    };
  }

  #key(name: string): Buffer {
    return Buffer.from(this.#config.etcdPrefix + name);
  }
}

async function pem(flag: string, file: string): Promise<Buffer | undefined> {
  if (file === '') return undefined;
  try {
    return await readFile(file);
  } catch (error) {
    throw new StatusError('Invalid', `--${flag} ${file}: ${messageOf(error)}`, { cause: error });
  }
}
