import { mkdirSync, readFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** One thing that Cleat changed on the host, with what is needed to put it back. */
export interface LedgerEntry {
  /** `sysctl`: target is its name. `routes`: target is the routing protocol number. `nftables-table`: `FAMILY NAME`. `iptables-chains`: `COMMAND PREFIX`. `ipvs-services`: `NAME SERVICE-CIDR,...`. `policy-chains`: the prefix of chains and sets. `file`, `directory`: a path. `address`: `PREFIX DEVICE`. `link`: its name. `firewall-hook`: whose, and for which range (agent/firewall/hooks.ts). `csi-volumes`: the kubelet's folder. */
  readonly kind: 'address' | 'link' | 'sysctl' | 'routes' | 'nftables-table' | 'iptables-chains' | 'policy-chains' | 'ipvs-services' | 'firewall-hook' | 'csi-volumes' | 'file' | 'directory';
  readonly target: string;
  /** As it was before Cleat came; null when it was not there. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface LedgerRecord extends LedgerEntry { readonly atMs: number }

/**
 * What Cleat changed on this host, one JSON object a line, so that uninstalling can undo it backwards. Recorded before
 * the change is made; only the first record of a target says how the host was, so later ones are not written.
 */
export class Ledger {
  readonly #path: string;
  readonly #now: () => number;
  readonly #records: LedgerRecord[];
  /** An interrupted write left a line open; the next one closes it. */
  #torn: boolean;
  #last: Promise<void> = Promise.resolve();

  /** Reads what earlier lives recorded; a torn last line, as a power cut leaves it, is skipped. */
  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
    const text = readText(path);
    this.#torn = text !== '' && !text.endsWith('\n');
    this.#records = parseRecords(text);
  }

  get records(): readonly LedgerRecord[] { return this.#records; }

  /** Resolves when the record is on disk; the change may be made then. */
  async record(entry: LedgerEntry): Promise<void> {
    const next = this.#last.then(() => this.#append(entry));
    this.#last = next.catch(() => undefined);
    await next;
  }

  /** Forgets everything: all of it has been undone. */
  async clear(): Promise<void> {
    await this.#last;
    await rm(this.#path, { force: true });
    this.#records.length = 0;
    this.#torn = false;
  }

  async #append(entry: LedgerEntry): Promise<void> {
    if (this.#records.some((r) => r.kind === entry.kind && r.target === entry.target)) return;
    const record = { atMs: this.#now(), kind: entry.kind, target: entry.target, before: entry.before, after: entry.after };
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const file = await open(this.#path, 'a', 0o600);
    try {
      await file.write(`${this.#torn ? '\n' : ''}${JSON.stringify(record)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    this.#torn = false;
    this.#records.push(record);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function parseRecords(text: string): LedgerRecord[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as LedgerRecord];
    } catch {
      return [];
    }
  });
}
