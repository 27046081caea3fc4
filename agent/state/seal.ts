import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';

const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** Keeps objects, and other records, unreadable on disk for whoever has the file alone: AES-256-GCM with a key of this host's own. */
export class ObjectSeal {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /**
   * With the key in the file (0600), which is made when it is not there. A key that cannot be read or kept stops
   * nothing: what it sealed is then asked for again.
   */
  static async open(path: string, log: Log): Promise<ObjectSeal> {
    const found = await readFile(path).catch(() => undefined);
    if (found?.length === keyBytes) return new ObjectSeal(found);
    if (found) log.error({ component: 'checkpoint', path }, 'the key to the secrets in the checkpoint is damaged; making a new one');
    const key = randomBytes(keyBytes);
    try {
      await writeFileAtomic(path, key, 0o600);
    } catch (error) {
      log.error({ component: 'checkpoint', path, err: messageOf(error) }, 'the key to the secrets in the checkpoint cannot be kept: after a restart they have to be asked for again');
    }
    return new ObjectSeal(key);
  }

  /** `context` must be the same to open it: it cannot stand in for something else. */
  seal(object: object, context: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#key, nonce).setAAD(Buffer.from(context));
    const text = Buffer.concat([cipher.update(JSON.stringify(object), 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
  }

  /** Undefined when it was not sealed by this key, or is damaged. */
  unseal(sealed: string, context: string): KubeObject | undefined {
    const bytes = Buffer.from(sealed, 'base64');
    try {
      const decipher = createDecipheriv(algorithm, this.#key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes }).setAAD(Buffer.from(context));
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      const object: unknown = JSON.parse(Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]).toString());
      return isRecord(object) ? object satisfies KubeObject : undefined;
    } catch {
      return undefined;
    }
  }
}
