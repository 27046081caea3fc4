import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { readKeyFile } from '#common/backup/key-file.ts';
import { StatusError } from '#common/errors.ts';
import { refuse, type Flag, type ParsedFlags } from './flags.ts';
import type { Io } from './types.ts';

/** What a backup is sealed with. */
export const secretFlags: readonly Flag[] = [
  { name: 'key-file', type: 'string', description: 'file whose contents seal the backup; keep it elsewhere than the backups' },
  { name: 'passphrase', type: 'bool', description: 'a passphrase seals the backup: it is asked for, or read as a line of standard input' },
];

/** Undefined when neither was asked for. `twice`: a slip of the fingers must not seal it for good. */
export async function backupSecret(command: string, parsed: ParsedFlags, io: Io, twice: boolean): Promise<Buffer | undefined> {
  const keyFile = parsed.string('key-file');
  if (keyFile !== undefined && parsed.bool('passphrase')) throw refuse(command, 'say --key-file or --passphrase, not both');
  if (keyFile !== undefined) return readKeyFile(keyFile);
  if (!parsed.bool('passphrase')) return undefined;
  const passphrase = await ask('Passphrase: ', io);
  if (passphrase === '') throw new StatusError('BadRequest', 'the passphrase is empty');
  if (twice && isTerminal(io) && await ask('Once more: ', io) !== passphrase) throw new StatusError('BadRequest', 'the two passphrases differ; run it again');
  return Buffer.from(passphrase);
}

function isTerminal(io: Io): boolean {
  return 'isTTY' in io.stdin && io.stdin.isTTY === true;
}

/** A line that is not shown while it is typed. */
async function ask(question: string, io: Io): Promise<string> {
  const terminal = isTerminal(io);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => { done(); } });
  const reader = createInterface({ input: io.stdin, output: nowhere, terminal });
  try {
    if (terminal) io.err(question);
    return await reader.question('', { signal: io.interrupted });
  } finally {
    reader.close();
    if (terminal) io.err('\n');
  }
}
