import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import type { SandboxConfig } from '../types.ts';
import type { CniNetwork } from './cni.ts';

/** What an engine that knows containers but no pods cannot remember of a sandbox. */
export interface SandboxRecord {
  readonly id: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly attempt: number;
  readonly createdAtMs: number;
  /** What its addresses come from; absent in the host's network. Known before the first plugin is called. */
  readonly network?: CniNetwork;
  /** Set when it was completely made: what its pause container was then, and its addresses. */
  readonly made?: { readonly startedAt: string; readonly ips: readonly string[] };
}

/**
 * Records of sandboxes, a folder each. One is written before the network is asked for anything, and removed after the
 * network gave everything back: whatever is killed in between, what is left over can be found. Not synced: after a
 * power cut none of these sandboxes lives, and what the engine still lists is enough to take them back.
 */
export class SandboxRecords {
  readonly #dir: string;
  #all: Promise<Map<string, SandboxRecord>> | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The folder of one sandbox, for files that its containers mount. */
  folder(id: string): string {
    return join(this.#dir, id);
  }

  async all(): Promise<ReadonlyMap<string, SandboxRecord>> {
    return this.#load();
  }

  async write(record: SandboxRecord): Promise<void> {
    const all = await this.#load();
    await this.#replace(record.id, 'record.json', JSON.stringify(record));
    all.set(record.id, record);
  }

  /** The resolver's configuration, in a file for its containers to mount. */
  async writeResolvConf(id: string, dns: SandboxConfig['dns']): Promise<void> {
    const text = resolvConf(dns) || await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
    await this.#replace(id, 'resolv.conf', text);
  }

  resolvConfPath(id: string): string {
    return join(this.folder(id), 'resolv.conf');
  }

  async remove(id: string): Promise<void> {
    const all = await this.#load();
    await rm(this.folder(id), { recursive: true, force: true });
    all.delete(id);
  }

  async #replace(id: string, name: string, text: string): Promise<void> {
    const path = join(this.folder(id), name);
    await mkdir(this.folder(id), { recursive: true, mode: 0o711 });
    await writeFile(`${path}.new`, text, { mode: 0o644 });
    await rename(`${path}.new`, path);
  }

  #load(): Promise<Map<string, SandboxRecord>> {
    this.#all ??= this.#read().catch((error: unknown) => {
      this.#all = undefined;
      throw error;
    });
    return this.#all;
  }

  async #read(): Promise<Map<string, SandboxRecord>> {
    await mkdir(this.#dir, { recursive: true, mode: 0o711 });
    const found = new Map<string, SandboxRecord>();
    for (const id of await readdir(this.#dir)) {
      const text = await readFile(join(this.folder(id), 'record.json'), 'utf8').catch(() => '');
      const record = parseRecord(text);
      if (record?.id === id) found.set(id, record);
      // Written as a whole or not at all: a folder without one was begun, and nothing else was.
      else await rm(this.folder(id), { recursive: true, force: true });
    }
    return found;
  }
}

/** As resolv.conf(5) has it; empty when nothing is said, which means: as on the host. */
export function resolvConf({ servers, searches, options }: SandboxConfig['dns']): string {
  return [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(searches.length > 0 ? [`search ${searches.join(' ')}\n`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}\n`] : []),
  ].join('');
}

function parseRecord(text: string): SandboxRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && typeof value['id'] === 'string' && typeof value['podUid'] === 'string' ? value as unknown as SandboxRecord : undefined;
  } catch {
    return undefined;
  }
}
