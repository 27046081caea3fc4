import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { SealingKey } from '#common/pki/sealing-keys.ts';
import { StatusError } from '#common/errors.ts';
import { isSealed, keyOfRow, markSealed, sealedPrefix } from './row-format.ts';
import type { HeadNote, RowStore, RowWrite } from './types.ts';

export interface SealingConfig {
  /** Rows of keys that start with one of these are sealed. */
  readonly prefixes: readonly string[];
  /** The first seals; all open. */
  readonly keys: readonly [SealingKey, ...SealingKey[]];
}

const nonceBytes = 12;
const tagBytes = 16;
const overhead = sealedPrefix + 4 + nonceBytes + tagBytes;
const refreshBatch = 100;

/**
 * Rows of some keys encrypted on disk with AES-256-GCM: whole rows, bound to their names, so that one cannot be put in
 * another's place. Everything above sees them plain. Rows that are still plain, or sealed by an older key, are read as
 * they are; `refresh` then writes them anew.
 */
export class SealedRows implements RowStore {
  readonly #rows: RowStore;
  readonly #config: SealingConfig;
  readonly #keys: ReadonlyMap<number, Buffer>;
  readonly #outdated = new Set<string>();

  constructor(rows: RowStore, config: SealingConfig) {
    this.#rows = rows;
    this.#config = config;
    this.#keys = new Map(config.keys.map(({ id, key }) => [id, key]));
  }

  get location(): string { return this.#rows.location; }

  async *scan(from: string, to: string): AsyncIterable<readonly (readonly [string, Uint8Array])[]> {
    for await (const found of this.#rows.scan(from, to)) yield found.map(([name, bytes]) => [name, this.#open(name, bytes)] as const);
  }

  async getMany(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const found = await this.#rows.getMany(names);
    return found.map((bytes, i) => bytes && this.#open(names[i] ?? '', bytes));
  }

  write(rows: readonly RowWrite[], sync: boolean): Promise<void> {
    return this.#rows.write(rows.map((row) => (row.bytes && this.#mustSeal(row.bytes) ? { name: row.name, bytes: this.#seal(row.name, row.bytes) } : row)), sync);
  }

  async refresh(): Promise<number> {
    const names = [...this.#outdated];
    for (let i = 0; i < names.length; i += refreshBatch) {
      const some = names.slice(i, i + refreshBatch);
      const rows = await this.getMany(some);
      await this.write(some.flatMap((name, n) => (rows[n] ? [{ name, bytes: rows[n] }] : [])), true);
    }
    this.#outdated.clear();
    return names.length;
  }

  reopen(): Promise<void> { return this.#rows.reopen(); }
  noteHead(note: HeadNote): void { this.#rows.noteHead(note); }
  readHead(): HeadNote | undefined { return this.#rows.readHead(); }
  close(): Promise<void> { return this.#rows.close(); }

  #mustSeal(bytes: Uint8Array): boolean {
    const key = keyOfRow(bytes);
    return key !== undefined && this.#config.prefixes.some((prefix) => key.startsWith(prefix));
  }

  #seal(name: string, bytes: Uint8Array): Uint8Array {
    const [{ id, key }] = this.#config.keys;
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
    const sealed = Buffer.allocUnsafeSlow(overhead + bytes.length);
    markSealed(sealed);
    sealed.writeUInt32LE(id, sealedPrefix);
    sealed.set(nonce, sealedPrefix + 4);
    sealed.set(cipher.update(bytes), sealedPrefix + 4 + nonceBytes);
    cipher.final();
    sealed.set(cipher.getAuthTag(), sealed.length - tagBytes);
    return sealed;
  }

  /** Bytes that cannot be opened although the key is there are damaged: they are passed on, and no row can be read from them. */
  #open(name: string, bytes: Uint8Array): Uint8Array {
    if (!isSealed(bytes)) {
      if (this.#mustSeal(bytes)) this.#outdated.add(name);
      return bytes;
    }
    if (bytes.length < overhead) return bytes;
    const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const id = sealed.readUInt32LE(sealedPrefix);
    const key = this.#keys.get(id);
    // Not `InternalError`: nothing is damaged, and a recovery would throw away what the right key opens.
    if (!key) throw new StatusError('Forbidden', `${this.location} holds Secrets sealed by a key (${id.toString(16).padStart(8, '0')}) that is not in secrets.key beside the CA; put that file back from a backup`);
    if (id !== this.#config.keys[0].id) this.#outdated.add(name);
    try {
      const from = sealedPrefix + 4;
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(from, from + nonceBytes)).setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(-tagBytes));
      const row = Buffer.allocUnsafeSlow(sealed.length - overhead);
      row.set(decipher.update(sealed.subarray(from + nonceBytes, -tagBytes)));
      decipher.final();
      return row;
    } catch {
      return bytes;
    }
  }
}
