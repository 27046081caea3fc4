import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import type { SandboxConfig } from '../types.ts';
import type { CniNetwork } from './cni.ts';

/**
 * What an engine cannot remember of the things that it runs: a record each, in a folder each, where files of theirs may
 * be too. Not synced: after a power cut nothing that they tell of runs, and what the engine still lists is enough to
 * take it back.
 */
export class Records<T extends { readonly id: string }> {
  readonly #dir: string;
  #all: Promise<Map<string, T>> | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  folder(id: string): string {
    return join(this.#dir, id);
  }

  all(): Promise<ReadonlyMap<string, T>> {
    return this.#load();
  }

  async write(record: T): Promise<void> {
    const all = await this.#load();
    await this.writeFile(record.id, 'record.json', JSON.stringify(record));
    all.set(record.id, record);
  }

  /** A file of its own, for its containers to mount. Resolves with its path. */
  async writeFile(id: string, name: string, text: string): Promise<string> {
    const path = join(this.folder(id), name);
    await mkdir(this.folder(id), { recursive: true, mode: 0o711 });
    await writeFile(`${path}.new`, text, { mode: 0o644 });
    await rename(`${path}.new`, path);
    return path;
  }

  async remove(id: string): Promise<void> {
    const all = await this.#load();
    await rm(this.folder(id), { recursive: true, force: true });
    all.delete(id);
  }

  #load(): Promise<Map<string, T>> {
    this.#all ??= this.#read().catch((error: unknown) => {
      this.#all = undefined;
      throw error;
    });
    return this.#all;
  }

  /** A folder without a record was begun, and nothing else was; or a power cut has emptied it. It goes: nobody else would know of it. */
  async #read(): Promise<Map<string, T>> {
    await mkdir(this.#dir, { recursive: true, mode: 0o711 });
    const found = new Map<string, T>();
    for (const id of await readdir(this.#dir)) {
      const text = await readFile(join(this.folder(id), 'record.json'), 'utf8').catch((error: NodeJS.ErrnoException) => error.code === 'ENOENT' ? '' : undefined);
      const record = parsed<T>(text ?? '');
      if (record?.id === id) found.set(id, record);
      // What only cannot be read now may be of something that runs.
      else if (text !== undefined) await rm(this.folder(id), { recursive: true, force: true }).catch(() => undefined);
    }
    return found;
  }
}

function parsed<T>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && typeof value['id'] === 'string' ? value as T : undefined;
  } catch {
    return undefined;
  }
}

/** One is written before the network is asked for anything, and removed after the network gave everything back. */
export interface SandboxRecord {
  readonly id: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly attempt: number;
  readonly createdAtMs: number;
  /** What its addresses come from; absent in the host's network. Known before the first plugin is called. */
  readonly network?: CniNetwork;
  /** Set when it was completely made: what tells this run of its pause program from any other, and its addresses. */
  readonly made?: { readonly startedAt: string; readonly ips: readonly string[] };
  /** Its network has been given back: plugins need not be asked again, at the price of some processes. */
  readonly disconnected?: true;
}

export function sandboxRecord(id: string, { podUid, podNamespace, podName, attempt }: SandboxConfig, network: CniNetwork | undefined, createdAtMs: number): SandboxRecord {
  return { id, podUid, podNamespace, podName, attempt, createdAtMs, ...(network && { network }) };
}

/** The resolver's configuration in the form of resolv.conf(5); where nothing is said, as on the host. */
export async function resolvConf({ servers, searches, options }: SandboxConfig['dns']): Promise<string> {
  const text = [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(searches.length > 0 ? [`search ${searches.join(' ')}\n`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}\n`] : []),
  ].join('');
  return text || readFile('/etc/resolv.conf', 'utf8').catch(() => '');
}
