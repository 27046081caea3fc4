import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { writeFileAtomic } from '../atomic-file.ts';
import { StatusError } from '../errors.ts';
import { readIfThere } from './store.ts';

/** A key for AES-256-GCM, and the number that sealed bytes name it by. */
export interface SealingKey {
  readonly id: number;
  readonly key: Buffer;
}

const keyBytes = 32;

/**
 * The keys in `secrets.key` in `folder`, one in base64 on each line: the first seals, the others only open what they
 * sealed before. Made with one key when there is no such file.
 */
export async function loadOrCreateSealingKeys(folder: string): Promise<readonly [SealingKey, ...SealingKey[]]> {
  const path = join(folder, 'secrets.key');
  const stored = await readIfThere(path);
  const text = stored ?? `${randomBytes(keyBytes).toString('base64')}\n`;
  if (stored === undefined) await writeFileAtomic(path, text, 0o600);
  const [first, ...others] = text.split('\n').filter((line) => line.trim() !== '').map((line) => parseKey(line.trim(), path));
  if (!first) throw unusable(path, 'it is empty');
  return [first, ...others];
}

function parseKey(line: string, path: string): SealingKey {
  const key = Buffer.from(line, 'base64');
  if (key.length !== keyBytes || key.toString('base64') !== line) throw unusable(path, `a line is not ${String(keyBytes)} bytes in base64`);
  return { key, id: createHash('sha256').update(key).digest().readUInt32LE(0) };
}

function unusable(path: string, why: string): StatusError {
  return new StatusError('Invalid', `the keys in ${path} cannot be used: ${why}; restore the file from a backup`);
}
