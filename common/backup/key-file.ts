import { readFile } from 'node:fs/promises';
import { messageOf, StatusError } from '../errors.ts';

const fewestBytes = 16;

/** The key in a file; the same for whoever seals and whoever opens, so that nothing is sealed that cannot be opened. Throws `BadRequest` with what to do. */
export async function readKeyFile(path: string): Promise<Buffer> {
  const key = await readFile(path).catch((error: unknown) => { throw new StatusError('BadRequest', `the key file ${path} cannot be read: ${messageOf(error)}`, { cause: error }); });
  if (key.length < fewestBytes) throw new StatusError('BadRequest', `the key file ${path} holds ${String(key.length)} bytes, which is too few; make one with: head -c 32 /dev/urandom > ${path}`);
  return key;
}
